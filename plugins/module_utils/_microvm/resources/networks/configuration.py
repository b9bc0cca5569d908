# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that make networks: for systemd-networkd, for nftables, for systemd, for the kernel. Pure."""

from __future__ import annotations

import json
import re
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, cast

from ...declaration.identity import TAP_PREFIX
from ...declaration.names import (
    CONFIGURATION_DIRECTORY,
    FLEET_DIRECTORY,
    NETWORK_DOCKER_UNIT,
    NETWORK_LIST,
    NETWORK_SETTINGS,
    NETWORK_UNIT,
    NETWORK_WATCH_UNIT,
    UNIT_DIRECTORY,
)
from ...declaration.networks.ipv6 import is_open, prefix
from ...declaration.networks.lan import is_lan, split_lans
from ...declaration.networks.macvtap import MACVTAP, is_macvtap, with_bridges
from ...declaration.networks.options import NETWORK_OPTIONS, ROUTED
from ...declaration.networks.subnets import subnet
from ...declaration.types import Network, NetworkDhcpServer, NetworkLease
from ...host.commands import HostError
from ...schema.compaction import check_record
from ...schema.errors import DeclarationError
from ...schema.quoting import fields, network_value, one_per_line, plain, section, setting
from ...schema.validation import validate
from .firewalls import docker_rules, permitted, permitted_lans
from .guest_names import dhcp_names, host_names, is_of_names, names_files
from .ipv6_files import ipv6_sections, slaac_prefix
from .lan_files import DROP_IN, RETURN_SCRIPT, common_files, lan_macs, lan_name
from .rules import rules
from .units import docker_script, docker_unit, network_unit, watch_script, watch_unit

NETWORKD_DIRECTORY = "/etc/systemd/network"
RECORD = f"{CONFIGURATION_DIRECTORY}/networks.json"
"""File with the declared networks: tells the next run what a network was that is no longer declared."""
RULES = f"{CONFIGURATION_DIRECTORY}/network.nft"
SYSCTLS = NETWORK_SETTINGS
WATCH = f"{CONFIGURATION_DIRECTORY}/network-watch"
"""Script of the unit that loads the rules again."""
FORMER_FORWARDING_MARK = f"{FLEET_DIRECTORY}/forwarding.switched-on"
"""File of earlier versions, which switched forwarding on for the whole host: exists if it was off before."""
FORWARDING_RECORDS = f"{FLEET_DIRECTORY}/forwarding"
"""Directory of an empty file for each interface of others on which forwarding was off before our networks needed it."""
IPV6_FORWARDING_RECORDS = f"{FLEET_DIRECTORY}/forwarding-ipv6"
"""The same for IPv6."""
FINGERPRINT_RECORD = f"{FLEET_DIRECTORY}/network.fingerprint"
"""File with the fingerprint of the tables that a run has loaded."""
UNIT = f"{UNIT_DIRECTORY}/{NETWORK_UNIT}"
WATCH_UNIT = f"{UNIT_DIRECTORY}/{NETWORK_WATCH_UNIT}"
DOCKER = f"{CONFIGURATION_DIRECTORY}/network-docker"
"""Script of the unit that keeps rules in Docker's chain."""
DOCKER_UNIT = f"{UNIT_DIRECTORY}/{NETWORK_DOCKER_UNIT}"

_TAPS = f"{NETWORKD_DIRECTORY}/49-microvm-taps.network"
OWN_FILES = (
    *(_TAPS, RECORD, RULES, SYSCTLS, UNIT, WATCH_UNIT, WATCH, DOCKER_UNIT, DOCKER, NETWORK_LIST),
    *(RETURN_SCRIPT, DROP_IN),
)
"""Files that exist once, however many networks there are."""

_BRIDGE = f"{NETWORKD_DIRECTORY}/50-microvm-%s.%s"
_BRIDGE_FILE = re.compile(rf"{NETWORKD_DIRECTORY}/50-microvm-(.+)\.(netdev|network)")

_HEADER = "# Written by microvm.fleet; changes here are lost.\n"

_TAPS_TEXT = """\
# Taps are made and removed with their MicroVMs.
[Match]
Name={prefix}*

[Link]
Unmanaged=yes
"""


def configuration(
    networks: Sequence[Network],
    uplinks: Sequence[str] = (),
    ipv6_uplinks: Sequence[str] = (),
    follows_docker: bool = True,
    lan_files: Optional[Mapping[str, str]] = None,
    host_addresses: Sequence[str] = (),
    resolver: Optional[str] = None,
) -> Dict[str, str]:
    """Content of every file, by path; empty where there is no network.

    Guests of open networks that name no uplinks reach what is beyond the interfaces ``uplinks`` and ``ipv6_uplinks``.
    Rules for Docker's chain wait for it, if ``follows_docker``, on hosts without Docker too.
    ``lan_files`` are those of bridges onto interfaces of the host, where guests may not have ``host_addresses``.
    ``resolver`` is the server that guests' questions for names of others are passed on to (``names_files``).
    """
    texts: Dict[str, str] = {}
    own, _lans = split_lans(networks)
    for network in own:
        bridge = [setting("Name", network_value(network["name"])), setting("Kind", plain("bridge"))]
        texts[_BRIDGE % (network["name"], "netdev")] = section("NetDev", bridge)
        texts[_BRIDGE % (network["name"], "network")] = _network(network)
    if networks:
        texts[_TAPS] = _TAPS_TEXT.format(prefix=plain(TAP_PREFIX))
        texts[UNIT], texts[WATCH_UNIT] = network_unit(RULES), watch_unit(WATCH)
        bridges = with_bridges(networks)
        macs = lan_macs(lan_files or {})
        texts[RULES] = rules(bridges, uplinks, host_addresses, macs, ipv6_uplinks)
        texts[NETWORK_LIST] = _list(networks)
        texts[WATCH] = watch_script(RULES)
        texts[SYSCTLS] = settings(kernel_settings(own, uplinks, ipv6_uplinks))
    if lan_files:
        texts.update(common_files())
    if follows_docker and (permitted(networks) or permitted_lans(networks)):
        docker = docker_rules(networks, uplinks, ipv6_uplinks)
        texts[DOCKER_UNIT] = docker_unit(DOCKER)
        texts[DOCKER] = docker_script(docker["iptables"], docker["ip6tables"])
    texts.update(names_files(networks, resolver))
    texts = {path: _HEADER + text for path, text in texts.items()}
    texts.update(lan_files or {})
    if networks:
        texts[RECORD] = json.dumps(list(networks), indent=2, sort_keys=True) + "\n"
    return dict(sorted(texts.items()))


def recorded_networks(files: Mapping[str, str]) -> List[Network]:
    """The networks that files were made of. Raises HostError for a record that is damaged."""
    if RECORD not in files:
        return []
    try:
        networks = json.loads(files[RECORD])
        for network in networks if isinstance(networks, list) else [None]:
            check_record(NETWORK_OPTIONS, network, "network")
        # Earlier versions recorded fewer options.
        return [cast(Network, validate(NETWORK_OPTIONS, network, "network")) for network in networks]
    except (ValueError, RecursionError, DeclarationError) as error:
        raise HostError(
            f"{RECORD} is damaged ({error}); restore it from a backup, or remove it and run again with all networks, "
            "those that are no longer declared but whose bridges MicroVMs use included"
        ) from None


def is_ours(path: str) -> bool:
    """Return whether a file is one of ``configuration``, of whatever networks."""
    return path in OWN_FILES or bridge_of(path) is not None or lan_name(path) is not None or is_of_names(path)


def bridge_of(path: str) -> Optional[str]:
    """The network that a file of systemd-networkd is about; ``None`` for every other file."""
    match = _BRIDGE_FILE.fullmatch(path)
    return match.group(1) if match else None


def kernel_settings(networks: Sequence[Network], uplinks: Sequence[str], ipv6_uplinks: Sequence[str]) -> Dict[str, str]:
    """Return parameters of the kernel, as paths below /proc/sys, with their values.

    A packet of IPv4 is forwarded where the interface that it comes in by forwards. What a network without NAT sends
    stays on the host even without rules. The interfaces that answers to guests come in by need it too.
    """
    values = {}
    for network in networks:
        is_source = network["nat"] and network["mode"] != ROUTED
        values[forwarding_of(network["name"])] = "1" if is_source else "0"
        values.update(_ipv6_settings(network))
    for network in networks:
        if network["nat"]:
            values.update({forwarding_of(uplink): "1" for uplink in network["uplinks"] or uplinks})
        if is_open(network):
            values.update({ipv6_forwarding_of(uplink): "1" for uplink in network["uplinks"] or ipv6_uplinks})
    return values


def _ipv6_settings(network: Network) -> Dict[str, str]:
    """Return the parameters of a bridge.

    A packet of IPv6 is forwarded where the interface that it comes in by forwards, by a parameter that Linux has from
    version 6.17 on, or all interfaces do. The other one says whether the host calls itself a router: guests forget a
    router that does not.
    """
    name = network["name"]
    values = {f"net/ipv6/conf/{name}/disable_ipv6": "1" if network["ipv6"] is None else "0"}
    if network["ipv6"] is not None:
        values[ipv6_forwarding_of(name)] = "1" if is_open(network) else "0"
    if is_open(network):
        values[f"net/ipv6/conf/{name}/forwarding"] = "1"
    return values


def forwards_taps(network: Network) -> str:
    """Return the value of the parameter ``forwarding`` of a routed network's taps."""
    return "1" if network["nat"] or not network["isolate"] else "0"


def forwarding_of(interface: str) -> str:
    """Return the parameter of the kernel, as a path below /proc/sys, that lets an interface's packets be forwarded."""
    return f"net/ipv4/conf/{interface}/forwarding"


def ipv6_forwarding_of(interface: str) -> str:
    """Return the parameter of Linux 6.17 that lets an interface's packets of IPv6 be forwarded."""
    return f"net/ipv6/conf/{interface}/force_forwarding"


def settings(values: Mapping[str, str]) -> str:
    """Return a file of sysctl.d(5). With slashes, names of interfaces may contain dots."""
    return one_per_line(f"{network_value(path)} = {plain(value)}" for path, value in values.items())


def parsed_settings(text: str) -> Dict[str, str]:
    """Return the parameters of a file that ``settings`` wrote, or an earlier version, with their values."""
    lines = (line.partition("=") for line in text.splitlines() if not line.startswith("#"))
    return {key.strip(): value.strip() for key, equals, value in lines if equals}


def _list(networks: Sequence[Network]) -> str:
    """Return the file that ``bind_taps.bash`` and ``join_macvtap.bash`` read."""
    lines = []
    for network in networks:
        name, isolated = network_value(network["name"]), plain("on" if network["isolate"] else "off")
        if is_macvtap(network):
            mode = plain(network["macvtap"]["mode"] or "")
            lines.append(fields(plain(MACVTAP), name, network_value(network["link"] or ""), mode))
            continue
        if network["dns_names"] is not None:
            lines.append(fields(plain("names"), name))
        if network["mode"] == ROUTED:
            lines.append(fields(plain(ROUTED), name, network_value(network["address"]), plain(forwards_taps(network))))
            continue
        if is_lan(network):
            # Which subnet the guests are in is the LAN's business.
            lines.append(fields(plain("network"), name, network_value("0.0.0.0/0"), isolated))
            lines.append(fields(plain("lan"), name))
            continue
        lines.append(fields(plain("network"), name, network_value(str(subnet(network))), isolated))
        subnet6 = prefix(network)
        if subnet6 is not None:
            lines.append(fields(plain("prefix"), name, network_value(slaac_prefix(subnet6))))
        for lease in network["leases"]:
            lines.append(fields(plain("lease"), name, plain(lease["mac"]), network_value(lease["address"])))
    return one_per_line(lines)


def _network(network: Network) -> str:
    """A systemd.network(5) file."""
    server = network["dhcp_server"]
    own = [
        setting("Address", network_value(network["address"])),
        # A bridge has no carrier until its first MicroVM runs.
        *(setting("ConfigureWithoutCarrier", plain("yes")), setting("IPv6AcceptRA", plain("no"))),
        # By link-local addresses guests would reach the host of a network without IPv6.
        setting("LinkLocalAddressing", plain("no" if network["ipv6"] is None else "ipv6")),
        # Else systemd-resolved tells guests the names of the host, and asks them for names that it looks up.
        *(setting("LLMNR", plain("no")), setting("MulticastDNS", plain("no"))),
        *([setting("IPv6SendRA", plain("yes"))] if network["ipv6"] is not None else []),
        setting("DHCPServer", plain("yes" if server is not None else "no")),
        *host_names(network),
    ]
    sections = [
        section("Match", [setting("Name", network_value(network["name"]))]),
        section("Network", own),
        section("Link", [setting("RequiredForOnline", plain("no"))]),
        *([section("DHCPServer", [*_dhcp_server(server), *dhcp_names(network)])] if server is not None else []),
        *map(_lease, network["leases"]),
        *ipv6_sections(network),
    ]
    return "\n".join(sections)


def _lease(lease: NetworkLease) -> str:
    values = (setting("MACAddress", plain(lease["mac"])), setting("Address", network_value(lease["address"])))
    return section("DHCPServerStaticLease", values)


def _dhcp_server(server: NetworkDhcpServer) -> Iterator[str]:
    if server["pool_offset"] is not None:
        yield setting("PoolOffset", plain(server["pool_offset"]))
    if server["pool_size"] is not None:
        yield setting("PoolSize", plain(server["pool_size"]))
    if server["dns"]:
        yield setting("DNS", *map(network_value, server["dns"]))
