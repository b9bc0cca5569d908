# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Machines of StratoVirt: which one a MicroVM gets, and where devices are in it."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import List

from ...declaration.vms.parse import Declaration
from ...schema.errors import DeclarationError
from ..facts import HostFacts
from .profile import MICROVM, PROFILE, STANDARD

MOST_MMIO_DEVICES = {"x86_64": 11, "aarch64": 160}
"""Devices that the light machine has place for (its docs/config_guidebook.md)."""

MOST_PCI_DEVICES = 30
"""Slots of the standard machine's only bus: 32, but for its bridge, and for q35's own device in the last one."""


@dataclass
class StratovirtMachine:
    """Machine of one MicroVM, which gives a place to each device in the order of the command line."""

    declaration: Declaration
    facts: HostFacts
    _slots: int = field(default=0, init=False)

    @property
    def is_standard(self) -> bool:
        """Return whether devices are on PCI, and the guest ends by ACPI."""
        declared = self.declaration["stratovirt"]["machine"]
        return declared == STANDARD or (declared is None and self._boots_kernel_of_image())

    def _boots_kernel_of_image(self) -> bool:
        """Return whether the kernel is the image's own, which on x86_64 finds no devices of the light machine."""
        image, (directory, name) = self.declaration["image"], posixpath.split(self.declaration["kernel"] or "")
        is_own = name == "kernel" and (directory == (image or "").rstrip("/") or not (image or "/").startswith("/"))
        return self.facts.architecture == "x86_64" and is_own

    @property
    def type(self) -> str:
        """Return StratoVirt's name of the machine."""
        if not self.is_standard:
            return "microvm"
        return "q35" if self.facts.architecture == "x86_64" else "virt"

    @property
    def parameters(self) -> List[str]:
        """Return the parameters of the kernel that the machine needs."""
        # The light machine ends by a triple fault, which the standard one would take for a poweroff.
        return ["reboot=a"] if self.is_standard else ["edd=off", "reboot=t"]

    @property
    def word(self) -> str:
        """Return the word that makes a guest end its machine."""
        return "poweroff" if self.is_standard else "reboot"

    def device(self, kind: str, options: str) -> List[str]:
        """Return the arguments of a virtio device."""
        if not self.is_standard:
            return ["-device", f"{kind}-device,{options}"]
        self._slots += 1
        return ["-device", f"{kind}-pci,bus=pcie.0,addr={self._slots:#x},{options}"]

    def check(self) -> None:
        """Refuse what the machine cannot do. Raises DeclarationError."""
        self._check_devices()
        declaration = self.declaration
        if self.is_standard and declaration["on_reboot"] == "stop":
            raise DeclarationError(
                "on_reboot",
                f"{PROFILE.name}'s standard machine reboots in place; remove this option, or set `stratovirt.machine: "
                f"{MICROVM}` with a kernel for that",
            )
        if not self.is_standard and declaration["on_poweroff"] == "restart":
            raise DeclarationError(
                "on_poweroff",
                f"{PROFILE.name}'s machine {MICROVM} goes on when its guest powers off; remove this option, or set "
                f"`stratovirt.machine: {STANDARD}`",
            )

    def _check_devices(self) -> None:
        declaration = self.declaration
        single = [True, declaration["store_disk"], declaration["balloon"], declaration["vsock"]["cid"]]
        lists = {key: len(declaration[key]) for key in ("volumes", "interfaces", "shares")}
        total = sum(map(bool, single)) + sum(lists.values())
        most = MOST_PCI_DEVICES if self.is_standard else MOST_MMIO_DEVICES[self.facts.architecture]
        if total > most:
            longest = max(lists, key=lambda key: lists[key])
            raise DeclarationError(
                longest, f"{total} devices exceed the limit of {most} of {PROFILE.name}'s machine; declare fewer"
            )
