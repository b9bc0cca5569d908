# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``pci-setup`` and ``pci-teardown``: hand a device over to vfio-pci, and back (the kernel's driver-api/vfio.rst)."""

from __future__ import annotations

from typing import Sequence

from ...declaration.accounts import Account
from ...declaration.names import DEVICE_LIST
from . import sources
from .shell import call, header


def pci_setup(name: str, addresses: Sequence[str], account: Account) -> str:
    """Return the script that gives the devices to vfio-pci, and their groups to the hypervisor's user."""
    script = header(f"Takes the PCI devices of MicroVM {name} from the host.")
    script += sources.BIND_PCI_DEVICE + sources.GIVE_PCI_DEVICE_BACK + sources.TAKE_PCI_DEVICE + "\n"
    script += call("begin_devices", DEVICE_LIST) + "modprobe vfio-pci\n"
    script += "".join(call("take_pci_device", address, account.user, account.group) for address in addresses)
    return script + "trap - EXIT\n"


def pci_teardown(name: str, addresses: Sequence[str]) -> str:
    """Return the script that gives the devices back to the host's own drivers."""
    script = header(f"Gives the PCI devices of MicroVM {name} back to the host.")
    script += sources.BIND_PCI_DEVICE + sources.GIVE_PCI_DEVICE_BACK + "\n"
    return script + "".join(call("give_pci_device_back", address, DEVICE_LIST) for address in addresses)
