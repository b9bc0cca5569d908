# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Interface of a hypervisor to the layers above."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Mapping, Tuple

from ..declaration.vms.parse import Declaration
from .command import Command
from .facts import HostFacts
from .profile import KernelNeed, Profile


class Hypervisor(ABC):
    """A hypervisor: its profile, its program and its command line."""

    profile: Profile

    @abstractmethod
    def program(self, declaration: Declaration, facts: HostFacts) -> str:
        """Return the name or path of the hypervisor's program."""

    def uncommon_options(self, declaration: Declaration) -> Tuple[str, ...]:
        """Return the options of the command line that some builds of the program lack, whatever their version is."""
        return ()

    def directories(self, declaration: Declaration) -> Mapping[str, str]:
        """Return the directories of the host that the hypervisor cannot do without, by the options that name them."""
        return {}

    def kernel_needs(self, declaration: Declaration, facts: HostFacts) -> Tuple[KernelNeed, ...]:
        """Return the needs of the profile that may be those of a declaration."""
        return self.profile.kernel_needs

    def probe(self, architecture: str, kernel: str) -> Tuple[str, ...]:
        """Return a command that boots a kernel under the host's KVM and prints its first lines, if there is one."""
        return ()

    @abstractmethod
    def command(self, declaration: Declaration, facts: HostFacts) -> Command:
        """Return the command line for a declaration that ``registry.check`` accepts.

        Raises DeclarationError, with a path relative to the declaration, for what only the command line shows.
        """
