# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Option table of a device that a host hands over to MicroVMs: one of PCI, the functions of a card, or one of USB."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import Option, Options

KEPT, STOPPED = "absent", "stop"
"""Values of ``restore``: a device is handed back to the host's driver when it is ``absent``, or with each stop."""

_VM = (
    "Name of the MicroVM whose user may open the device, beside root. It may be declared later; until it is installed, "
    "the device is root's alone."
)

_OWNER = "Name or number of a user of the host who may open the device, for a hypervisor that something else runs."

_FUNCTION: Options = (
    Option(
        "mac",
        "str",
        "MAC address that the card gives to the function, and that its guest cannot change unless it is trusted. "
        "Without it, the address stays as it is, which the guest may choose.",
        check=checks.mac_address,
    ),
    Option(
        "vlan",
        "int",
        "VLAN that the card puts the function into, so that its guest sees no tags. V(0) is for none.",
        default=0,
        check=checks.vlan,
    ),
    Option(
        "trust",
        "bool",
        "Whether the guest may change its MAC address and receive packets for others.",
        default=False,
    ),
    Option(
        "spoof_check",
        "bool",
        "Whether the card drops packets that the guest sends from other addresses than its own.",
        default=True,
    ),
    Option("vm", "str", _VM, check=checks.name),
    Option("owner", "str", _OWNER, check=checks.account),
)

_USB: Options = (
    Option(
        "vendor",
        "str",
        "Number of the vendor, four hexadecimal digits in quotes.",
        required=True,
        check=checks.usb_number,
    ),
    Option(
        "product",
        "str",
        "Number of the product, four hexadecimal digits in quotes.",
        required=True,
        check=checks.usb_number,
    ),
    Option(
        "serial",
        "str",
        "Serial number, as C(lsusb -v) shows it, to tell one of several devices of a product.",
        check=checks.usb_serial,
    ),
)

VFIO_OPTIONS: Options = (
    Option(
        "address",
        "str",
        "Address of a PCI device with its domain, such as V(0000:01:00.0), as C(lspci -D) shows it. Either this or "
        "C(usb) is required.",
        check=checks.pci_address,
    ),
    Option(
        "usb",
        "dict",
        (
            "USB device, by what it says of itself, so that it may be unplugged and plugged in again, anywhere.",
            "The device keeps its place on the host; only the users of C(vm) or C(owner), one of "
            "which is required, may open it, beside root.",
        ),
        suboptions=_USB,
        on_demand=True,
    ),
    Option(
        "state",
        "str",
        "Whether the device is handed over. V(absent) hands it back to the host, as does an element that is left out. "
        "It then needs only its C(address) or C(usb).",
        default="present",
        choices=("present", "absent"),
    ),
    Option("vm", "str", _VM, check=checks.name),
    Option("owner", "str", _OWNER, check=checks.account),
    Option(
        "driver",
        "str",
        "Driver of the host that gets the device back. Defaults to the one that it had before; a device that had none "
        "is left to the kernel's choice.",
        check=checks.driver,
    ),
    Option(
        "whole_group",
        "bool",
        "Whether the other devices of the IOMMU group are taken from the host too. Without it, a device is refused "
        "while the host has a driver on another one of its group, unless that is declared too: a guest that has one of "
        "them reaches all.",
        default=False,
    ),
    Option(
        "restore",
        "str",
        (
            "When the host's driver gets the device back. With V(absent), not before the device is no longer declared; "
            "the driver does not touch it while MicroVMs stop and start. When the host starts, the driver has it until "
            "the unit takes it, which is before MicroVMs start.",
            "With V(stop), whenever the MicroVM stops that has it in its C(devices). "
            "Its units take it at the start, and not this module.",
        ),
        default=KEPT,
        choices=(KEPT, STOPPED),
    ),
    Option(
        "functions",
        "list",
        (
            "Virtual functions (SR-IOV) that a card is to have, an element for each, in the order of their numbers. An "
            "empty mapping is a function with the defaults. The functions are handed over, and the card itself stays "
            "with its driver.",
            "Other options than C(address) and C(state) cannot be set with it. To change the number "
            "of functions, all of them are made anew, which is refused while one is in use.",
        ),
        elements="dict",
        suboptions=_FUNCTION,
        nullable=True,
    ),
)
