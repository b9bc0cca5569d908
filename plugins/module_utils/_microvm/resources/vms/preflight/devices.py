# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verify that a host has the PCI devices of its MicroVMs, and that it can do without them."""

from __future__ import annotations

from typing import Dict, Mapping, Sequence, Tuple

from ....host.pci import PciDevice, group_members, host_use, read_pci_devices
from ....schema.errors import DeclarationError
from .expected import Placed


def check_pci_devices(placed: Placed, awaited: Sequence[str] = ()) -> None:
    """Refuse devices that are not there, but for ``awaited`` ones, or whose IOMMU group others have a part of.

    Raises DeclarationError.
    """
    declared = [
        (f"{path}.devices[{index}].path", declaration["name"], device["path"])
        for path, declaration in placed
        for index, device in enumerate(declaration["devices"])
        if device["bus"] == "pci"
    ]
    present = read_pci_devices() if declared else {}
    owners: Dict[int, Tuple[str, str]] = {}
    for path, name, address in declared:
        device = present.get(address)
        if device is None:
            if address not in awaited:
                raise DeclarationError(
                    path, f"there is no PCI device {address} on this host; correct the address (lspci -D shows all)"
                )
            continue
        if device.group is None:
            raise DeclarationError(
                path,
                f"{address} is in no IOMMU group; switch the IOMMU on in the firmware and on the kernel's command line",
            )
        first, owner = owners.setdefault(device.group, (address, name))
        if owner != name:
            raise DeclarationError(
                path,
                f"{address} shares its IOMMU group {device.group} with {first}, which the MicroVM {owner!r} has, and a "
                "group is one MicroVM's as a whole; use another device, or give both to one MicroVM",
            )
        own = [address for _path, other, address in declared if other == name]
        _refuse_host_devices(device, present, (*own, *awaited), path)


def _refuse_host_devices(
    device: PciDevice, present: Mapping[str, PciDevice], handed_over: Sequence[str], path: str
) -> None:
    """Refuse a device with which the host would lose what it uses."""
    if device.is_with_host:
        use = host_use(device)
        if use is not None:
            raise DeclarationError(path, f"the host needs {device.address}: {use}; use another device")
    others = [
        other for other in group_members(present, device) if other.is_with_host and other.address not in handed_over
    ]
    if others:
        shown = ", ".join(f"{other.address} (driver {other.driver})" for other in others)
        raise DeclarationError(
            path,
            f"{device.address} shares its IOMMU group {device.group} with {shown}, which the host would lose too; "
            "declare the group in microvm_vfio (whole_group), or all of its devices here",
        )
