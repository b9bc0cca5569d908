# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refuse devices of a MicroVM that the host hands over to another one (module ``microvm_vfio``)."""

from __future__ import annotations

import re
from typing import Mapping, Optional, Sequence, Tuple

from ..declaration.names import DEVICE_RULES
from ..declaration.types import Device
from ..declaration.vms.parse import Declaration
from ..host import files
from ..resources.vfio.rules import vms_in_rules
from ..schema.errors import DeclarationError

_NUMBER = re.compile(r"(?:^|,)(vendorid|productid)=(0[xX][0-9a-fA-F]+|[1-9][0-9]*)(?=,|$)")


def refuse_foreign_devices(
    placed: Sequence[Tuple[str, Declaration]], handed_over: Optional[Mapping[str, str]] = None
) -> None:
    """Raise DeclarationError for a device that is handed over to another MicroVM.

    ``handed_over`` are the MicroVMs by the addresses of PCI devices, and by the numbers of USB devices, that the same
    run declares; without it, they are those of the host.
    """
    devices = [
        (f"{path}.devices[{index}].path", declaration["name"], _identity(device))
        for path, declaration in placed
        for index, device in enumerate(declaration["devices"])
    ]
    if not devices:
        return
    owners = vms_in_rules(files.read_text(DEVICE_RULES)) if handed_over is None else handed_over
    for path, name, identity in devices:
        owner = owners.get(identity, name)
        if owner != name:
            raise DeclarationError(
                path,
                f"{identity} is handed over to the MicroVM {owner!r} (microvm_vfio), so that {name!r} cannot have it; "
                "name this MicroVM there (`vm`), or use another device here",
            )


def _identity(device: Device) -> str:
    """Return the address of a PCI device, or the numbers of a USB device as far as it is named by them."""
    if device["bus"] == "pci":
        return device["path"].lower()
    numbers = {match[1]: f"{int(match[2], 0):04x}" for match in _NUMBER.finditer(device["path"])}
    return f"{numbers.get('vendorid', '')}:{numbers.get('productid', '')}"
