# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of nftables (nft(8)) for IPv6: what they add to those of ``rules.py``. Pure."""

from __future__ import annotations

import ipaddress
from typing import Iterator, Sequence

from ...declaration.names import TAP_RULES_DIRECTORY
from ...declaration.networks.ipv6 import NAT, is_open, prefix
from ...declaration.types import Network
from ...schema.quoting import nft_string, nft_value, one_per_line
from .host_rules import host_rules

_NO_IPV6 = """\
        iifname {bridge} meta nfproto ipv6 counter drop
"""

# The host answers to the address of all routers of a subnet, too, if it forwards.
_ALL_ROUTERS = """\
        iifname {bridge} meta nfproto ipv6 fib daddr type anycast jump host
"""

# What ARP is for IPv4, which passes by other rules than these.
_NEIGHBOURS = """\
        iifname {bridge} icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit }} accept
"""

_RELATED = """\
        iifname {bridge} ct state related ct original ip6 saddr != {{ {subnet}, fe80::/64 }} \
ct reply ip6 saddr != {{ {subnet}, fe80::/64 }} counter drop
"""

_CLOSED = """\
        iifname {bridge} oifname != {bridge} meta nfproto ipv6 counter drop
        oifname {bridge} iifname != {bridge} meta nfproto ipv6 counter drop
"""

_OPEN = """\
        iifname {bridge} oifname != {bridge} meta nfproto ipv6 ip6 saddr != {subnet} counter drop
        oifname {bridge} iifname != {bridge} meta nfproto ipv6 ct state != {{ established, related }} counter drop
"""

# Of Amazon, Google, Oracle and Scaleway.
_NO_METADATA = """\
        iifname {bridge} oifname != {bridge} ip6 daddr {metadata} meta l4proto != {{ tcp, udp }} counter drop
        iifname {bridge} oifname != {bridge} ip6 daddr {metadata} th dport != 53 counter drop
"""
_METADATA = "{ fd00:ec2::254, fd20:ce::254, fd00:c1::a9fe:a9fe, fd00:42::42 }"

_MASQUERADE = """\
        ip6 saddr {subnet} oifname != {bridge} masquerade
"""

# Targets of messages of neighbours, 8 bytes after their beginning: nft(8) has a name for them from version 1.1 on.
_SETS = """\
    # Taps whose guest's MAC address is known, on networks with IPv6.
    set taps6 {
        type ifname
    }
    set addresses6 {
        type ifname . ipv6_addr
    }
    set targets6 {
        typeof iifname . @th,64,128
    }
"""

_TO_CHAIN = """\
        ether type ip6 iifname @taps6 goto guest_ip6
"""

# The last type is that by which routers of multicasts say that they are some (RFC 4286), as they do by protocol 103.
# Fragments may hide what they contain behind further headers. Those of the permitted protocols show their ports first.
NEVER = """\
        exthdr frag exists frag nexthdr != { tcp, udp, esp, sctp } counter drop
        udp sport 547 counter drop
        udp dport 546 counter drop
        icmpv6 type { nd-router-advert, nd-redirect, mld-listener-query, 151 } counter drop
        meta l4proto 103 counter drop
"""
"""What no guest sends, whatever its addresses are."""

_CHAINS = (
    "    chain guest_ip6 {\n"
    + NEVER
    + """\
        icmpv6 type nd-neighbor-advert goto guest_advertisement
        ip6 saddr :: goto guest_without_address
        meta l4proto != 0 iifname . ip6 saddr @addresses6 accept
        counter drop
    }
    chain guest_advertisement {
        iifname . @th,64,128 @targets6 iifname . ip6 saddr @addresses6 accept
        counter drop
    }
    chain guest_without_address {
        icmpv6 type nd-neighbor-solicit iifname . @th,64,128 @targets6 accept
        icmpv6 type { nd-router-solicit, mld-listener-report, mld2-listener-report } accept
        counter drop
    }
"""
)


def ipv6_host_rules(network: Network) -> Iterator[str]:
    """Yield what guests reach of the host, beside what they reach by every protocol."""
    if network["ipv6"] is None:
        return
    yield _filled(_NEIGHBOURS, network)
    if network["host_access"] != "all":
        address = nft_value(ipaddress.ip_interface(network["ipv6"]["address"]).ip)
        yield from host_rules(network, f"iifname {nft_string(network['name'])}", f"ip6 daddr {address}", ["icmpv6"])


def ipv6_prerouting_rules(network: Network) -> str:
    """Return what happens to what comes from guests before it is known where it goes."""
    return _filled(_NO_IPV6 if network["ipv6"] is None else _ALL_ROUTERS, network)


def ipv6_related_rules(network: Network) -> str:
    """Return what happens to errors about connections that are none of the network."""
    return _filled(_RELATED, network) if network["ipv6"] is not None else ""


def ipv6_forward_rules(network: Network) -> Iterator[str]:
    """Yield what goes in and out: answers to guests, and what leaves with an address of the subnet."""
    if not is_open(network):
        yield _filled(_CLOSED, network)
        return
    if not network["metadata"]:
        yield _filled(_NO_METADATA, network, metadata=_METADATA)
    yield _filled(_OPEN, network)


def ipv6_postrouting_rules(network: Network) -> str:
    """Return the rule of source NAT."""
    has_nat = network["ipv6"] is not None and network["ipv6"]["outside"] == NAT
    return _filled(_MASQUERADE, network) if has_nat else ""


def tap_sets(networks: Sequence[Network]) -> str:
    """Return the sets of guests' addresses. Without IPv6 there are none: not every nft(8) can read them."""
    return _SETS if _bridges(networks) else ""


def tap_rules(networks: Sequence[Network]) -> str:
    """Return the rule for frames of IPv6."""
    return _TO_CHAIN if _bridges(networks) else ""


def tap_chains(networks: Sequence[Network]) -> str:
    """Return the chains that ``tap_rules`` leads to."""
    return _CHAINS if _bridges(networks) else ""


def tap_files(networks: Sequence[Network]) -> str:
    """Return the inclusion of the taps' elements: taps of a network that has no IPv6 any more have none."""
    paths = (f"{nft_value(TAP_RULES_DIRECTORY)}/{nft_value(name)}:*.nft6" for name in _bridges(networks))
    return one_per_line(f'include "{path}"' for path in paths)


def _bridges(networks: Sequence[Network]) -> Sequence[str]:
    return [network["name"] for network in networks if network["ipv6"] is not None]


def _filled(template: str, network: Network, **values: str) -> str:
    if network["ipv6"] is not None:
        values["address"] = nft_value(ipaddress.ip_interface(network["ipv6"]["address"]).ip)
        values["subnet"] = nft_value(prefix(network))
    return template.format(bridge=nft_string(network["name"]), **values)
