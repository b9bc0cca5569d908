# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of nftables for what passes to guests from beyond their network: forwarded ports, and other guests. Pure.

A packet to a forwarded port is found by three chains: before NAT, where guests are kept from the host's addresses; by
NAT; and where packets are forwarded, with the same conditions again, so that NAT of others opens nothing.
"""

from __future__ import annotations

import ipaddress
from typing import Iterator, List, Sequence

from ...declaration.networks.options import ROUTED
from ...declaration.networks.passages import merged, origin_of, ports_by_protocol
from ...declaration.networks.subnets import subnet
from ...declaration.types import Network, NetworkForwardPort
from ...schema.quoting import nft_string, nft_value, one_per_line

_INDENT = " " * 8

# Addresses of bridges are for the host's own services. By 127.0.0.1 the kernel forwards nothing.
_CHAINS = """\
    set bridge_addresses {{
        type ipv4_addr
        elements = {{ {bridge_addresses} }}
    }}
    chain hairpin {{
{hairpin}    }}
    chain forwarded {{
{forwarded}    }}
    chain dnat_of_others {{
{dnat_of_others}    }}
    chain dnat_of_host {{
{dnat_of_host}    }}
    chain forward_ports {{
        type nat hook prerouting priority dstnat; policy accept;
        fib daddr type local ip daddr != @bridge_addresses jump dnat_of_others
    }}
    chain forward_ports_of_host {{
        type nat hook output priority -100; policy accept;
        ip daddr != 127.0.0.0/8 ip daddr != @bridge_addresses fib daddr type local jump dnat_of_host
    }}
"""

_HAIRPIN = """\
        iifname {bridge} ip daddr != @bridge_addresses fib daddr type local jump hairpin
"""

_FORWARDED = """\
        oifname {bridge} ct state new ct status dnat jump forwarded
"""

# Otherwise the answer goes to the neighbour at once, from an address that it has not asked.
_BACK_BY_THE_HOST = """\
        oifname {bridge} ip saddr {subnet} ct status dnat masquerade
"""


def forwards_chains(networks: Sequence[Network], uplinks: Sequence[str]) -> str:
    """Return the sets and chains for forwarded ports; nothing where there are none.

    Networks that name no uplinks are reached by ``uplinks``.
    """
    if not _has_forwards(networks):
        return ""
    bridges = [network["name"] for network in networks if network["nat"] and network["mode"] != ROUTED]
    hairpin, forwarded, others, host = [], [], [], []
    for network in networks:
        interfaces = [*(network["uplinks"] or uplinks), *bridges]
        for forward in network["forward_ports"]:
            guest = f"{nft_value(forward['guest']['address'])}:{nft_value(forward['guest']['port'])}"
            comes_from = f"iifname {_any_of(map(nft_string, interfaces))}{_sources(forward)}"
            request = _request(forward)
            hairpin.append(f"{request}{_sources(forward)} accept")
            others.append(f"{comes_from} {request} counter dnat ip to {guest}")
            host.append(f"{request} counter dnat ip to {guest}")
            forwarded.append(f"{comes_from} {_request_before_nat(forward)} accept")
    return _CHAINS.format(
        bridge_addresses=", ".join(nft_value(ipaddress.ip_interface(network["address"]).ip) for network in networks),
        hairpin=_lines(hairpin),
        forwarded=_lines(forwarded),
        dnat_of_others=_lines(others),
        dnat_of_host=_lines(host),
    )


def hairpins(networks: Sequence[Network]) -> Iterator[str]:
    """Yield the rules by which guests' packets to forwarded ports come as far as NAT."""
    if _has_forwards(networks):
        for network in networks:
            if network["nat"]:
                yield _HAIRPIN.format(bridge=nft_string(network["name"]))


def passages(network: Network, networks: Sequence[Network]) -> Iterator[str]:
    """Yield the rules by which packets are forwarded to guests of a network."""
    bridge = nft_string(network["name"])
    if network["forward_ports"]:
        yield _FORWARDED.format(bridge=bridge)
    for origin, condition in _allowed(network, networks):
        yield _lines([f"iifname {origin} oifname {bridge} {condition} ct state new counter accept"])


def passages_postrouting(network: Network, networks: Sequence[Network]) -> Iterator[str]:
    """Yield the rules that come before NAT of what leaves networks: guests see who of the allowed ones connects."""
    bridge = nft_string(network["name"])
    for _origin, condition in _allowed(network, networks):
        yield _lines([f"oifname {bridge} {condition} accept"])
    if network["forward_ports"]:
        yield _BACK_BY_THE_HOST.format(bridge=bridge, subnet=nft_value(subnet(network)))


def _has_forwards(networks: Sequence[Network]) -> bool:
    return any(network["forward_ports"] for network in networks)


def _request(forward: NetworkForwardPort) -> str:
    """Return the condition for a packet to a forwarded port."""
    address = forward["host"]["address"]
    port = f"{nft_value(forward['proto'])} dport {nft_value(forward['host']['port'])}"
    return f"ip daddr {nft_value(address)} {port}" if address is not None else port


def _request_before_nat(forward: NetworkForwardPort) -> str:
    """Return the condition for a packet to a guest that was to a forwarded port."""
    host, guest = forward["host"], forward["guest"]
    port = f"{nft_value(forward['proto'])} dport {nft_value(guest['port'])}"
    before = f"ct original proto-dst {nft_value(host['port'])}"
    if host["address"] is not None:
        before += f" ct original ip daddr {nft_value(host['address'])}"
    return f"ip daddr {nft_value(guest['address'])} {port} {before}"


def _sources(forward: NetworkForwardPort) -> str:
    """Return the condition for who may connect."""
    subnets = merged(forward["sources"])
    return f" ip saddr {_any_of(map(nft_value, subnets))}" if subnets else ""


def _allowed(network: Network, networks: Sequence[Network]) -> Iterator[List[str]]:
    """Yield the bridge that allowed packets come from, and the condition for them.

    The network that they come from may be gone while this one, which is no longer declared, stays.
    """
    for allowed in network["allow"]:
        origin = origin_of(allowed, networks)
        if origin is not None and origin[0]["nat"]:
            for protocol, ports in ports_by_protocol(allowed["ports"]):
                who = f"ip saddr {nft_value(origin[1])} ip daddr {nft_value(allowed['to'])}"
                what = f"{nft_value(protocol)} dport {_any_of(map(nft_value, ports))}"
                yield [nft_string(origin[0]["name"]), f"{who} {what}"]


def _any_of(values: Iterator[str]) -> str:
    return f"{{ {', '.join(dict.fromkeys(values))} }}"


def _lines(rules: Sequence[str]) -> str:
    return one_per_line(f"{_INDENT}{rule}" for rule in rules)
