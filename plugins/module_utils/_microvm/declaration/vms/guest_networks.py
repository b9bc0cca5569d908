# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Complete the network configuration of a guest: names of its interfaces, gateways and routes.

Raises DeclarationError for what the guest could not use.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ...schema.errors import DeclarationError
from ..types import GuestNetwork, GuestNetworkRoute, Vm

_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

ALL = {4: "0.0.0.0/0", 6: "::/0"}
"""Destination of a default route by the version of the protocol."""


def complete_networks(declaration: Vm, path: str) -> List[GuestNetwork]:
    """Return one entry for each interface, in the interfaces' order."""
    interfaces = [interface["id"] for interface in declaration["interfaces"]]
    places: Dict[str, str] = {}
    networks = {interface: _by_dhcp(interface, position) for position, interface in enumerate(interfaces)}
    for index, network in enumerate(declaration["guest"]["networks"]):
        place = f"{path}[{index}]"
        interface = _interface(network, interfaces, index, place)
        if interface in places:
            raise DeclarationError(f"{place}.interface", "is configured twice; merge the two entries")
        places[interface] = place
        networks[interface] = _complete(network, networks[interface], place)
    _check_names(networks, places)
    return list(networks.values())


def is_on_link(network: GuestNetwork, gateway: str) -> bool:
    """Return whether no subnet has a gateway, which the guest must be told to reach directly: with ``/32`` alone."""
    address = ipaddress.ip_address(gateway)
    subnets = list(_subnets(network, address.version))
    return not _is_in_reach(network, address) and any(subnet.prefixlen == subnet.max_prefixlen for subnet in subnets)


def _interface(network: GuestNetwork, interfaces: Sequence[str], index: int, path: str) -> str:
    """Return the interface that an entry is for."""
    # Nobody may have written it, whatever its type says after parsing.
    interface = network["interface"] or (interfaces[index] if index < len(interfaces) else "")
    if interface not in interfaces:
        names = ", ".join(interfaces) or "none is declared"
        raise DeclarationError(f"{path}.interface", f"is not an interface of this MicroVM; its interfaces are: {names}")
    return interface


def _by_dhcp(interface: str, position: int) -> GuestNetwork:
    return {
        "interface": interface,
        "name": f"net{position}",
        "addresses": [],
        "gateway": [],
        "routes": [],
        "dns": [],
        "domains": [],
        "dhcp": True,
    }


def _check_names(networks: Dict[str, GuestNetwork], places: Dict[str, str]) -> None:
    """Refuse names that two interfaces would have, or may have while udev gives the names (systemd.link(5))."""
    names = [network["name"] for network in networks.values()]
    for interface, place in places.items():
        name = networks[interface]["name"]
        if names.count(name) > 1:
            raise DeclarationError(
                f"{place}.name", f"{name!r} is the name of another interface; choose a different one"
            )
        if len(names) > 1 and re.fullmatch(r"eth[0-9]+", name):
            raise DeclarationError(
                f"{place}.name",
                f"{name!r} may be what the kernel calls another interface first; choose a different one, such as lan0",
            )


def _complete(network: GuestNetwork, by_default: GuestNetwork, path: str) -> GuestNetwork:
    # In one way of writing: 10.0.0.2/255.255.255.0 is 10.0.0.2/24.
    addresses = [str(ipaddress.ip_interface(address)) for address in network["addresses"]]
    network = {
        **network,
        "interface": by_default["interface"],
        "name": network["name"] or by_default["name"],
        "addresses": addresses,
        "dhcp": not addresses if network["dhcp"] is None else network["dhcp"],
    }
    for index, gateway in enumerate(network["gateway"]):
        _check_gateway(network, gateway, f"{path}.gateway[{index}]")
    network["routes"] = [
        _complete_route(network, route, f"{path}.routes[{index}]") for index, route in enumerate(network["routes"])
    ]
    _refuse_repeated_routes(network, path)
    return network


def _subnets(network: GuestNetwork, version: int) -> Iterator[Union[ipaddress.IPv4Network, ipaddress.IPv6Network]]:
    """Yield the subnets of the static addresses of a protocol."""
    for text in network["addresses"]:
        address = ipaddress.ip_interface(text)
        if address.version == version:
            yield address.network


def _is_in_reach(network: GuestNetwork, gateway: _Address) -> bool:
    """Return whether a gateway is a neighbour: in a subnet, where a route without a gateway leads, or link-local."""
    direct = [ipaddress.ip_network(route["destination"]) for route in network["routes"] if route["gateway"] is None]
    is_neighbour = gateway.version == 6 and gateway.is_link_local
    return is_neighbour or any(gateway in subnet for subnet in [*_subnets(network, gateway.version), *direct])


def _check_gateway(network: GuestNetwork, text: str, path: str) -> None:
    """Refuse a gateway that the guest cannot reach. What it gets by DHCP, or from a router for IPv6, is not known."""
    gateway = ipaddress.ip_address(text)
    if any(ipaddress.ip_interface(address).ip == gateway for address in network["addresses"]):
        raise DeclarationError(path, f"{text} is an address of the guest itself; write that of its router")
    subnets = list(_subnets(network, gateway.version))
    if network["dhcp"] or _is_in_reach(network, gateway) or is_on_link(network, text):
        return
    if subnets:
        raise DeclarationError(
            path,
            f"{text} is in no subnet of the interface ({', '.join(map(str, subnets))}); correct it or the address, or "
            f"declare a route to {ALL[gateway.version]} with `gateway` and `on_link: true`",
        )
    if gateway.version == 4:
        raise DeclarationError(path, f"{text} requires an IPv4 address of the interface; add it to `addresses`")


def _complete_route(network: GuestNetwork, route: GuestNetworkRoute, path: str) -> GuestNetworkRoute:
    destination, gateway = ipaddress.ip_network(route["destination"]), route["gateway"]
    # Nobody may have written it, whatever its type says after parsing.
    on_link: Optional[bool] = route["on_link"]
    if gateway is None and on_link:
        raise DeclarationError(f"{path}.on_link", "requires a gateway; set `gateway` or remove this option")
    if gateway is not None:
        if ipaddress.ip_address(gateway).version != destination.version:
            raise DeclarationError(f"{path}.gateway", f"{gateway} is not of the protocol of {destination}; correct one")
        if not on_link:
            _check_gateway(network, gateway, f"{path}.gateway")
        on_link = is_on_link(network, gateway) if on_link is None else on_link
    return {**route, "destination": str(destination), "on_link": bool(on_link)}


def _refuse_repeated_routes(network: GuestNetwork, path: str) -> None:
    owners: Dict[Tuple[str, Optional[int]], str] = {}
    routes: List[Tuple[str, Optional[int], str]] = [
        (ALL[ipaddress.ip_address(gateway).version], None, f"{path}.gateway[{index}]")
        for index, gateway in enumerate(network["gateway"])
    ]
    routes += [
        (route["destination"], route["metric"], f"{path}.routes[{index}]")
        for index, route in enumerate(network["routes"])
    ]
    for destination, metric, place in routes:
        owner = owners.setdefault((destination, metric), place)
        if owner != place:
            raise DeclarationError(
                place, f"leads to {destination}, as {owner} does; declare one of them, or a `metric` for it in `routes`"
            )
