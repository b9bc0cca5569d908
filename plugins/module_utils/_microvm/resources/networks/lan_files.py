# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that put a bridge onto an interface of the host. Pure.

systemd-networkd reads them below /run, where a start of the host finds none. The same files in a directory of ours,
from which they are copied before systemd-networkd starts, make them permanent: what is only below /run ends with the
host, or when nobody has confirmed it in time.
"""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

from ...declaration.names import CONFIGURATION_DIRECTORY, RUN_DIRECTORY
from ...declaration.networks.lan import lan_link
from ...declaration.types import Network
from ...runner.scripts.shell import call
from ...schema.quoting import network_value, one_per_line, plain, section, setting
from .scripts import sources
from .state import LanInterface

RUNTIME = "/run/systemd/network"
PERMANENT = f"{CONFIGURATION_DIRECTORY}/lan"
RETURN_SCRIPT = f"{CONFIGURATION_DIRECTORY}/lan-return"
"""Script that makes the files below /run those that are permanent."""
DROP_IN = "/etc/systemd/system/systemd-networkd.service.d/50-microvm-fleet.conf"
UNCONFIRMED = f"{RUN_DIRECTORY}/network.unconfirmed"
"""File that exists while a change waits for its confirmation: who removes it decides what happens to the change."""
RETURNED = f"{RUN_DIRECTORY}/network.returned"
"""The same file, after nobody has confirmed the change in time."""
RETURN_UNIT = "microvm-fleet-lan-return"
"""Name of the timer, and of the service, that takes an unconfirmed change back."""

FIRST = "00-microvm-"
"""Beginning of our files: systemd-networkd takes the first file, by its name, that is for an interface."""

_NAMES = (FIRST + "{}.network", FIRST + "{}+port.network", "50-microvm-{}.netdev")
_FILE = re.compile(rf"{RUNTIME}/(?:00|50)-microvm-([^+/]+)(?:\+port\.network|\.network|\.netdev)")

_MOVED = (
    *("Network", "Address", "Neighbor", "IPv6AddressLabel", "RoutingPolicyRule", "NextHop", "Route", "DHCPv4", "DHCP"),
    *("DHCPv6", "DHCPPrefixDelegation", "IPv6PrefixDelegation", "IPv6AcceptRA", "DHCPServer", "DHCPServerStaticLease"),
    *("IPv6SendRA", "IPv6Prefix", "IPv6RoutePrefix", "IPv6PREF64Prefix"),
)
"""Sections that are about addresses, and so go with them to the bridge."""

_MAC = re.compile(r"^MACAddress=(\S+)$", re.MULTILINE)
_STACKED = re.compile(
    r"^\s*(Bridge|Bond|VRF|BatmanAdvanced|VLAN|MACVLAN|MACVTAP|IPVLAN|IPVTAP|VXLAN|Tunnel|Xfrm|MACsec|IPoIB)\s*=\s*\S",
    re.MULTILINE,
)

_DROP_IN_TEXT = """\
[Service]
ExecStartPre=-+/bin/bash {script} boot
"""

_NOTHING = """\
[Network]
LinkLocalAddressing=no
IPv6AcceptRA=no
DHCP=no

[Link]
RequiredForOnline=no
"""
"""Configuration of a bridge on which the host has no address."""


def lan_of(path: str) -> Optional[str]:
    """Return the bridge that a file below /run is about; ``None`` for every other file."""
    match = _FILE.fullmatch(path)
    return match.group(1) if match else None


def lan_name(path: str) -> Optional[str]:
    """Return the bridge that a file below /run, or a permanent one, is about; ``None`` for every other file."""
    return lan_of(path.replace(PERMANENT, RUNTIME, 1))


def paths(name: str, directory: str) -> List[str]:
    """Return the files of a bridge below a directory."""
    return [f"{directory}/{file.format(name)}" for file in _NAMES]


def common_files() -> Dict[str, str]:
    """Return the files that exist once, however many such bridges there are."""
    script = "moment=${1:?}\n" + sources.LAN_RETURN + "\n"
    script += call("lan_return", PERMANENT, RUNTIME, UNCONFIRMED, RETURNED)
    return {RETURN_SCRIPT: script, DROP_IN: _DROP_IN_TEXT.format(script=plain(RETURN_SCRIPT))}


def lan_texts(network: Network, interface: LanInterface) -> Dict[str, str]:
    """Return the files of a bridge below /run; the interface is not a port of it yet."""
    name, link = network_value(network["name"]), network_value(lan_link(network))
    moved, remaining = _divided(interface.text)
    bridge, port, netdev = paths(network["name"], RUNTIME)
    # With the MAC address of the interface, neighbours and DHCP servers know the bridge as the host that they know.
    device = [setting("Name", name), setting("Kind", plain("bridge")), setting("MACAddress", plain(interface.mac))]
    return {
        bridge: section("Match", [setting("Name", name)])
        + "\n"
        + (moved + _identifiers(interface) if interface.text else _NOTHING),
        port: "\n".join(
            [
                section("Match", [setting("Name", link)]),
                section("Network", [setting("Bridge", name), setting("LinkLocalAddressing", plain("no"))]),
                section("Link", [setting("RequiredForOnline", plain("no"))]),
                *([remaining] if remaining else []),
            ]
        ),
        netdev: section("NetDev", device),
    }


def is_port_of(files: Mapping[str, str], network: Network, directory: str) -> bool:
    """Return whether files below a directory put a bridge onto the interface that its network has as link."""
    bridge, port, netdev = paths(network["name"], directory)
    is_whole = all(path in files for path in (bridge, port, netdev))
    return is_whole and setting("Name", network_value(lan_link(network))) in files[port].splitlines(keepends=True)


def lan_macs(files: Mapping[str, str]) -> Dict[str, str]:
    """Return the MAC addresses of bridges, by their names, as files say them."""
    macs: Dict[str, str] = {}
    for path, text in files.items():
        name, mac = lan_name(path), _MAC.search(text)
        if name is not None and mac is not None and path.endswith(".netdev"):
            macs[name] = mac.group(1)
    return macs


def stacked(text: str) -> str:
    """Return the setting of a file of systemd-networkd by which other interfaces are on this one, or this on others."""
    match = _STACKED.search(text)
    return match.group(1) if match else ""


def _divided(text: str) -> Tuple[str, str]:
    """Return the sections of a file, and of its drop-ins, that go to the bridge, and those that stay."""
    moved, remaining = [], []
    for name, lines in _sections(text):
        if name in _MOVED:
            moved += [f"[{name}]", *lines]
        elif name == "Link":
            online = [line for line in lines if line.lstrip().startswith("RequiredForOnline")]
            rest = [line for line in lines if line not in online]
            moved += [f"[{name}]", *online] if online else []
            remaining += [f"[{name}]", *rest] if rest else []
        elif name != "Match":
            remaining += [f"[{name}]", *lines]
    return one_per_line(moved), one_per_line(remaining)


def _sections(text: str) -> Iterator[Tuple[str, List[str]]]:
    """Yield the sections of a file with their lines, without comments."""
    name = ""
    lines: List[str] = []
    for line in text.splitlines():
        match = re.fullmatch(r"\s*\[(.+)\]\s*", line)
        if match:
            if lines:
                yield name, lines
            name, lines = match.group(1), []
        elif line.strip() and line.lstrip()[0] not in "#;":
            lines.append(line)
    if lines:
        yield name, lines


def _identifiers(interface: LanInterface) -> str:
    """Return what lets DHCP servers know the host again, which is made of the name of the interface otherwise."""
    if interface.iaid is None or "IAID=" in interface.text:
        return ""
    iaid = setting("IAID", plain(interface.iaid))
    return "\n" + section("DHCPv4", [iaid]) + "\n" + section("DHCPv6", [iaid])
