# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The serial line by which the bed speaks with a host before it has an address. Its other end is ``host-line``."""

from __future__ import annotations

import base64

from ..commands import BedError
from .sockets import Lines

LONGEST = 4000
"""Characters of a line: a terminal keeps 4095 for a reader that is not there yet."""


class Line:
    """Connection to a host's serial line."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def wait_until_ready(self) -> None:
        """Wait until the host has booted so far that it takes scripts."""
        while self._lines.receive("first line of the host") != "ready":
            pass

    def run(self, script: str) -> None:
        """Run a shell script as the host's root. Raises BedError with its output if it fails."""
        self._lines.send(encoded(script))
        answer = self._lines.receive(f"end of the script:\n{script}\n")
        if answer != "0":
            status, _blank, output = answer.partition(" ")
            words = base64.b64decode(output).decode(errors="replace")
            raise BedError(f"a script on the host ended with status {status}:\n{script}\n{words}")


def encoded(script: str) -> str:
    """Return the line for a script. Raises BedError if it is too long."""
    line = base64.b64encode(script.encode()).decode()
    if len(line) > LONGEST:
        raise BedError(f"{len(line)} characters are too long for the serial line, which takes {LONGEST}")
    return line
