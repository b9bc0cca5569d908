# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Error that bad input leads to."""

from __future__ import annotations

from .quoting import printable


class DeclarationError(ValueError):
    """Input that cannot be accepted.

    ``path`` names the key (``vms[2].interfaces[0].mac``), ``message`` says what is wrong and what to do.
    """

    def __init__(self, path: str, message: str) -> None:
        # A MicroVM that is not one of a list has no path of its own, only its keys have.
        self.path = printable(path.lstrip("."))
        # Keys and values are the user's, and messages are shown on terminals.
        self.message = "\n".join(map(printable, message.split("\n")))
        super().__init__(f"{self.path}: {self.message}")
