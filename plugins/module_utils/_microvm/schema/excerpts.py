# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What guests and programs of others say, made fit for a message: one that no terminal takes for a command."""

from __future__ import annotations

import re

from .quoting import printable

SHOWN_CHARACTERS, SHOWN_LINES = 500, 30
"""Limits of what is quoted in a message, of each line and of the whole."""

CUT = " …"

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def excerpt(text: str, limit: int = SHOWN_CHARACTERS) -> str:
    """Return a string of somebody else's as one line: without colours, control characters escaped, a long one cut."""
    # Only the beginning is looked at: a flood costs no more than a line.
    shown = _COLOURS.sub("", text[: 4 * limit])
    return printable(shown[:limit]) + (CUT if len(shown) > limit or len(text) > 4 * limit else "")


def first_line(text: str) -> str:
    """Return the first line of a message."""
    return text.partition("\n")[0]


def last_lines(text: str, count: int = SHOWN_LINES, limit: int = SHOWN_CHARACTERS) -> str:
    """Return the last lines of a string of somebody else's, each as of ``excerpt``, tabs as spaces."""
    lines = [line.rstrip("\r") for line in text.strip().split("\n")]
    return "\n".join(excerpt(line.expandtabs(), limit) for line in lines[-count:])


def without_colours(text: str) -> str:
    """Return a string without what colours it on a terminal."""
    return _COLOURS.sub("", text)


def without_controls(text: str) -> str:
    """Return a string whole, with its lines and tabs, and all other control characters escaped."""
    return text if text.isprintable() else "".join(c if c in "\n\t" else printable(c) for c in text)
