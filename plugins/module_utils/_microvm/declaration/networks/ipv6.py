# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""IPv6 of a network: its options, and what must be true of them."""

from __future__ import annotations

import ipaddress
from typing import Optional

from ...schema import checks
from ...schema.errors import DeclarationError
from ...schema.options import Option, Options
from ..types import Network

CLOSED, NAT, ROUTED = "none", "nat", "routed"

IPV6_OPTIONS: Options = (
    Option(
        "address",
        "str",
        (
            "IPv6 address of the host on the bridge, with the prefix length 64, such as V(fd00:66:1::1/64).",
            "Its prefix is announced to guests by router advertisements, of which they make their addresses.",
        ),
        required=True,
        check=checks.interface_address,
    ),
    Option(
        "outside",
        "str",
        (
            "How guests reach other networks by IPv6, which only answers come in from.",
            "With V(none) they reach none, and are told that the host is not their router. With V(nat) they reach them "
            "by source NAT to the address of the host. With V(routed) they keep their addresses; others must route the "
            "prefix to the host.",
            "V(nat) and V(routed) require Linux 6.17, which forwards by interface, or a host that forwards IPv6 "
            "already (C(net.ipv6.conf.all.forwarding)).",
        ),
        default=CLOSED,
        choices=(CLOSED, NAT, ROUTED),
    ),
    Option(
        "dns",
        "list",
        "DNS servers to announce to guests. Defaults to those of the host, or with C(outside) V(none) to none.",
        elements="str",
        check=checks.ipv6_address,
    ),
)


def prefix(network: Network) -> Optional[ipaddress.IPv6Network]:
    """Return the prefix of a network's IPv6 address, if it has IPv6."""
    return None if network["ipv6"] is None else ipaddress.IPv6Interface(network["ipv6"]["address"]).network


def is_open(network: Network) -> bool:
    """Return whether guests reach other networks by IPv6."""
    return network["ipv6"] is not None and network["ipv6"]["outside"] != CLOSED


def complete_ipv6(network: Network, path: str) -> None:
    """Write the address in the usual way, and refuse one that guests could make no addresses of."""
    options = network["ipv6"]
    if options is None:
        return
    interface = ipaddress.ip_interface(options["address"])
    if interface.version != 6 or interface.network.prefixlen != 64:
        raise DeclarationError(
            f"{path}.ipv6.address",
            f"{interface} is not an IPv6 address with the prefix length 64, of whose subnet guests make their "
            "addresses; use one such as fd00:66:1::1/64",
        )
    if interface.is_link_local or interface.is_multicast or interface.is_loopback or interface.is_unspecified:
        raise DeclarationError(
            f"{path}.ipv6.address",
            f"{interface} is no address for a subnet; use one of fd00::/8, or of a prefix that is routed to the host",
        )
    if interface.ip == interface.network.network_address:
        raise DeclarationError(
            f"{path}.ipv6.address",
            f"{interface.ip} is the address of all routers of {interface.network}; use another address of the subnet",
        )
    options["address"] = str(interface)


def refuse_ipv6_clash(network: Network, other: Network, path: str) -> None:
    """Raise DeclarationError, with a path below ``path``, where two networks of a host have the same prefix."""
    if network["ipv6"] is not None and prefix(network) == prefix(other):
        raise DeclarationError(
            f"{path}.ipv6.address",
            f"its subnet is also that of network {other['name']!r}; use another subnet",
        )
