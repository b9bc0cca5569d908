# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Error that bad input leads to."""

from __future__ import annotations

from types import MappingProxyType

from .naming import Names, with_names
from .quoting import printable


class DeclarationError(ValueError):
    """Input that cannot be accepted.

    ``path`` names the key (``vms[2].interfaces[0].mac``), ``message`` says what is wrong and what to do. What is shown
    has the ``names`` of elements too, as far as they are known.
    """

    def __init__(self, path: str, message: str, names: Names = MappingProxyType({})) -> None:
        # A MicroVM that is not one of a list has no path of its own, only its keys have.
        self.path = printable(path.lstrip("."))
        # Keys and values are the user's, and messages are shown on terminals.
        self.message = "\n".join(map(printable, message.split("\n")))
        shown = {element: printable(name) for element, name in names.items()}
        super().__init__(with_names(f"{self.path}: {self.message}", shown))

    def named(self, names: Names) -> DeclarationError:
        """Return the same error, shown with the names of elements."""
        return DeclarationError(self.path, self.message, names)
