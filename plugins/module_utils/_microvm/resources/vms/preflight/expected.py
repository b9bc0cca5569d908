# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Expectations of a run: declarations by their places, and what comes before them in the same run. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

from ....declaration.vms.parse import Declaration

Placed = Sequence[Tuple[str, Declaration]]
"""Declarations with the path that names each (``vms[0]``)."""


@dataclass(frozen=True)
class Expected:
    """Things that a host need not have yet, since the same run brings them before the MicroVMs."""

    images: Tuple[str, ...] = ()
    """Directories of images."""
    bridges: Tuple[str, ...] = ()
    pci_devices: Tuple[str, ...] = ()
    """Addresses of devices that are handed over, and of functions that are made."""
    huge_pages: Tuple[Tuple[int, int], ...] = ()
    """Sizes in KiB of huge pages, and the number of each that is set aside."""
    setup: bool = False
    """True if role ``host`` prepares the host: units, accounts, kernel modules, programs of the distribution."""

    def has(self, file: str) -> bool:
        """Return whether a file is part of an image that is yet to come."""
        return any(file.startswith(f"{image}/") for image in self.images)


def together(needed: int, own: int, unit: str) -> str:
    """Return the part of a message that says how much is needed with the MicroVMs before, if that is more."""
    return "" if needed == own else f" with those before it ({needed} {unit} in all)"
