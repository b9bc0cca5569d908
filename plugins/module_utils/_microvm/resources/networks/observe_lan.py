# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at the interfaces of the host that are to be ports of bridges: who configures them, and how."""

from __future__ import annotations

import glob
import os
import re
from typing import Dict, List, Optional, Sequence

from ...host import files
from .state import LanInterface

INTERFACES = "/sys/class/net"
NETWORKD_LINKS = "/run/systemd/netif/links"
"""Directory of what systemd-networkd says about each interface, by its number."""
NETWORKD_LEASES = "/run/systemd/netif/leases"
NETWORKD_DIRECTORIES = tuple(f"{parent}/systemd/network" for parent in ("/etc", "/run", "/usr/local/lib", "/usr/lib"))
"""Directories of files of systemd-networkd; a file in one hides those of its name in the following ones."""
NETWORK_MANAGER_DEVICES = "/run/NetworkManager/devices"
IFUPDOWN_FILES = ("/etc/network/interfaces", "/etc/network/interfaces.d/*")


def observe_lan_interfaces(links: Sequence[str]) -> Dict[str, LanInterface]:
    """Return interfaces by name; those that the host does not have are left out."""
    return {link: _interface(link) for link in links if os.path.isdir(f"{INTERFACES}/{link}")}


def _interface(link: str) -> LanInterface:
    number = _read(f"{INTERFACES}/{link}/ifindex")
    networkd = _values(f"{NETWORKD_LINKS}/{number}")
    is_managed = networkd.get("ADMIN_STATE", "unmanaged") != "unmanaged"
    file = networkd.get("NETWORK_FILE", "") if is_managed else ""
    paths = [file, *_drop_ins(file, networkd.get("NETWORK_FILE_DROPINS"))] if file else []
    return LanInterface(
        mac=_read(f"{INTERFACES}/{link}/address"),
        text="\n".join(_read(path) for path in paths if path),
        file=file,
        iaid=iaid(_values(f"{NETWORKD_LEASES}/{number}").get("CLIENTID", "")),
        manager="" if file else _other_manager(link, number),
        obstacle=_obstacle(link),
        master=os.path.basename(files.link_target(f"{INTERFACES}/{link}/master") or ""),
    )


def _drop_ins(file: str, listed: Optional[str]) -> List[str]:
    """Return the drop-ins of a file in the order in which they are read; systemd lists them from version 254 on."""
    if listed is not None:
        return listed.strip('"').split(":")
    by_name: Dict[str, str] = {}
    for directory in reversed(NETWORKD_DIRECTORIES):
        for path in glob.glob(f"{directory}/{glob.escape(os.path.basename(file))}.d/*.conf"):
            by_name[os.path.basename(path)] = path
    return [by_name[name] for name in sorted(by_name)]


def iaid(client_id: str) -> Optional[int]:
    """Return the identity of an interface in the identifier of a DHCP client (RFC 4361), if it has such a form."""
    match = re.fullmatch(r"ff([0-9a-f]{8})[0-9a-f]+", client_id.replace(":", ""), re.IGNORECASE)
    return int(match.group(1), 16) if match else None


def _other_manager(link: str, number: str) -> str:
    if _values(f"{NETWORK_MANAGER_DEVICES}/{number}").get("managed") == "true":
        return "NetworkManager"
    declared = re.compile(rf"^\s*(iface|auto|allow-\S+)\s(.*\s)?{re.escape(link)}(\s|$)", re.MULTILINE)
    for path in sorted(path for pattern in IFUPDOWN_FILES for path in glob.glob(pattern)):
        if os.path.isfile(path) and declared.search(_read(path)):
            return f"ifupdown ({path})"
    return ""


def _obstacle(link: str) -> str:
    """Return why an interface cannot be a port of a bridge of ours, as a predicate."""
    directory = f"{INTERFACES}/{link}"
    if os.path.exists(f"{directory}/bridge"):
        return "is a bridge itself"
    if os.path.exists(f"{directory}/phy80211"):
        return "is wireless, which passes frames of its own MAC address only"
    if os.path.exists(f"{directory}/tun_flags"):
        return "is a tap or tun device"
    # ARPHRD_ETHER.
    if _read(f"{directory}/type") != "1":
        return "has no Ethernet"
    return ""


def _read(path: str) -> str:
    try:
        return (files.read_text(path) or "").strip()
    except files.UnreadableFile:
        return ""


def _values(path: str) -> Dict[str, str]:
    lines = (line.partition("=") for line in _read(path).splitlines() if not line.startswith(("#", "[")))
    return {key.strip(): value.strip() for key, equals, value in lines if equals}
