# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses of guests that the host knows without having given them: leases of systemd-networkd's DHCP server, and
neighbours that the kernel has spoken to."""

from __future__ import annotations

import ipaddress
import json
from typing import Any, Dict, Iterator, List, Tuple

from . import files
from .commands import HostError, run

SECONDS = 5
"""Time limit of a question, which only waits where something is wrong with the host."""

ETHERNET_BYTES = 6

Address = Tuple[str, str]
"""A MAC address, in lower case, and an IP address."""


def addresses_behind(bridge: str) -> Dict[str, List[str]]:
    """Return IP addresses by the MAC addresses that have them on a bridge; none where nothing can be asked."""
    addresses: Dict[str, List[str]] = {}
    for mac, ip in (*_leases(bridge), *_neighbours(bridge)):
        if ip not in addresses.setdefault(mac, []):
            addresses[mac].append(ip)
    return addresses


def _leases(bridge: str) -> Iterator[Address]:
    """Yield leases by the bus of systemd-networkd (org.freedesktop.network1(5)), which is not started for that."""
    index = (files.read_text(f"/sys/class/net/{bridge}/ifindex") or "").strip()
    if not index.isdigit():
        return
    # The first digit is escaped in the path of an object.
    link = f"/org/freedesktop/network1/link/_3{index}"
    question = ["org.freedesktop.DBus.Properties", "Get", "ss", "org.freedesktop.network1.DHCPServer", "Leases"]
    answer = _ask(["busctl", "--json=short", "--auto-start=no", "call", "org.freedesktop.network1", link, *question])
    try:
        for _family, _client, address, _gateway, hardware, _expiration in answer["data"][0]["data"]:
            mac = ":".join(f"{byte:02x}" for byte in hardware[:ETHERNET_BYTES])
            yield mac, str(ipaddress.IPv4Address(bytes(address)))
    except (LookupError, TypeError, ValueError):
        return


def _neighbours(bridge: str) -> Iterator[Address]:
    answer = _ask(["ip", "-json", "neighbour", "show", "dev", bridge])
    for neighbour in answer if isinstance(answer, list) else ():
        mac, address = neighbour.get("lladdr"), neighbour.get("dst", "")
        # Every guest has a link-local address, which is of no use without the name of an interface.
        if mac and not address.startswith("fe80:"):
            yield mac.lower(), address


def _ask(words: List[str]) -> Any:
    try:
        return json.loads(run(words, SECONDS) or "null")
    except (HostError, ValueError):
        return None
