# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare the declared networks with the routes that a host has already. Pure."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from typing import Any, Collection, Iterator, List, Optional, Sequence, Tuple, Union

from ...declaration.networks.ipv6 import prefix
from ...declaration.networks.macvtap import is_macvtap
from ...declaration.networks.subnets import subnet
from ...declaration.types import Network
from ...schema.errors import DeclarationError

Subnet = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

_NAME = re.compile(r"[A-Za-z0-9_.:-]+")
"""Name of an interface that files can contain as it is."""


@dataclass(frozen=True)
class Route:
    """Route of a host, other than the default one."""

    destination: Subnet
    device: Optional[str] = None
    """Interface that it leads to; ``None`` if there are several, or none."""
    is_connected: bool = False
    """True for the subnet of an address that an interface has, which the kernel made the route of."""


def parse_routes(output: str) -> List[Route]:
    """Return the routes of ``ip -json route show`` (ip-route(8)), of one protocol."""
    return [_route(entry) for entry in json.loads(output or "[]") if entry["dst"] != "default"]


def uplink_interfaces(output: str) -> Tuple[str, ...]:
    """Return the interfaces that default routes lead to, or, if there are none, those of all routes."""
    return default_interfaces(output) or _interfaces(json.loads(output or "[]"))


def default_gateways(output: str) -> Tuple[Tuple[str, str], ...]:
    """Return the interfaces that default routes lead to, with the router there, in the order of their names."""
    entries = [entry for entry in json.loads(output or "[]") if entry["dst"] == "default"]
    hops = [hop for entry in entries for hop in (entry, *entry.get("nexthops", ()))]
    return tuple(sorted({(hop["dev"], hop["gateway"]) for hop in hops if "dev" in hop and "gateway" in hop}))


def default_interfaces(output: str) -> Tuple[str, ...]:
    """Return the interfaces that default routes lead to."""
    return _interfaces([entry for entry in json.loads(output or "[]") if entry["dst"] == "default"])


def _interfaces(entries: Sequence[Any]) -> Tuple[str, ...]:
    """Return the interfaces that routes lead to, in the order of their names."""
    hops = [hop for entry in entries for hop in (entry, *entry.get("nexthops", ()))]
    names = {hop["dev"] for hop in hops if "dev" in hop}
    return tuple(sorted(name for name in names if _NAME.fullmatch(name)))


def _route(entry: Any) -> Route:
    # Of IPv6, routers announce the subnets of an interface.
    is_connected = entry.get("protocol") in ("kernel", "ra") and "gateway" not in entry
    return Route(ipaddress.ip_network(entry["dst"], strict=False), entry.get("dev"), is_connected)


def refuse_overlaps(networks: Sequence[Network], routes: Sequence[Route], own: Collection[str], path: str) -> None:
    """Refuse a network whose addresses the host reaches elsewhere; ``own`` are the bridges of our networks.

    A route to a larger network may stay, such as one through a gateway to a whole site: the subnet is a part of it
    that is here. This is not true of a network that the host itself is in, whose other members would be lost.
    Raises DeclarationError with a path below ``path``.
    """
    for index, network in enumerate(networks):
        for key, addresses in _subnets(network):
            for route in routes:
                if route.device not in own and _takes_from(addresses, route):
                    through = f" through {route.device}" if route.device else ""
                    raise DeclarationError(
                        f"{path}[{index}].{key}",
                        f"the subnet {addresses} of network {network['name']!r} overlaps the route of this host to "
                        f"{route.destination}{through}; use another subnet",
                    )


def _subnets(network: Network) -> Iterator[Tuple[str, Subnet]]:
    """Yield the subnets of a network, each with the key that it comes from."""
    if is_macvtap(network):
        return
    yield "address", subnet(network)
    subnet6 = prefix(network)
    if subnet6 is not None:
        yield "ipv6.address", subnet6


def _takes_from(addresses: Subnet, route: Route) -> bool:
    """Return whether packets that now take a route would go to a subnet of ours."""
    destination = route.destination
    if destination.version != addresses.version or not destination.overlaps(addresses):
        return False
    return route.is_connected or destination.prefixlen >= addresses.prefixlen
