# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Strings of others in messages."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.excerpts import (
    excerpt,
    last_lines,
    without_controls,
)
from hypothesis import given
from hypothesis import strategies as st


@given(st.text(), st.integers(1, 60))
def test_any_string_becomes_one_short_line_without_control_characters(text: str, limit: int) -> None:
    shown = excerpt(text, limit)
    assert shown.isprintable()
    shown.encode()
    # An escaped character takes ten at most.
    assert len(shown) <= 10 * limit + 2


def test_no_character_that_moves_a_terminal_is_left() -> None:
    characters = "".join(map(chr, range(sys.maxunicode + 1)))
    shown = excerpt(characters, len(characters))
    print(f"{len(characters)} characters tried")
    assert shown.isprintable() and not set(shown) & {"\x1b", "\x9b", "\u202e", "\u2028", "\ud800"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain äöü", "plain äöü"),
        ("[\x1b[0;32m  OK  \x1b[0m] Started", "[  OK  ] Started"),
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
    ],
)
def test_colours_are_dropped_and_the_rest_is_escaped(text: str, shown: str) -> None:
    assert excerpt(text) == shown


def test_of_many_lines_the_last_are_shown_each_as_far_as_there_is_room() -> None:
    assert last_lines("one\r\ntwo\n\tthree\n", 2, 20) == "two\n        three"
    assert last_lines("x" * 100_000 + "\nshort", 2, 5) == "xxxxx …\nshort"


@given(st.text(st.sampled_from("ab\n\t\r\x1b\x9b\u202e\ud800 ")))
def test_output_keeps_its_lines_and_tabs_and_nothing_else_that_moves_a_terminal(text: str) -> None:
    shown = without_controls(text)
    assert shown.replace("\n", "").replace("\t", "").isprintable()
    assert shown.count("\n") == text.count("\n")
