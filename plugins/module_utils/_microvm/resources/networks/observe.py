# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at the networks of a host."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from typing import Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

from ...declaration.names import (
    FLEET_DIRECTORY,
    NETWORK_DOCKER_UNIT,
    NETWORK_UNIT,
    NETWORK_WATCH_UNIT,
    TAP_RULES_DIRECTORY,
    names_unit,
)
from ...declaration.networks.lan import lan_link
from ...declaration.types import Network
from ...host import files, systemd
from ...host.commands import HostError, run
from .configuration import (
    FINGERPRINT_RECORD,
    FORMER_FORWARDING_MARK,
    FORWARDING_RECORDS,
    IPV6_FORWARDING_RECORDS,
    NETWORKD_DIRECTORY,
    OWN_FILES,
    SYSCTLS,
    forwarding_of,
    ipv6_forwarding_of,
    is_ours,
    parsed_settings,
    recorded_networks,
)
from .firewalls import permitted_lans
from .forwarding import SWITCHES, is_of_systemd
from .guest_names import names_settings_path, names_unit_path, network_of_settings
from .lan_files import PERMANENT, RETURNED, RUNTIME, UNCONFIRMED
from .macvtaps import FILE_SUFFIX, parse_tables
from .observe_firewalls import (
    SERVICES,
    legacy_tables,
    listed_chains,
    listed_table,
    observe_firewalls,
    recorded_interfaces,
)
from .observe_lan import observe_lan_interfaces
from .observe_names import observe_guest_names, observe_resolver, observe_tap_guests
from .other_chains import does_nothing
from .routes import default_gateways, default_interfaces, parse_routes, uplink_interfaces
from .rules import FAMILIES, TABLE, rules_digest
from .state import ALL_IPV6_FORWARDING, NETWORKD, Link, Observed
from .taps import bound_mac, parse_elements, parse_entries

MARK = f"{FLEET_DIRECTORY}/network.changing"
"""File that exists while files and what systemd has read of them may differ: a killed run leaves it to the next one."""

PARAMETERS = "/proc/sys"
"""Directory of the kernel's parameters (proc_sys(5))."""

LEASES = "/var/lib/systemd/network/dhcp-server-lease"
"""Directory of the leases that DHCP servers of systemd-networkd have given, in a file for each interface."""

_OWN_TABLES = tuple(f"{family} {TABLE}" for family in ("ip", *FAMILIES))
"""Tables of ours; ``ip`` was that of earlier versions."""


def observe(networks: Sequence[Network] = ()) -> Observed:
    """Return the state by one look at our files, one question to systemd, one listing of links, one of routes, one of
    each of our tables. ``networks`` are the declared ones. Raises HostError."""
    patterns = [f"{directory}/*-microvm-*" for directory in (NETWORKD_DIRECTORY, RUNTIME, PERMANENT)]
    patterns += [names_settings_path("*"), names_unit_path("*")]
    paths = {path for pattern in patterns for path in glob.glob(pattern)}.union(OWN_FILES)
    contents = {path: _content(path) for path in sorted(paths) if is_ours(path)}
    present = {path: content for path, content in contents.items() if content is not None}
    recorded = recorded_networks(present)
    named = [network for network in map(network_of_settings, contents) if network is not None]
    own = (NETWORKD, NETWORK_UNIT, NETWORK_WATCH_UNIT, NETWORK_DOCKER_UNIT, *map(names_unit, named))
    units = systemd.show([*own, *SERVICES])
    routes, ipv6_routes, forwards_everything = (
        observe_routes(),
        _observe_ipv6_routes(),
        os.path.exists(FORMER_FORWARDING_MARK),
    )
    links, switched_on = observe_links(), recorded_interfaces(FORWARDING_RECORDS)
    ports = {port for link in links.values() for port in link.ports}
    interfaces = ("default", *sorted(links.keys() - ports))
    parameters = [parameter for name in interfaces for parameter in (forwarding_of(name), ipv6_forwarding_of(name))]
    rules, fingerprint = observe_rules()
    tap_rules, macvtap_rules = observe_tap_rules(), observe_macvtap_rules()
    return Observed(
        files=present,
        interrupted=os.path.exists(MARK),
        links=links,
        routes=tuple(parse_routes(routes)),
        uplinks=uplink_interfaces(routes),
        rules=rules,
        fingerprint=fingerprint,
        recorded_fingerprint=(_content(FINGERPRINT_RECORD) or "").strip(),
        tap_rules=tap_rules,
        macvtap_rules=macvtap_rules,
        loaded_macvtaps=_loaded_macvtaps() if macvtap_rules else frozenset(),
        loaded_taps=_loaded_taps() if rules is not None else frozenset(),
        pinned=_pinned(tap_rules),
        settings=_settings([*parsed_settings(contents[SYSCTLS] or ""), *parameters, ALL_IPV6_FORWARDING]),
        ipv6_routes=tuple(parse_routes(ipv6_routes)),
        ipv6_uplinks=default_interfaces(ipv6_routes),
        gateways=default_gateways(routes),
        lan_interfaces=observe_lan_interfaces([link for link in map(lan_link, networks) if link]),
        unconfirmed=os.path.exists(UNCONFIRMED),
        returned=os.path.exists(RETURNED),
        switched_on=switched_on,
        ipv6_switched_on=recorded_interfaces(IPV6_FORWARDING_RECORDS),
        forwards_everything=forwards_everything,
        other_forwarding=other_forwarding() if switched_on or forwards_everything else "",
        resolver=observe_resolver(),
        tap_guests=observe_tap_guests() if tap_rules else {},
        guest_names=observe_guest_names(),
        names_units={network: units[names_unit(network)] for network in named},
        networkd=units[NETWORKD],
        unit=units[NETWORK_UNIT],
        watch=units[NETWORK_WATCH_UNIT],
        docker_unit=units[NETWORK_DOCKER_UNIT],
        # Others' rules are only of interest where a bridge takes an interface from them.
        firewalls=observe_firewalls(units, _OWN_TABLES, bool(permitted_lans([*networks, *recorded]))),
        kept_leases=observe_leases([network["name"] for network in recorded if network["dhcp_server"] is not None]),
    )


def _settings(parameters: Sequence[str]) -> Dict[str, str]:
    """Return the values of the parameters that the kernel has."""
    values = {path: files.read_text(f"{PARAMETERS}/{path}") for path in parameters if "/" in path}
    return {path: value.strip() for path, value in values.items() if value is not None}


def _content(path: str) -> Optional[str]:
    """Return the content of one of our files; one that is not even text is replaced, as any other content is."""
    try:
        return files.read_text(path)
    except files.UnreadableFile:
        return ""


def observe_leases(networks: Sequence[str]) -> Dict[str, str]:
    """Return the files of leases that DHCP servers have given, by network; one that is not even text is empty."""
    contents = {network: _content(f"{LEASES}/{network}") for network in networks}
    return {network: content for network, content in contents.items() if content is not None}


def observe_links() -> Dict[str, Link]:
    """Return the network interfaces by name."""
    links = {}
    for link in json.loads(run(["ip", "-json", "address", "show"])):
        name = link["ifname"]
        addresses = [f"{address['local']}/{address['prefixlen']}" for address in link["addr_info"]]
        is_bridge = os.path.isdir(f"/sys/class/net/{name}/bridge")
        ports = sorted(os.listdir(f"/sys/class/net/{name}/brif")) if is_bridge else []
        isolated = frozenset(port for port in ports if _is_isolated(port))
        taps = frozenset(port for port in ports if os.path.exists(f"/sys/class/net/{port}/tun_flags"))
        learns = (files.read_text(f"/sys/class/net/{name}/bridge/no_linklocal_learn") or "").strip() == "0"
        links[name] = Link(is_bridge, tuple(addresses), tuple(ports), isolated, taps, "UP" in link["flags"], learns)
    return links


def _is_isolated(port: str) -> bool:
    return (files.read_text(f"/sys/class/net/{port}/brport/isolated") or "").strip() == "1"


def observe_routes() -> str:
    """Return the routes of IPv4 in the main table, as ip-route(8) shows them."""
    return run(["ip", "-4", "-json", "route", "show", "table", "main"])


def _observe_ipv6_routes() -> str:
    """Return the routes of IPv6 in the main table; nothing where the kernel has no IPv6."""
    has_ipv6 = os.path.exists(f"{PARAMETERS}/{ALL_IPV6_FORWARDING}")
    return run(["ip", "-6", "-json", "route", "show", "table", "main"]) if has_ipv6 else ""


def other_forwarding() -> str:
    """Return why others than our networks need packets to be forwarded; nothing where no reason is seen."""
    for patterns, expression in SWITCHES:
        for path in sorted(path for pattern in patterns for path in glob.glob(pattern)):
            if not (is_ours(path) or is_of_systemd(path)) and expression.search(_content(path) or ""):
                return f"{path} switches it on"
    for table in forwarding_tables(listed_chains()):
        if not does_nothing(listed_table(table)):
            return f"the table {table} of nftables has rules for packets that are forwarded"
    return "iptables has rules" if legacy_tables() else ""


def forwarding_tables(chains: str) -> List[str]:
    """Return the tables of others with chains for packets that are forwarded, of the output of `nft list chains`."""
    tables: List[str] = []
    name = ""
    for line in chains.splitlines():
        if line.startswith("table "):
            name = line[len("table ") :].rstrip(" {")
        elif re.search(r"\bhook (forward|postrouting)\b", line) and name not in (*_OWN_TABLES, *tables):
            tables.append(name)
    return tables


def observe_rules() -> Tuple[Optional[str], str]:
    """Return the digest that both tables have, and the fingerprint of what is in them, without elements of sets."""
    try:
        listed = [run(["nft", "--terse", "--stateless", "list", "table", family, TABLE]) for family in FAMILIES]
    except HostError:
        # There is no such table, or no nftables yet.
        return None, ""
    digests = {rules_digest(text) for text in listed}
    fingerprint = hashlib.sha256("".join(listed).encode()).hexdigest()
    return (digests.pop() if len(digests) == 1 else None), fingerprint


def observe_tap_rules() -> Dict[str, str]:
    """Return the rules of taps, by tap."""
    return _rules_by_interface(".nft")


def observe_macvtap_rules() -> Dict[str, str]:
    """Return the rules of macvtaps of networks, by macvtap."""
    return _rules_by_interface(FILE_SUFFIX)


def _rules_by_interface(suffix: str) -> Dict[str, str]:
    paths = sorted(glob.glob(f"{TAP_RULES_DIRECTORY}/*{suffix}"))
    contents = {os.path.basename(path)[: -len(suffix)]: _content(path) for path in paths}
    return {name: content for name, content in contents.items() if content is not None}


def _loaded_macvtaps() -> FrozenSet[str]:
    return parse_tables(run(["nft", "list", "tables", "netdev"]))


def _loaded_taps() -> FrozenSet[str]:
    sets = (("bridge", "taps"), ("inet", "routed"))
    try:
        return frozenset().union(
            *(parse_elements(run(["nft", "list", "set", kind, TABLE, name])) for kind, name in sets)
        )
    except HostError:
        # Somebody has deleted the set: its table is loaded again.
        return frozenset()


def _pinned(tap_rules: Mapping[str, str]) -> FrozenSet[Tuple[str, str]]:
    is_needed = any(bound_mac(rules) for rules in tap_rules.values())
    return parse_entries(run(["bridge", "-json", "fdb", "show"])) if is_needed else frozenset()
