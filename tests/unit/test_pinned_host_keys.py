# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Nothing in the repository accepts an SSH host key that it does not know: not the product, the demo or a test."""

from __future__ import annotations

import re
from fnmatch import fnmatch

import pytest

from .test_names import ROOT, files

ACCEPTING = re.compile(
    r"""accept-new
    | StrictHostKeyChecking[\s=:"']+(no|off|false)\b
    | host_key_checking[\s=:"']+(no|off|false|0)\b""",
    re.VERBOSE | re.IGNORECASE,
)

EXPLAINING = ("*.md", "changelogs/*")
"""Pages may say what is not done."""

HOSTILE = ("tests/unit/test_pinned_host_keys.py", "tests/unit/plugins/inventory/test_guests.py")
"""Tests of settings that have no effect."""


def accepting(path: str) -> list[str]:
    """Return the lines of a file by which an unknown host key is accepted."""
    try:
        lines = (ROOT / path).read_text().splitlines()
    except (UnicodeDecodeError, OSError):
        return []
    return [f"{path}:{number}: {line.strip()}" for number, line in enumerate(lines, 1) if ACCEPTING.search(line)]


def test_no_unknown_host_key_is_accepted() -> None:
    others = [path for path in files() if not any(fnmatch(path, pattern) for pattern in (*EXPLAINING, *HOSTILE))]
    assert [line for path in others for line in accepting(path)] == []


@pytest.mark.parametrize(
    "line",
    [
        "ssh -o StrictHostKeyChecking=no host",
        "    StrictHostKeyChecking no",
        "ssh -o StrictHostKeyChecking=accept-new host",
        "host_key_checking: false",
        "host_key_checking = False",
        '"ANSIBLE_HOST_KEY_CHECKING": "0"',
    ],
)
def test_a_line_that_accepts_is_seen(line: str) -> None:
    assert ACCEPTING.search(line)


@pytest.mark.parametrize("line", ["StrictHostKeyChecking=yes", "StrictHostKeyChecking=ask", "host_key_checking: true"])
def test_a_line_that_does_not_accept_is_not_seen(line: str) -> None:
    assert not ACCEPTING.search(line)
