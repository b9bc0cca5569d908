# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices of a host as it has them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import FrozenSet, List, Mapping, Sequence

from ...declaration.names import STATE_DIRECTORY
from ...host.pci import FunctionSettings, PciDevice, group_members
from ...host.systemd import Unit
from .device_list import DeviceRecord


@dataclass(frozen=True)
class Observed:
    """Devices, and what is handed over of them."""

    devices: Mapping[str, PciDevice] = field(default_factory=dict)
    """All PCI devices by address."""
    record: DeviceRecord = field(default_factory=DeviceRecord)
    files: Mapping[str, str] = field(default_factory=dict)
    """Content of the files that are ours, by path."""
    functions: Mapping[str, Sequence[FunctionSettings]] = field(default_factory=dict)
    """Settings of the virtual functions that exist, by the card's address."""
    lowered: FrozenSet[str] = frozenset()
    """Addresses of cards whose network interface is down."""
    users: Mapping[int, str] = field(default_factory=dict)
    """Process that has an IOMMU group open, by its number; only looked for where devices are to be handed back."""
    uses: Mapping[str, str] = field(default_factory=dict)
    """Reason why the host needs a device, by address; only looked for where it is to be taken."""
    accounts: FrozenSet[str] = frozenset()
    """Names of declared users that exist."""
    unit: Unit = field(default_factory=Unit)
    state_directory: str = STATE_DIRECTORY

    def is_another(self, device: PciDevice) -> bool:
        """Return whether a device has taken the place of the recorded one, as far as both are known."""
        former = self.record.identity(device.address)
        return "" not in (former, device.identity) and former != device.identity

    def siblings(self, device: PciDevice) -> List[PciDevice]:
        """Return the other devices of an IOMMU group that are no bridges."""
        return group_members(self.devices, device)
