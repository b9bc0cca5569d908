# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of nftables for routed networks, as parts of the chains of table ``inet`` (``rules``). Pure.

Their taps are on no bridge. A packet from one has a source address of its guest, so the subnet says which network it is
from; the sets are filled by the script that creates the route (``runner/scripts/route_tap.bash``).
"""

from __future__ import annotations

import ipaddress
from typing import Iterator, List, Sequence, Tuple

from ...declaration.networks.options import ROUTED
from ...declaration.networks.subnets import subnet
from ...declaration.types import Network
from ...schema.quoting import nft_string, nft_value, one_per_line
from .host_rules import host_rules

SETS = """\
    # Taps of routed networks, and the addresses of the guest of each.
    set routed {
        type ifname
    }
    set routed_addresses {
        type ifname . ipv4_addr
    }
    chain routed_guest {
        meta nfproto ipv6 counter drop
        iifname . ip saddr != @routed_addresses counter drop
    }
"""

# What is put on the bridge itself, on which no tap stays, is on no network.
_PORTS = """\
        iifname {bridge} counter drop
"""

# From elsewhere, a guest's address is forged; the host asks itself by the loopback interface.
_FORGED = """\
        iifname != "lo" iifname != @routed ip saddr {subnet} counter drop
"""

# An error of a guest about a connection that is none of its network.
_RELATED = """\
        iifname @routed ip saddr {subnet} ct state related ct original ip saddr != {subnet} \
ct reply ip saddr != {subnet} counter drop
"""

# Other routed networks are reached by nobody, the world by none of a closed network.
_APART = """\
        iifname @routed ip saddr {subnet} oifname @routed ip daddr != {subnet} counter drop
        iifname @routed ip saddr != {subnet} oifname @routed ip daddr {subnet} counter drop
"""

_CLOSED = """\
        iifname @routed ip saddr {subnet} oifname != @routed counter drop
        iifname != @routed oifname @routed ip daddr {subnet} counter drop
"""

_NAT = """\
        iifname != @routed oifname @routed ip daddr {subnet} ct state != {{ established, related }} counter drop
"""

_NO_METADATA = """\
        iifname @routed ip saddr {subnet} ip daddr {metadata} meta l4proto != {{ tcp, udp }} counter drop
        iifname @routed ip saddr {subnet} ip daddr {metadata} th dport != 53 counter drop
"""

_ISOLATED = """\
        iifname @routed ip saddr {subnet} oifname @routed ip daddr {subnet} counter drop
"""

# Its server of names answers at the address, whichever interface a question comes in by.
_NAMES = """\
        iifname != {{ "lo", {bridge} }} iifname != @routed ip daddr {address} meta l4proto {{ tcp, udp }} th dport 53 \
counter drop
"""

_POSTROUTING = """\
        ip saddr {subnet} oifname != @routed masquerade
"""


def split(networks: Sequence[Network]) -> Tuple[List[Network], List[Network]]:
    """Return the networks that are bridges, and those that are routed."""
    bridges = [network for network in networks if network["mode"] != ROUTED]
    return bridges, [network for network in networks if network["mode"] == ROUTED]


def routed_host_rules(networks: Sequence[Network]) -> Iterator[str]:
    """Yield what guests reach of the host."""
    for network in networks:
        address = nft_value(ipaddress.ip_interface(network["address"]).ip)
        origin = f"iifname @routed ip saddr {nft_value(subnet(network))}"
        yield from host_rules(network, origin, f"ip daddr {address}", ["icmp"])
    yield "        iifname @routed counter drop\n"


def prerouting_rules(networks: Sequence[Network]) -> Iterator[str]:
    """Yield what is decided before others' NAT: whether a source is the guest's own, and what is for the host."""
    for network in networks:
        yield _filled(_PORTS, network)
        yield _filled(_FORGED, network)
        yield _filled(_RELATED, network)
    yield "        iifname @routed jump routed_guest\n"
    yield "        iifname @routed fib daddr type local jump host\n"


def names_rules(networks: Sequence[Network]) -> Iterator[str]:
    """Yield what keeps everybody but guests and the host from the servers of names."""
    for network in networks:
        if network["dns_names"] is not None:
            yield _filled(_NAMES, network)


def input_rules(networks: Sequence[Network]) -> Iterator[str]:
    """Yield what is decided of packets for the host."""
    for network in networks:
        yield _filled(_PORTS, network)
    yield "        iifname @routed jump host\n"


def forward_rules(networks: Sequence[Network], metadata: str) -> Iterator[str]:
    """Yield what passes through the host. A guest of a network that this host no longer has reaches nobody."""
    yield "        oifname @routed meta nfproto ipv6 counter drop\n"
    for interface, address in (("iifname", "saddr"), ("oifname", "daddr")):
        subnets = ", ".join(nft_value(subnet(network)) for network in networks)
        others = f" ip {address} != {{ {subnets} }}" if subnets else ""
        yield one_per_line([f"        {interface} @routed{others} counter drop"])
    for network in networks:
        yield _filled(_APART, network)
        if network["isolate"]:
            yield _filled(_ISOLATED, network)
        yield _filled(_NAT if network["nat"] else _CLOSED, network)
        if network["nat"] and not network["metadata"]:
            yield _filled(_NO_METADATA, network, metadata=metadata)


def postrouting_rules(networks: Sequence[Network]) -> Iterator[str]:
    """Yield source NAT to the outside."""
    for network in networks:
        if network["nat"]:
            yield _filled(_POSTROUTING, network)


def _filled(template: str, network: Network, **values: str) -> str:
    address = ipaddress.ip_interface(network["address"]).ip
    return template.format(
        bridge=nft_string(network["name"]), subnet=nft_value(subnet(network)), address=nft_value(address), **values
    )
