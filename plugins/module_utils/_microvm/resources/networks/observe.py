# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at the networks of a host."""

from __future__ import annotations

import glob
import json
import os
import re
from typing import Dict, List, Optional, Tuple

from ...declaration.names import FLEET_DIRECTORY, NETWORK_UNIT
from ...host import files, systemd
from ...host.commands import HostError, run
from .configuration import (
    FORWARDING_MARK,
    NETWORKD_DIRECTORY,
    RECORD,
    RULES,
    SYSCTLS,
    TABLE,
    UNIT,
    is_ours,
    rules_digest,
)
from .routes import Route, parse_routes
from .state import NETWORKD, Link, Observed

MARK = f"{FLEET_DIRECTORY}/network.changing"
"""File that exists while files and what systemd has read of them may differ: a killed run leaves it to the next one."""

_FORWARDING = "/proc/sys/net/ipv4/ip_forward"

_SETTINGS = ("/etc/sysctl.conf", "/etc/sysctl.d/*.conf", "/run/sysctl.d/*.conf", "/usr/lib/sysctl.d/*.conf")
_FORWARDS = re.compile(r"^\s*-?net[./]ipv4[./](ip_forward|conf[./]\w+[./]forwarding)\s*=\s*1", re.MULTILINE)
_NETWORKD = ("/etc/systemd/network/*.network", "/run/systemd/network/*.network")
_NETWORKD_FORWARDS = re.compile(
    r"^\s*(IPForward|IPv4Forwarding|IPMasquerade)\s*=\s*(yes|true|1|on|ipv4|both)", re.MULTILINE | re.IGNORECASE
)
_LEGACY_TABLES = "/proc/net/ip_tables_names"
"""Tables of iptables that has its own rules in the kernel."""


def observe() -> Observed:
    """Return the state by one look at our files, one question to systemd, one listing of links, one of routes, one of
    our table."""
    paths = [*glob.glob(f"{NETWORKD_DIRECTORY}/*-microvm-*"), RECORD, RULES, SYSCTLS, UNIT]
    contents = {path: _content(path) for path in sorted(paths) if is_ours(path)}
    units = systemd.show([NETWORKD, NETWORK_UNIT])
    switched_on = os.path.exists(FORWARDING_MARK)
    return Observed(
        files={path: content for path, content in contents.items() if content is not None},
        interrupted=os.path.exists(MARK),
        links=observe_links(),
        routes=observe_routes(),
        rules=_loaded_rules(),
        forwarding=(files.read_text(_FORWARDING) or "").strip() == "1",
        switched_on=switched_on,
        other_forwarding=other_forwarding() if switched_on else "",
        networkd=units[NETWORKD],
        unit=units[NETWORK_UNIT],
    )


def _content(path: str) -> Optional[str]:
    """Return the content of one of our files; one that is not even text is replaced, as any other content is."""
    try:
        return files.read_text(path)
    except files.UnreadableFile:
        return ""


def observe_links() -> Dict[str, Link]:
    """Return the network interfaces by name."""
    links = {}
    for link in json.loads(run(["ip", "-json", "address", "show"])):
        name = link["ifname"]
        addresses = [f"{address['local']}/{address['prefixlen']}" for address in link["addr_info"]]
        is_bridge = os.path.isdir(f"/sys/class/net/{name}/bridge")
        ports = sorted(os.listdir(f"/sys/class/net/{name}/brif")) if is_bridge else []
        links[name] = Link(is_bridge, tuple(addresses), tuple(ports))
    return links


def observe_routes() -> Tuple[Route, ...]:
    """Return the routes of IPv4 in the main table."""
    return tuple(parse_routes(run(["ip", "-4", "-json", "route", "show", "table", "main"])))


def other_forwarding() -> str:
    """Return why others than our networks need packets to be forwarded; nothing where no reason is seen."""
    for patterns, expression in ((_SETTINGS, _FORWARDS), (_NETWORKD, _NETWORKD_FORWARDS)):
        for path in sorted(path for pattern in patterns for path in glob.glob(pattern)):
            if not is_ours(path) and expression.search(_content(path) or ""):
                return f"{path} switches it on"
    tables = forwarding_tables(_ruleset())
    if tables:
        return f"the table {tables[0]} of nftables has rules for packets that are forwarded"
    legacy = (files.read_text(_LEGACY_TABLES) or "").split() if os.path.exists(_LEGACY_TABLES) else []
    return "iptables has rules" if legacy else ""


def _ruleset() -> str:
    try:
        return run(["nft", "list", "chains"])
    except HostError:
        # Without nftables there are no such rules.
        return ""


def forwarding_tables(chains: str) -> List[str]:
    """Return the tables of others with chains for packets that are forwarded, of the output of `nft list chains`."""
    tables: List[str] = []
    name = ""
    for line in chains.splitlines():
        if line.startswith("table "):
            name = line[len("table ") :].rstrip(" {")
        elif re.search(r"\bhook (forward|postrouting)\b", line) and name not in (f"ip {TABLE}", *tables):
            tables.append(name)
    return tables


def _loaded_rules() -> Optional[str]:
    try:
        return rules_digest(run(["nft", "list", "table", "ip", TABLE]))
    except HostError:
        # There is no such table, or no nftables yet.
        return None
