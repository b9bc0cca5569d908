# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tap and macvtap devices as the host has them and as they are declared, in the same terms. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Mapping, Optional, Sequence, Tuple, Union

from ...declaration.types import HostTap
from ...host.netlink import NetworkDevice

Value = Union[None, bool, int, str, Tuple[str, ...]]
Traits = Dict[str, Value]
"""Properties of a device, by the names of the options that set them; some have no option."""

PORT_DEFAULTS: Traits = {"isolated": False, "learning": True, "neigh_suppress": False}
"""Properties of a new port of a bridge."""

PACKET_FORMAT = ("vnet_hdr", "packet_information")
"""Properties that are up to the process that has opened a tap."""

NODE_MODE = "0600"
"""Mode of a macvtap's character device, which only its owner opens."""

TAP_MTU = 1500


@dataclass(frozen=True)
class Node:
    """Character device of a macvtap: its owner, group and mode."""

    owner: int
    group: int
    mode: str


@dataclass(frozen=True)
class Observed:
    """Interfaces of a host, and what matters to tap and macvtap devices."""

    devices: Mapping[str, NetworkDevice] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    """Character devices of macvtaps by the names of these."""
    accounts: Mapping[Tuple[str, str], int] = field(default_factory=dict)
    """Numbers of the declared users and groups that there are, by the option and the name."""
    microvms: Mapping[str, str] = field(default_factory=dict)
    """Names of running MicroVMs, by the devices that their units have made."""
    users: Mapping[str, str] = field(default_factory=dict)
    """Processes that have devices open, by the names of these. Only devices are looked at for which it matters."""
    expected_bridges: Tuple[str, ...] = ()
    """Bridges that may be missing, because the same run creates them before."""

    def name_of(self, index: Optional[int]) -> Optional[str]:
        """Return the name of the interface with an index."""
        return next((device.name for device in self.devices.values() if device.index == index), None)

    def on_top_of(self, device: NetworkDevice) -> Sequence[NetworkDevice]:
        """Return the interfaces that end with a device, since they are on top of it."""
        # The two ends of a pair name each other.
        return [upper for upper in self.devices.values() if upper.link == device.index and upper.kind != "veth"]

    def holder(self, name: str) -> Optional[NetworkDevice]:
        """Return the interface that has a name, be it an alternative one."""
        return self.devices.get(name) or next((d for d in self.devices.values() if name in d.altnames), None)

    def user(self, device: NetworkDevice) -> Optional[str]:
        """Return who uses a device; ``None`` where nobody does."""
        return self.users.get(device.name) or ("a process" if device.is_attached else None)


def observed_traits(observed: Observed, device: NetworkDevice) -> Traits:
    """Return the properties of a device of the host."""
    common: Traits = {
        "type": device.kind,
        "mtu": device.mtu,
        "mac": device.mac,
        "up": device.is_up,
        "link_group": device.group,
        "altnames": tuple(sorted(device.altnames)),
    }
    return {**common, **(_of_macvtap(observed, device) if device.kind == "macvtap" else _of_tap(observed, device))}


def _of_tap(observed: Observed, device: NetworkDevice) -> Traits:
    return {
        "owner": device.owner,
        "group": device.owner_group,
        "multi_queue": device.multi_queue,
        "vnet_hdr": device.vnet_hdr,
        "packet_information": device.packet_information,
        "persistent": device.persistent,
        "bridge": observed.name_of(device.master) if device.port_kind == "bridge" else None,
        "isolated": device.isolated,
        "learning": device.learning,
        "neigh_suppress": device.neigh_suppress,
    }


def _of_macvtap(observed: Observed, device: NetworkDevice) -> Traits:
    node = observed.nodes.get(device.name)
    return {
        "owner": None if node is None else node.owner,
        "group": None if node is None else node.group,
        "permissions": None if node is None else node.mode,
        "link": observed.name_of(device.link),
        "mode": device.mode,
        "all_multicast": device.all_multicast,
        "ipv6": device.has_ipv6,
    }


def wanted_traits(observed: Observed, tap: HostTap) -> Traits:
    """Return the declared properties of a device; what is not declared and stays as it is, is left out."""
    wanted: Traits = {
        "type": tap["type"],
        **(_wanted_macvtap(observed, tap) if tap["type"] == "macvtap" else _wanted_tap(observed, tap)),
        "up": tap["up"],
        "link_group": tap["link_group"],
    }
    for key, value in (("mtu", tap["mtu"]), ("mac", tap["mac"])):
        if value is not None:
            wanted[key] = value
    if tap["altnames"] is not None:
        wanted["altnames"] = tuple(sorted(tap["altnames"]))
    return wanted


def _wanted_tap(observed: Observed, tap: HostTap) -> Traits:
    return {
        # The kernel lets everybody open a tap that has neither.
        "owner": _account(observed, "owner", tap["owner"] or ("0" if tap["group"] is None else None)),
        "group": _account(observed, "group", tap["group"]),
        "multi_queue": tap["multi_queue"],
        "vnet_hdr": tap["vnet_hdr"],
        "packet_information": False,
        "persistent": True,
        "bridge": tap["bridge"],
        "isolated": tap["isolated"],
        "learning": tap["learning"],
        "neigh_suppress": tap["neigh_suppress"],
    }


def _wanted_macvtap(observed: Observed, tap: HostTap) -> Traits:
    return {
        "owner": _account(observed, "owner", tap["owner"] or "0"),
        "group": _account(observed, "group", tap["group"] or "0"),
        "permissions": NODE_MODE,
        "link": tap["macvtap"]["link"],
        "mode": tap["macvtap"]["mode"],
        # As the units of MicroVMs make it: multicast reaches a macvtap only so, and the host has no address on it.
        "all_multicast": True,
        "ipv6": False,
    }


def _account(observed: Observed, option: str, name: Optional[str]) -> Optional[int]:
    if name is None:
        return None
    return int(name) if name.isdigit() else observed.accounts.get((option, name))


def new_traits(observed: Observed, wanted: Traits) -> Traits:
    """Return the properties of a device right after it is made, of one whose declared properties are given."""
    common: Traits = {"mac": None, "up": False, "link_group": 0, "altnames": ()}
    if wanted["type"] == "tap":
        made = ("type", "owner", "group", "multi_queue", "vnet_hdr", "packet_information", "persistent")
        return {**common, **PORT_DEFAULTS, "bridge": None, "mtu": TAP_MTU, **_some(wanted, made)}
    link = observed.devices.get(str(wanted["link"]))
    node: Traits = {"owner": None, "group": None, "permissions": None, "all_multicast": False, "ipv6": True}
    mtu = None if link is None else link.mtu
    return {**common, **node, "mtu": mtu, **_some(wanted, ("type", "link", "mode", "mac"))}


def kept_traits(observed: Observed, before: Traits, wanted: Traits) -> Traits:
    """Return the properties that a device keeps when it is replaced by one of its type, if they are not declared."""
    if before["type"] != wanted["type"]:
        return {}
    link, mtu = observed.devices.get(str(wanted.get("link"))), before["mtu"]
    keys = ["altnames"]
    if link is None or (isinstance(mtu, int) and mtu <= link.mtu):
        keys.append("mtu")
    # In this mode, the address is that of the link.
    if "passthru" not in (before.get("mode"), wanted.get("mode")):
        keys.append("mac")
    return {key: before[key] for key in keys}


def _some(traits: Traits, keys: Tuple[str, ...]) -> Traits:
    return {key: traits[key] for key in keys if key in traits}


def shown(value: Value) -> str:
    """Return a value as steps and diffs show it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)
