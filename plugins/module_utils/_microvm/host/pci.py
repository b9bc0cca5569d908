# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PCI devices of a host, as sysfs has them, and what the host itself uses them for."""

from __future__ import annotations

import glob
import json
import os
import re
from dataclasses import dataclass
from typing import Dict, Iterator, List, Mapping, Optional, Set, Tuple

from ..declaration.names import VFIO_DRIVER
from . import files
from .commands import run
from .sockets import connections_to_host

SYS = "/sys"
HARMLESS_DRIVERS = ("", VFIO_DRIVER, "pci-stub")
"""Drivers, or none, of devices that do not keep others of their IOMMU group from being handed over."""

_BRIDGE = "0x0604"
"""Begins the class of bridges, which keep their driver in a group that is handed over."""

_MOUNTS, _SWAPS, _ROUTES = "/proc/self/mountinfo", "/proc/swaps", ("/proc/net/route", "/proc/net/ipv6_route")
_NODES, _UDEV_DATA = "/dev", "/run/udev/data"
_SUBSYSTEM = re.compile(r".*/nvme-subsystem/[^/]+")
"""Directory of NVMe disks that may have several controllers, to which it has links; the disks are below no device."""


@dataclass(frozen=True)
class PciDevice:
    """A PCI device, or a function of one."""

    address: str
    pci_class: str = ""
    """Class as the kernel writes it, such as ``0x020000``."""
    driver: str = ""
    override: str = ""
    """Driver that alone may have the device, whatever it is."""
    group: Optional[int] = None
    """Number of the IOMMU group; numbers differ from one start of the host to the next."""
    interfaces: Tuple[str, ...] = ()
    """Network interfaces that the driver has made."""
    card: Optional[str] = None
    """Address of the card that a virtual function is of."""
    most_functions: int = 0
    """Number of virtual functions that a card can have."""
    functions: Tuple[str, ...] = ()
    """Addresses of its virtual functions, by their numbers."""
    offset: int = 0
    stride: int = 0
    """Distances of the addresses of functions from that of the card, and from each other."""
    own_node: Optional[str] = None
    """Name of the file below /dev/vfio/devices by which iommufd has the device without its group."""
    identity: str = ""
    """Numbers of its vendor and of the kind of device, such as ``8086:10d3``; empty where they are not known."""
    function_identity: str = ""
    """The same of its virtual functions."""

    @property
    def is_bridge(self) -> bool:
        """Return whether the device is a bridge, which is never handed over."""
        return self.pci_class.startswith(_BRIDGE)

    @property
    def is_with_host(self) -> bool:
        """Return whether a driver of the host has the device, so that others of its group are not handed over."""
        return not self.is_bridge and self.driver not in HARMLESS_DRIVERS

    def function_address(self, number: int) -> str:
        """Return the address that a virtual function of this card has, or would have."""
        if number < len(self.functions):
            return self.functions[number]
        domain, bus, rest = self.address.split(":")
        slot, function = rest.split(".")
        routing = (int(bus, 16) << 8 | int(slot, 16) << 3 | int(function)) + self.offset + self.stride * number
        return f"{domain}:{routing >> 8:02x}:{routing >> 3 & 0x1F:02x}.{routing & 7}"


@dataclass(frozen=True)
class FunctionSettings:
    """Settings of a virtual function that its card enforces; ``None`` for what the card's driver does not say."""

    mac: Optional[str] = None
    vlan: int = 0
    trust: Optional[bool] = None
    spoof_check: Optional[bool] = None


def group_members(devices: Mapping[str, PciDevice], device: PciDevice) -> List[PciDevice]:
    """Return the other devices of an IOMMU group that are no bridges."""
    return [
        other
        for other in devices.values()
        if other.group == device.group and other.address != device.address and not other.is_bridge
    ]


def read_pci_devices(sys: str = SYS) -> Dict[str, PciDevice]:
    """Return all PCI devices of the host by their addresses."""
    directory = os.path.join(sys, "bus/pci/devices")
    addresses = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    return {address: _read(os.path.join(directory, address), address) for address in addresses}


def _read(path: str, address: str) -> PciDevice:
    group, card = _link(path, "iommu_group"), _link(path, "physfn")
    most = _number(path, "sriov_totalvfs")
    override = _text(path, "driver_override")
    vendor, kind, kind_of_functions = (_digits(path, name) for name in ("vendor", "device", "sriov_vf_device"))
    return PciDevice(
        address=address,
        pci_class=_text(path, "class"),
        identity=f"{vendor}:{kind}" if vendor and kind else "",
        function_identity=f"{vendor}:{kind_of_functions}" if vendor and kind_of_functions else "",
        driver=_link(path, "driver"),
        override="" if override == "(null)" else override,
        group=int(group) if group.isdecimal() else None,
        interfaces=tuple(
            sorted(
                os.path.basename(each) for pattern in ("net/*", "*/net/*") for each in glob.glob(f"{path}/{pattern}")
            )
        ),
        own_node=next(map(os.path.basename, glob.glob(f"{path}/vfio-dev/*")), None),
        card=card or None,
        most_functions=most,
        functions=tuple(_link(path, f"virtfn{index}") for index in range(_number(path, "sriov_numvfs") if most else 0)),
        offset=_number(path, "sriov_offset") if most else 0,
        stride=_number(path, "sriov_stride") if most else 0,
    )


def _text(path: str, name: str) -> str:
    return (files.read_text(os.path.join(path, name)) or "").strip()


def _number(path: str, name: str) -> int:
    text = _text(path, name)
    return int(text) if text.isdecimal() else 0


def _digits(path: str, name: str) -> str:
    """Return four hexadecimal digits; the kernel writes some with 0x, and some without zeros at the left."""
    text = _text(path, name)
    return f"{int(text, 16):04x}" if text else ""


def _link(path: str, name: str) -> str:
    return os.path.basename(files.link_target(os.path.join(path, name)) or "")


def is_interface_up(interface: str, sys: str = SYS) -> bool:
    """Return whether a network interface is switched on (IFF_UP of netdevice(7)), with a cable or without."""
    flags = _text(os.path.join(sys, "class/net", interface), "flags")
    return bool(int(flags or "0", 16) & 1)


def read_functions(interface: str) -> List[FunctionSettings]:
    """Return the settings of the virtual functions of a card, whose interface is given. Raises HostError."""
    return parse_functions(run(["ip", "-json", "-details", "link", "show", "dev", interface]))


def parse_functions(output: str) -> List[FunctionSettings]:
    """Return the settings of the functions that `ip -json link` prints."""
    links = json.loads(output or "[]")
    functions = links[0].get("vfinfo_list", []) if links else []
    return [_settings(function) for function in sorted(functions, key=lambda function: int(function["vf"]))]


def _settings(function: Mapping[str, object]) -> FunctionSettings:
    tags = function.get("vlan_list")
    first = tags[0] if isinstance(tags, list) and tags else {}
    trust, spoof_check = function.get("trust"), function.get("spoofchk")
    return FunctionSettings(
        mac=str(function.get("address", function.get("mac", ""))).lower() or None,
        vlan=int(first.get("vlan", 0)),
        trust=trust if isinstance(trust, bool) else None,
        spoof_check=spoof_check if isinstance(spoof_check, bool) else None,
    )


def host_use(device: PciDevice, sys: str = SYS, mounts: str = _MOUNTS, swaps: str = _SWAPS) -> Optional[str]:
    """Return what the host would lose with a device, as the end of a sentence: its way out, or a disk that it uses.

    Raises HostError.
    """
    for interface in device.interfaces:
        for upper in _with_uppers(interface, sys):
            if upper in _default_interfaces():
                return f"the host's default route leads to its interface {interface}"
            if _is_connected(upper):
                return f"somebody is connected to the host by its interface {interface}"
    mounted = _mounted(mounts)
    for name in _disks(device, sys):
        if mounted & {_text(f"{sys}/class/block/{name}", "dev"), name}:
            return f"the host has mounted its disk {name}"
        if f"/dev/{name} " in (files.read_text(swaps) or ""):
            return f"the host swaps to its disk {name}"
        file_system = _shared_file_system(name, sys)
        if file_system is not None:
            return f"its disk {name} is a part of a {file_system} file system of the host"
    return None


def _is_connected(interface: str) -> bool:
    """Return whether somebody is connected to an address of an interface, such as whoever runs this."""
    (link,) = json.loads(run(["ip", "-json", "address", "show", "dev", interface]))
    addresses = {str(address.get("local")) for address in link["addr_info"]}
    return any(connection.address in addresses for connection in connections_to_host())


def _with_uppers(interface: str, sys: str) -> Iterator[str]:
    """Yield an interface and those that it is a part of: bridges, bonds, VLANs."""
    yield interface
    for path in sorted(glob.glob(f"{sys}/class/net/{glob.escape(interface)}/upper_*")):
        yield from _with_uppers(os.path.basename(path)[len("upper_") :], sys)


def _default_interfaces() -> Iterator[str]:
    for path in _ROUTES:
        for line in (files.read_text(path) or "").splitlines():
            words = line.split()
            if path.endswith("/route") and len(words) > 7 and words[1] == words[7] == "00000000":
                yield words[0]
            # A route that refuses packets is on the loopback interface.
            elif path.endswith("ipv6_route") and words[:2] == ["0" * 32, "00"] and words[-1] != "lo":
                yield words[-1]


def _mounted(mounts: str) -> Set[str]:
    """Return the numbers and the names of mounted disks.

    File systems such as btrfs have a number that is no disk's; after the dash are their type and what they are on,
    several disks with colons between them.
    """
    found: Set[str] = set()
    for line in (files.read_text(mounts) or "").splitlines():
        words, _dash, source = line.partition(" - ")
        found.update(words.split()[2:3])
        for path in " ".join(source.split()[1:2]).split(":"):
            # Other sources are any words, such as the names of shares.
            if path.startswith(f"{_NODES}/"):
                found.add(os.path.basename(os.path.realpath(path)))
    return found


def _shared_file_system(name: str, sys: str) -> Optional[str]:
    """Return the file system of several disks that a disk is a part of, of which a mount names one at most."""
    # The kernel lists the disks of a mounted one.
    if glob.glob(f"{sys}/fs/btrfs/*/devices/{glob.escape(name)}"):
        return "btrfs"
    data = _text(_UDEV_DATA, f"b{_text(f'{sys}/class/block/{name}', 'dev')}")
    is_zfs = "E:ID_FS_TYPE=zfs_member" in data.splitlines() and os.path.isdir(f"{sys}/module/zfs")
    return "ZFS" if is_zfs else None


def _disks(device: PciDevice, sys: str) -> Iterator[str]:
    """Yield the disks of a device, their partitions, and what is made of them."""
    for path in sorted(glob.glob(f"{sys}/class/block/*")):
        if any(f"/{device.address}/" in f"{place}/" for place in _places(os.path.realpath(path))):
            yield from _with_holders(os.path.basename(path), sys)


def _places(path: str) -> Iterator[str]:
    """Yield the directory of a disk, and those of the controllers by which a host reaches it."""
    yield path
    subsystem = _SUBSYSTEM.match(path)
    if subsystem is not None:
        yield from map(os.path.realpath, sorted(glob.glob(f"{glob.escape(subsystem.group())}/nvme*")))


def _with_holders(name: str, sys: str) -> Iterator[str]:
    yield name
    place = f"{sys}/class/block/{glob.escape(name)}"
    for path in sorted(glob.glob(f"{place}/holders/*")):
        yield from _with_holders(os.path.basename(path), sys)
    # Partitions of an array have their own holders, and a disk's are below it too.
    for path in sorted(glob.glob(f"{place}/*/partition")):
        yield from _with_holders(os.path.basename(os.path.dirname(path)), sys)
