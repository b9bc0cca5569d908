# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts of a host that decide a command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import FrozenSet, Mapping, Tuple

from ..declaration.vms.parse import Declaration

Version = Tuple[int, ...]


@dataclass(frozen=True)
class HostFacts:
    """Facts of a host that decide a command line.

    ``accel`` is ``kvm`` or ``tcg``, what ``auto`` came to; ``auto`` where no host was asked. ``versions`` are those of
    the programs, by the hypervisor's name, or ``virtiofsd``; one that is not known counts as the newest.
    ``missing_options`` are those of ``Hypervisor.uncommon_options`` that the program does not have.
    """

    architecture: str = "x86_64"
    accel: str = "kvm"
    system: str = "linux"
    versions: Mapping[str, Version] = field(default_factory=dict)
    missing_options: FrozenSet[str] = frozenset()

    def has(self, program: str, *version: int) -> bool:
        """Return whether a program is of this version or newer."""
        installed = self.versions.get(program)
        return installed is None or installed >= version

    def guest(self, declaration: Declaration) -> str:
        """Return the guest's architecture."""
        return str(declaration["guest_system"] or f"{self.architecture}-{self.system}").partition("-")[0]
