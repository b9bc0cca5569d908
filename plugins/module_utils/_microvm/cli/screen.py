# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest's output as a terminal may have it (ECMA-48, xterm's ctlseqs).

Terminals do more than show: asked for it, they type an answer, which a shell would read once the console is detached;
they set titles and clipboards, and print. Of a guest's control sequences only those pass that colour, move and clear.
"""

from __future__ import annotations

import codecs
import re

MOST_PARAMETERS, MOST_STRING = 64, 4096
"""Limits of a sequence's parameters and of a string for the terminal, after which the output is text again."""

_ESCAPE, _BELL = "\x1b", "\a"
_PASSING = frozenset("\a\b\t\n\v\f\r\x0e\x0f")
"""Control characters that show something, or say how what follows is shown."""
_STRINGS = frozenset("]PX^_")
"""Begin strings for the terminal: titles, colours by name, clipboards, fonts."""
_SEQUENCE = re.compile(r"\[(?:\?[0-9;]*[hlJK]|[0-9;:]*[@A-HJ-MPSTXZ`abd-hlmrsu]|[0-9]* q|!p)")


class Screen:
    """Filter of a stream, which may break anywhere."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._handle = self._text
        self._pending = ""
        """Characters of a sequence that has not ended."""
        self._length = 0
        """Characters of a string that has not ended."""

    def filter(self, data: bytes) -> bytes:
        """Return what of the next bytes may be shown."""
        return "".join(self._handle(character) for character in self._decoder.decode(data)).encode()

    def _text(self, character: str) -> str:
        if character == _ESCAPE:
            self._pending, self._handle = "", self._escape
            return ""
        # Also U+0080 to U+009F, which are sequences of one character.
        return character if character in _PASSING or not _is_control(character) else ""

    def _escape(self, character: str) -> str:
        if character == "[":
            self._pending, self._handle = "[", self._sequence
        elif character in _STRINGS:
            self._length, self._handle = 0, self._string
        elif " " <= character <= "/" and len(self._pending) < MOST_PARAMETERS:
            self._pending += character
        elif character != _ESCAPE:
            self._handle = self._text
            # Not `ESC Z`, which asks what the terminal is.
            return f"{_ESCAPE}{self._pending}{character}" if "0" <= character <= "~" and character != "Z" else ""
        return ""

    def _sequence(self, character: str) -> str:
        self._pending += character
        if " " <= character <= "?" and len(self._pending) <= MOST_PARAMETERS:
            return ""
        self._handle = self._text
        return f"{_ESCAPE}{self._pending}" if _SEQUENCE.fullmatch(self._pending) else ""

    def _string(self, character: str) -> str:
        self._length += 1
        if character == _ESCAPE:
            # Its end, `ESC \`, or the beginning of something else.
            self._pending, self._handle = "", self._end_of_string
        elif character == _BELL or self._length > MOST_STRING:
            self._handle = self._text
        return ""

    def _end_of_string(self, character: str) -> str:
        if character == "\\":
            self._handle = self._text
            return ""
        self._handle = self._escape
        return self._escape(character)


def _is_control(character: str) -> bool:
    return character < " " or "\x7f" <= character <= "\x9f"
