# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of nftables (nft(8)) for the networks of a host. Pure.

Table ``inet`` says what passes between a network, the host and the world. Table ``bridge`` says which frames a tap may
send; its sets are filled by the script that creates the tap (``runner/scripts/bind_taps.bash``).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import Iterable, Iterator, Mapping, Optional, Sequence, Tuple

from ...declaration.names import TAP_RULES_DIRECTORY
from ...declaration.networks.lan import split_lans
from ...declaration.networks.options import DNS_DHCP
from ...declaration.networks.passages import origin_of
from ...declaration.networks.subnets import subnet
from ...declaration.types import Network
from ...runner.package import DIGEST_LENGTH
from ...schema.quoting import nft_string, nft_value, one_per_line
from . import ipv6_rules, lan_rules, routed_rules
from .forwards import forwards_chains, hairpins, passages, passages_postrouting
from .host_rules import host_rules
from .limits import limits_chain
from .uplink_rules import uplink_rules

TABLE = "microvm_fleet"
"""Name of our tables."""
FAMILIES = ("inet", "bridge")

_TEXT = """\
# One transaction: the old rules are in force until the new ones are. Table ip was that of earlier versions.
table ip {table}
delete table ip {table}
table inet {table}
delete table inet {table}
table bridge {table}
delete table bridge {table}
table inet {table} {{
    comment "{digest}"
{inet}}}
table bridge {table} {{
    comment "{digest}"
{bridge}}}
include "{taps}/*.nft"
{taps6}"""

# A local address is looked for before others' NAT can replace it. With br_netfilter, frames within a bridge come
# through all of these chains as packets from the bridge to itself.
_INET = """\
{sets}{limits}{forwards}    chain host {{
        ct state {{ established, related }} accept
{host}    }}
    chain prerouting {{
        type filter hook prerouting priority mangle; policy accept;
{prerouting}    }}
    chain input {{
        type filter hook input priority filter; policy accept;
{input}    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
{forward}    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
{postrouting}    }}
"""

_DHCP = """\
        iifname {bridge} udp sport 68 udp dport 67 ip daddr {{ 255.255.255.255, {address} }} accept
"""

_HOST_REST = """\
        iifname {bridge} counter drop
"""

# An error of a guest about a connection that is none of its network: who guesses its ports could disturb it.
_RELATED = """\
        iifname {bridge} ct state related ct original ip saddr != {subnet} ct reply ip saddr != {subnet} counter drop
"""

_PREROUTING = """\
        iifname {bridge} fib daddr type local jump host
"""

_INPUT = """\
        iifname {bridge} jump host
"""

# Nothing goes in or out, whether or not the host forwards packets for other reasons.
_CLOSED = """\
        iifname {bridge} oifname != {bridge} meta nfproto ipv4 counter drop
        oifname {bridge} iifname != {bridge} meta nfproto ipv4 counter drop
"""

# Guests are answered, and not reached from elsewhere; what leaves their bridge has an address of its subnet.
_NAT = """\
        iifname {bridge} oifname != {bridge} ip saddr != {subnet} counter drop
        oifname {bridge} iifname != {bridge} meta nfproto ipv4 ct state != {{ established, related }} counter drop
"""

# Of most clouds, of Alibaba's and of Azure's. The resolver of a cloud's machines may be at the same addresses.
_NO_METADATA = """\
        iifname {bridge} oifname != {bridge} ip daddr {metadata} meta l4proto != {{ tcp, udp }} counter drop
        iifname {bridge} oifname != {bridge} ip daddr {metadata} th dport != 53 counter drop
"""
_METADATA = "{ 169.254.0.0/16, 100.100.100.200, 168.63.129.16 }"

# Packets that the host would carry from one guest to another.
_ISOLATED = """\
        iifname {bridge} oifname {bridge} counter drop
"""

_POSTROUTING = """\
        ip saddr {subnet} oifname != {bridge} masquerade
"""

# Of ports that are no known taps, the bridge would learn that a guest is behind them. Not where guests are in a LAN,
# whose frames may come back from there by another interface of the host.
_OTHER_PORTS = """\
        iifname != @taps ether saddr @bound_macs counter drop
"""

# A tap that is in none of the sets sends nothing to one that is, and gets nothing from it.
_BRIDGE = """\
    set taps {{
        type ifname
    }}
    # Taps of packages that do not say which MAC address the guest has.
    set anonymous {{
        type ifname
    }}
    set macs {{
        type ifname . ether_addr
    }}
    set addresses {{
        type ifname . ipv4_addr
    }}
    # Guests whose addresses are not known may have each that is nobody else's.
    set subnets {{
        type ifname . ipv4_addr
        flags interval
    }}
    set bound_macs {{
        type ether_addr
    }}
    set bound {{
        type ipv4_addr
    }}
    set reserved {{
        type ipv4_addr
{reserved}    }}
    # Whatever was known when a tap was bound, the guest with the MAC address of a lease may have its address.
    set leases {{
        type ether_addr . ipv4_addr
{leases}    }}
{sets6}    set seen {{
        type ifname . ether_addr
        flags dynamic,timeout
        timeout 5m
        size 4096
    }}
    # So that no tap fills the set before.
    set newcomers {{
        type ifname
        flags dynamic,timeout
        timeout 10m
        size 4096
    }}
    chain prerouting {{
        type filter hook prerouting priority dstnat; policy accept;
        iifname @taps jump guest
{others}    }}
    chain guest {{
        iifname @anonymous jump anonymous_guest
        iifname != @anonymous iifname . ether saddr != @macs counter drop
        ether type arp goto guest_arp
        # A header that is none has no protocol, and rules would see no ports behind it.
        ether type ip meta l4proto != 0 goto guest_ip
{rules6}        counter drop
    }}
    chain anonymous_guest {{
        ether saddr @bound_macs counter drop
        iifname . ether saddr @seen update @seen {{ iifname . ether saddr }} return
        update @newcomers {{ iifname limit rate over 4/minute burst 16 packets }} counter drop
        update @seen {{ iifname . ether saddr }} return
        counter drop
    }}
    chain guest_arp {{
        arp htype != 1 counter drop
        arp ptype != 0x0800 counter drop
        arp hlen != 6 counter drop
        arp plen != 4 counter drop
        arp operation != {{ request, reply }} counter drop
        iifname != @anonymous iifname . arp saddr ether != @macs counter drop
        iifname @anonymous arp saddr ether @bound_macs counter drop
        arp operation request arp saddr ip 0.0.0.0 goto guest_probe
        iifname . arp saddr ip @addresses accept
        arp saddr ether . arp saddr ip @leases accept
        arp saddr ip @bound counter drop
        arp saddr ip @reserved counter drop
        iifname . arp saddr ip @subnets accept
        counter drop
    }}
    # Who looks whether an address is free keeps others from it that begin to use it.
    chain guest_probe {{
        iifname . arp daddr ip @addresses accept
        arp saddr ether . arp daddr ip @leases accept
        arp daddr ip @bound counter drop
        arp daddr ip @reserved counter drop
        iifname . arp daddr ip @subnets accept
        counter drop
    }}
    # The bridge would send all multicasts to who asks for members of groups (IGMP), or says that it is a router (PIM).
    chain guest_ip {{
        meta l4proto igmp @th,0,8 != {{ 0x12, 0x16, 0x17, 0x22 }} counter drop
        meta l4proto 103 counter drop
        icmp type redirect counter drop
        ip option lsrr exists counter drop
        ip option ssrr exists counter drop
        udp sport 67 counter drop
        udp dport 68 counter drop
        ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept
        iifname . ip saddr @addresses accept
        ether saddr . ip saddr @leases accept
        ip saddr @bound counter drop
        ip saddr @reserved counter drop
        iifname . ip saddr @subnets accept
        counter drop
    }}
{chains6}    chain forward {{
        type filter hook forward priority filter; policy accept;
{forward}        iifname @taps oifname != @taps counter drop
        oifname @taps iifname != @taps counter drop
    }}
"""

_ELEMENTS = """\
        elements = {{ {elements} }}
"""


def rules(
    networks: Sequence[Network],
    uplinks: Sequence[str] = (),
    host_addresses: Sequence[str] = (),
    macs: Optional[Mapping[str, str]] = None,
    ipv6_uplinks: Sequence[str] = (),
) -> str:
    """Return the tables, and the inclusion of the taps' rules; the world is behind ``uplinks`` and ``ipv6_uplinks``.

    ``host_addresses`` are those of the host, and of its routers, where guests are in its LAN; ``macs`` are the MAC
    addresses of the bridges there.
    """
    own, lans = split_lans(networks)
    inet = _inet(own, lans, (uplinks, ipv6_uplinks), macs or {})
    bridge = _bridge(own, lans, host_addresses)
    taps6 = ipv6_rules.tap_files(own) + lan_rules.lan_tap_files(lans)
    digest = hashlib.sha256(f"{inet}{bridge}{taps6}".encode()).hexdigest()[:DIGEST_LENGTH]
    taps = nft_value(TAP_RULES_DIRECTORY)
    return _TEXT.format(table=TABLE, digest=digest, inet=inet, bridge=bridge, taps=taps, taps6=taps6)


def rules_digest(text: str) -> Optional[str]:
    """Return the digest that distinguishes sets of rules, of their file or of the output of `nft list table`."""
    match = re.search(r'^\s*comment "(.*)"$', text, re.MULTILINE)
    return match.group(1) if match else None


def unbound_tap(tap: str) -> str:
    """Return the rules of a tap whose guest is not known: it sends what is nobody else's, from any address."""
    name = nft_string(tap)
    elements = (("taps", name), ("anonymous", name), ("subnets", f"{name} . 0.0.0.0/0"))
    return one_per_line(f"add element bridge {TABLE} {kind} {{ {element} }}" for kind, element in elements)


def _bridge(networks: Sequence[Network], lans: Sequence[Network], host_addresses: Sequence[str]) -> str:
    return _BRIDGE.format(
        others="" if lans else _OTHER_PORTS,
        reserved=_reserved(networks, host_addresses),
        leases=_leases(networks),
        sets6=ipv6_rules.tap_sets(networks) + lan_rules.lan_tap_sets(lans),
        rules6=ipv6_rules.tap_rules(networks) + lan_rules.lan_tap_rules(lans),
        chains6=ipv6_rules.tap_chains(networks) + lan_rules.lan_tap_chains(lans),
        forward=lan_rules.lan_tap_forward_rules(lans),
    )


def _inet(
    networks: Sequence[Network],
    lans: Sequence[Network],
    uplinks: Tuple[Sequence[str], Sequence[str]],
    macs: Mapping[str, str],
) -> str:
    bridges, routed = routed_rules.split(networks)
    host = (line for network in bridges for line in _host(network))
    related = (_filled(_RELATED, network) + ipv6_rules.ipv6_related_rules(network) for network in bridges)
    prerouting = (ipv6_rules.ipv6_prerouting_rules(network) + _filled(_PREROUTING, network) for network in bridges)
    inputs = (_filled(_INPUT, network) for network in bridges)
    forward = [*uplink_rules(bridges, routed, *uplinks)]
    forward += [line for network in bridges for line in _forward(network, bridges)]
    before_nat = (line for network in bridges for line in passages_postrouting(network, bridges))
    nat = [*(_filled(_POSTROUTING, network) for network in bridges if network["nat"])]
    nat += [*map(ipv6_rules.ipv6_postrouting_rules, bridges), *routed_rules.postrouting_rules(routed)]
    return _INET.format(
        sets=routed_rules.SETS + lan_rules.lan_sets(lans),
        limits=limits_chain([*networks, *lans]),
        forwards=forwards_chains(networks, uplinks[0]),
        host="".join([*host, *routed_rules.routed_host_rules(routed), *lan_rules.lan_host_rules(lans)]),
        prerouting="".join(
            [
                *related,
                *hairpins(bridges),
                *prerouting,
                *routed_rules.prerouting_rules(routed),
                lan_rules.lan_prerouting_rules(lans),
            ]
        ),
        input="".join(
            [
                *routed_rules.names_rules(routed),
                *inputs,
                *routed_rules.input_rules(routed),
                lan_rules.lan_input_rules(lans),
            ]
        ),
        # Guests in a LAN come first: what others are forwarded is not for them.
        forward="".join(
            [*lan_rules.lan_forward_rules(lans, macs), *forward, *routed_rules.forward_rules(routed, _METADATA)]
        ),
        postrouting="".join([*before_nat, *nat]),
    )


def _host(network: Network) -> Iterator[str]:
    """Yield what guests reach of the host."""
    if network["host_access"] == DNS_DHCP:
        yield _filled(_DHCP, network)
    address = nft_value(ipaddress.ip_interface(network["address"]).ip)
    yield from host_rules(network, f"iifname {nft_string(network['name'])}", f"ip daddr {address}", ["icmp"])
    yield from ipv6_rules.ipv6_host_rules(network)
    yield _filled(_HOST_REST, network)


def _forward(network: Network, networks: Sequence[Network]) -> Iterator[str]:
    if network["isolate"]:
        yield _filled(_ISOLATED, network)
    yield from passages(network, networks)
    yield from ipv6_rules.ipv6_forward_rules(network)
    if not network["nat"]:
        yield _filled(_CLOSED, network)
        return
    if not network["metadata"]:
        yield _filled(_NO_METADATA, network, metadata=_METADATA)
    yield _filled(_NAT, network)


def _reserved(networks: Sequence[Network], host_addresses: Sequence[str]) -> str:
    """Return the addresses that no guest has only because they are nobody else's.

    They are those of bridges and hosts, of leases, and those from which ``allow`` permits to connect: another guest
    could have it while the MicroVM that is meant does not run.
    """
    bridges = [ipaddress.ip_interface(network["address"]).ip for network in networks]
    leases = [ipaddress.ip_address(lease["address"]) for network in networks for lease in network["leases"]]
    others = map(ipaddress.IPv4Address, host_addresses)
    allowed = (origin_of(allow, networks) for network in networks for allow in network["allow"])
    single = [origin[1][0] for origin in allowed if origin is not None and origin[1].num_addresses == 1]
    return _elements(nft_value(address) for address in sorted({*bridges, *leases, *others, *single}, key=int))


def _leases(networks: Sequence[Network]) -> str:
    """Return the MAC and IP addresses of leases."""
    leases = sorted((lease["mac"].lower(), lease["address"]) for network in networks for lease in network["leases"])
    return _elements(f"{nft_value(mac)} . {nft_value(address)}" for mac, address in leases)


def _elements(elements: Iterable[str]) -> str:
    """Return the line of a set with its elements; an empty set has none."""
    joined = ", ".join(elements)
    return _ELEMENTS.format(elements=joined) if joined else ""


def _filled(template: str, network: Network, **values: str) -> str:
    address = ipaddress.ip_interface(network["address"]).ip
    return template.format(
        bridge=nft_string(network["name"]), subnet=nft_value(subnet(network)), address=nft_value(address), **values
    )
