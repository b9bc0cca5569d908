# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of nftables that keep a guest from filling the kernel's table of connections, which a host shares. Pure."""

from __future__ import annotations

from typing import Iterator, Sequence

from ...declaration.networks.lan import is_lan
from ...declaration.networks.options import ROUTED
from ...declaration.networks.subnets import subnet
from ...declaration.types import Network
from ...schema.quoting import nft_string, nft_value

# Guests are told apart by their MAC addresses, which taps are bound to, and not by their IP addresses, of which some
# guests may choose many. A routed tap is bound to no MAC address, and has one guest: there the tap alone counts. Both
# limits are needed: the kernel counts no connections that are closed but not forgotten.
_CHAIN = """\
    set new_connections {{
        type ifname . ether_addr
        size 65535
        flags dynamic,timeout
        timeout 1m
    }}
    set connections {{
        type ifname . ether_addr
        size 65535
        flags dynamic
    }}
    chain limits {{
        type filter hook prerouting priority mangle - 10; policy accept;
{rules}    }}
"""

_RATE = "update @new_connections {{ iifname . {guest} limit rate over {rate}/second burst {burst} packets }} "

_NEW = (
    "        {who} ct state new " + _RATE + "counter drop\n"
    "        {who} ct state != new udp dport {{ 53, 67 }} fib daddr type {{ local, broadcast }} "
    + _RATE
    + "counter drop\n"
)

_CONNECTIONS = """\
        {who} ct state new add @connections {{ iifname . {guest} ct count over {count} }} counter drop
"""

_BURST_SECONDS = 5
_ANY_MAC = "00:00:00:00:00:00"


def limits_chain(networks: Sequence[Network]) -> str:
    """Return the sets and the chain of the limits of all networks."""
    return _CHAIN.format(rules="".join(rule for network in networks for rule in _limits(network)))


def _limits(network: Network) -> Iterator[str]:
    limits = network["limits"]
    who, guest = f"iifname {nft_string(network['name'])}", "ether saddr"
    if network["mode"] == ROUTED:
        who, guest = f"iifname @routed ip saddr {nft_value(subnet(network))}", _ANY_MAC
    if is_lan(network):
        who += " iifname . ether saddr @lan_guests"
    rate = limits["new_connections"]
    if rate:
        yield _NEW.format(who=who, guest=guest, rate=nft_value(rate), burst=nft_value(rate * _BURST_SECONDS))
    if limits["connections"]:
        yield _CONNECTIONS.format(who=who, guest=guest, count=nft_value(limits["connections"]))
