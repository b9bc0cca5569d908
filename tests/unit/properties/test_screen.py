# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a guest's output reaches a terminal."""

from __future__ import annotations

import re

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.screen import Screen
from hypothesis import given
from hypothesis import strategies as st

ANSWERED = re.compile(rb"\x05|\x1bZ|\x1b\[[^@-~]*[cntxi]|\x1b\[[^@-~]*\$p|\x1b\[>[^@-~]*q|\x1b[\]PX^_]|\xc2[\x80-\x9f]")
"""Sequences that a terminal answers to, or that reach beyond its screen."""


@pytest.mark.parametrize(
    "shown",
    [
        "plain äöü\r\n",
        "\x1b[0;32m  OK  \x1b[0m",
        "\x1b[2J\x1b[H\x1b[?25l\x1b[?1049h\x1b[10;20H\x1b[K",
        "\x1b(B\x1b)0\x0e\x0f\x1b7\x1b8\x1bM\x1b=\x1b>",
        "\x1b[38:2:1:2:3mx\x1b[2 q\x1b[!p",
        "\a\b\t",
    ],
)
def test_what_colours_moves_and_clears_passes(shown: str) -> None:
    assert Screen().filter(shown.encode()) == shown.encode()


@pytest.mark.parametrize(
    "hostile",
    [
        b"\x05",
        b"\x1b[6n",
        b"\x1b[c",
        b"\x1b[>0c",
        b"\x1b[21t",
        b"\x1b[0x",
        b"\x1b[5i",
        b"\x1b[?1$p",
        b"\x1b[>q",
        b"\x1bZ",
        b"\x1b]0;title\a",
        b"\x1b]52;c;cm0gLXJmIC8=\x1b\\",
        b"\x1bP$qm\x1b\\",
        b"\x1b_Gi=1\x1b\\",
        b"\x1b^x\x1b\\",
        b"\x1bXx\x1b\\",
        "\x9b6n".encode(),
        b"\x1b[" + b"1" * 10_000 + b"n",
        b"\x1b\x1b[6n",
        b"\x1b]0;x\x1b[6n",
    ],
)
def test_what_a_terminal_would_answer_to_or_take_for_itself_does_not_pass(hostile: bytes) -> None:
    for cut in range(1, min(len(hostile), 40)):
        screen = Screen()
        shown = screen.filter(b"<" + hostile[:cut]) + screen.filter(hostile[cut:] + b">")
        assert shown[:1] == b"<" and shown[-1:] == b">"
        assert not ANSWERED.search(shown) and b"\x1b" not in shown


@given(
    st.lists(
        st.sampled_from(
            [
                b"\x1b",
                b"[",
                b"]",
                b"P",
                b"6",
                b";",
                b"?",
                b">",
                b"$",
                b"n",
                b"c",
                b"q",
                b"p",
                b"m",
                b"\\",
                b"\a",
                b"\x05",
                b"\xc2",
                b"\x9b",
                b"\xff",
                b"Z",
                b" ",
                b"(",
                b"a",
                b"\n",
            ]
        )
    )
)
def test_no_mixture_makes_a_terminal_answer(parts: list[bytes]) -> None:
    screen = Screen()
    assert not ANSWERED.search(b"".join(screen.filter(part) for part in parts))


def test_a_string_without_end_does_not_hide_what_follows() -> None:
    assert Screen().filter(b"\x1b]0;" + b"x" * 5000 + b" shown\n").endswith(b" shown\n")
