# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of udev that let the users of MicroVMs open devices of the host. Pure.

Numbers of IOMMU groups and of USB devices change, so a rule finds a device by what stays. The user of a MicroVM is
asked for when a device appears: it may come later than the rule, or be gone. udev leaves the owner of a node as it is
unless a rule names one.
"""

from __future__ import annotations

import re
from typing import Dict, FrozenSet, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ...declaration.names import WORK_DIRECTORY
from ...declaration.types import HostDevice, HostDeviceUsb
from ...host.pci import PciDevice
from ...schema.quoting import plain
from .state import Observed

_GROUPS = "/sys/kernel/iommu_groups"
_HEADER = "# Written by microvm.fleet; changes here are lost.\n"
_NAMED = re.compile(
    rf'TEST=="{_GROUPS}/%k/devices/(?P<address>[^"]+)"'
    r'|ATTR{idVendor}=="(?P<vendor>[^"]+)", ATTR{idProduct}=="(?P<product>[^"]+)"(, ATTR{serial}=="(?P<serial>[^"]+)")?'
)
_OF_VM = re.compile(rf'PROGRAM=="/usr/bin/stat --format=%%u [^"]*/(?P<vm>[^"/]+)/{WORK_DIRECTORY}"')


class DeviceUser(NamedTuple):
    """User of a device, beside root: that of a MicroVM, or one by name."""

    vm: Optional[str]
    owner: Optional[str]


def users_by_address(observed: Observed, devices: Sequence[HostDevice]) -> Iterator[Tuple[str, str, DeviceUser]]:
    """Yield the PCI devices and virtual functions that have a user: key in the list, address and user."""
    for index, device in enumerate(devices):
        if device["state"] == "absent" or device["address"] is None:
            continue
        if device["vm"] or device["owner"]:
            yield f"[{index}]", device["address"], DeviceUser(device["vm"], device["owner"])
        card = observed.devices.get(device["address"], PciDevice(device["address"]))
        for number, function in enumerate(device["functions"] or ()):
            if function["vm"] or function["owner"]:
                user = DeviceUser(function["vm"], function["owner"])
                yield f"[{index}].functions[{number}]", card.function_address(number), user


def device_rules(observed: Observed, devices: Sequence[HostDevice]) -> str:
    """Return the rules; nothing for devices that are root's alone."""
    lines = [
        _lines(['SUBSYSTEM=="vfio"', f'TEST=="{_GROUPS}/%k/devices/{plain(address)}"'], user, observed.state_directory)
        for _place, address, user in users_by_address(observed, devices)
    ]
    with_usb = [(device["usb"], device) for device in devices if device["usb"] is not None]
    # The last rule that matches counts.
    for usb, device in sorted(with_usb, key=lambda pair: pair[0]["serial"] is not None):
        if device["state"] == "present":
            lines.append(_lines(_usb(usb), DeviceUser(device["vm"], device["owner"]), observed.state_directory))
    return _HEADER + "".join(lines) if lines else ""


def _usb(usb: HostDeviceUsb) -> List[str]:
    matches = ['SUBSYSTEM=="usb"', 'ENV{DEVTYPE}=="usb_device"', f'ATTR{{idVendor}}=="{plain(usb["vendor"])}"']
    matches.append(f'ATTR{{idProduct}}=="{plain(usb["product"])}"')
    return matches if usb["serial"] is None else [*matches, f'ATTR{{serial}}=="{plain(usb["serial"])}"']


def _lines(matches: Sequence[str], user: DeviceUser, state_directory: str) -> str:
    if user.vm is None:
        return _line(matches, plain(user.owner))
    work = f"{plain(state_directory)}/{plain(user.vm)}/{plain(WORK_DIRECTORY)}"
    of_vm = _line([*matches, f'PROGRAM=="/usr/bin/stat --format=%%u {work}"'], "%c")
    # Without the MicroVM, the program fails, and a former user would keep the node.
    return _line(matches, "root") + of_vm


def _line(matches: Sequence[str], owner: str) -> str:
    return ", ".join([*matches, f'OWNER="{owner}"', 'MODE="0600"']) + "\n"


def named_in_rules(rules: Optional[str]) -> FrozenSet[str]:
    """Return the devices that rules are for: addresses of PCI devices, and what USB devices say of themselves."""
    return frozenset(map(_named, _NAMED.finditer(rules or "")))


def vms_in_rules(rules: Optional[str]) -> Dict[str, str]:
    """Return the MicroVMs whose users may open devices, by the devices as ``named_in_rules`` has them."""
    vms: Dict[str, str] = {}
    for line in (rules or "").splitlines():
        device, vm = _NAMED.search(line), _OF_VM.search(line)
        if device is not None and vm is not None:
            vms[_named(device)] = vm["vm"]
    return vms


def _named(match: re.Match[str]) -> str:
    serial = f" {match['serial']}" if match["serial"] else ""
    return match["address"] or f"{match['vendor']}:{match['product']}{serial}"
