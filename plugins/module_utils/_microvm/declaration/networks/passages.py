# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What passes to guests from beyond their network: forwarded ports, and guests of other networks that are allowed."""

from __future__ import annotations

import ipaddress
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from ...schema.errors import DeclarationError
from ..types import Network, NetworkAllow, NetworkForwardPort
from .options import ROUTED
from .selectors import selector_of
from .subnets import subnet

Origin = Tuple[Network, ipaddress.IPv4Network]
"""A network with those of its addresses that may connect."""


def complete_passages(network: Network) -> None:
    """Fill in what is derived."""
    for forward in network["forward_ports"]:
        forward["guest"]["port"] = forward["guest"]["port"] or forward["host"]["port"]
    for allowed in network["allow"]:
        allowed["to"] = allowed["to"] or str(subnet(network))


def check_passages(network: Network, networks: Sequence[Network], path: str) -> None:
    """Refuse what leads nowhere, or elsewhere than to guests of a network. Raises DeclarationError."""
    for key, is_set in (("forward_ports", network["forward_ports"]), ("allow", network["allow"])):
        if is_set and not network["nat"]:
            raise DeclarationError(
                f"{path}.{key}",
                "a network without nat forwards no packets, which keeps it closed even where rules are missing; set "
                "nat to true, or give a MicroVM an interface on each of two networks",
            )
    for index, forward in enumerate(network["forward_ports"]):
        _check_forward(network, networks, forward, f"{path}.forward_ports[{index}]")
        for position, other in enumerate(network["forward_ports"][:index]):
            if _is_same_port(forward, other):
                raise DeclarationError(
                    f"{path}.forward_ports[{index}].host.port", _twice(forward, f"forward_ports[{position}]")
                )
    for index, allowed in enumerate(network["allow"]):
        _check_allowed(network, networks, allowed, f"{path}.allow[{index}]")


def refuse_same_port(network: Network, other: Network, path: str) -> None:
    """Raise DeclarationError, with a path below ``path``, if another network of the host forwards the same port."""
    for index, forward in enumerate(network["forward_ports"]):
        for other_forward in other["forward_ports"]:
            if _is_same_port(forward, other_forward):
                place = f"{path}.forward_ports[{index}].host.port"
                raise DeclarationError(place, _twice(forward, f"network {other['name']!r}"))


def _is_same_port(forward: NetworkForwardPort, other: NetworkForwardPort) -> bool:
    address, other_address = forward["host"]["address"], other["host"]["address"]
    is_same_address = address is None or other_address is None or address == other_address
    is_same_number = forward["host"]["port"] == other["host"]["port"]
    return forward["proto"] == other["proto"] and is_same_number and is_same_address


def _twice(forward: NetworkForwardPort, whose: str) -> str:
    return (
        f"{forward['proto']}/{forward['host']['port']} is forwarded by {whose} too; use another port, or another "
        "address of the host for each"
    )


def _check_forward(network: Network, networks: Sequence[Network], forward: NetworkForwardPort, path: str) -> None:
    reason = _no_guest(network, ipaddress.IPv4Network(forward["guest"]["address"]))
    if reason is not None:
        raise DeclarationError(f"{path}.guest.address", reason)
    for other in networks:
        if forward["host"]["address"] == str(ipaddress.IPv4Interface(other["address"]).ip):
            raise DeclarationError(
                f"{path}.host.address",
                f"{forward['host']['address']} is the address of the bridge of network {other['name']!r}, whose ports "
                "are the host's own; use another address of the host",
            )


def _no_guest(network: Network, addresses: ipaddress.IPv4Network) -> Optional[str]:
    """Return why no guest of a network has an address, or none of a subnet."""
    own = subnet(network)
    if not addresses.subnet_of(own):
        return f"{_shown(addresses)} is not in the subnet {own} of the network; use addresses of its guests"
    bridge = ipaddress.IPv4Interface(network["address"]).ip
    if addresses.num_addresses == 1 and addresses[0] in (bridge, own.network_address, own.broadcast_address):
        return f"{addresses[0]} is the address of the bridge, of the network or for broadcasts; use that of a guest"
    return None


def _shown(addresses: ipaddress.IPv4Network) -> str:
    return str(addresses[0]) if addresses.num_addresses == 1 else str(addresses)


def _check_allowed(network: Network, networks: Sequence[Network], allowed: NetworkAllow, path: str) -> None:
    reason = None if selector_of(allowed["to"]) else _no_guest(network, ipaddress.IPv4Network(allowed["to"]))
    if reason is not None:
        raise DeclarationError(f"{path}.to", reason)
    if not allowed["ports"]:
        raise DeclarationError(f"{path}.ports", "name at least one port, such as tcp/5432")
    if selector_of(allowed["from"]):
        return
    origin = origin_of(allowed, networks)
    if origin is None:
        raise DeclarationError(
            f"{path}.from",
            f"{allowed['from']!r} is neither a network of this host nor in the subnet of one; declare the network in "
            "microvm_networks, or correct it",
        )
    reason = origin_problem(network, origin[0], allowed["from"])
    if reason is not None:
        raise DeclarationError(f"{path}.from", reason)


def origin_problem(network: Network, origin: Network, text: str) -> Optional[str]:
    """Return why guests of a network cannot be allowed to reach another one; ``text`` is how they are named."""
    if origin["name"] == network["name"]:
        remedy = "move one of the guests to a network of its own" if network["isolate"] else "leave it out"
        return f"{text!r} is in the same network, where what passes is decided by isolate alone; {remedy}"
    if origin["mode"] == ROUTED:
        return f"network {origin['name']!r} is routed, and its guests reach no other network; set mode to bridge there"
    if not origin["nat"]:
        return (
            f"network {origin['name']!r} is without nat and forwards no packets, which keeps it closed even where "
            "rules are missing; set nat to true there, or give a MicroVM an interface on each of the two networks"
        )
    return None


def origin_of(allowed: NetworkAllow, networks: Sequence[Network]) -> Optional[Origin]:
    """Return the network that ``from`` names, or that has its addresses; ``None`` if no network does."""
    by_name: Dict[str, Network] = {network["name"]: network for network in networks}
    if allowed["from"] in by_name:
        return by_name[allowed["from"]], subnet(by_name[allowed["from"]])
    try:
        addresses = ipaddress.IPv4Network(allowed["from"])
    except ValueError:
        return None
    within = [network for network in networks if addresses.subnet_of(subnet(network))]
    return (within[0], addresses) if within else None


def merged(subnets: Sequence[str]) -> List[str]:
    """Return subnets as few that do not overlap, in the order of their addresses."""
    return [str(merged_subnet) for merged_subnet in ipaddress.collapse_addresses(map(ipaddress.IPv4Network, subnets))]


def ports_by_protocol(ports: Sequence[str]) -> Iterator[Tuple[str, List[int]]]:
    """Yield each protocol of ports such as ``tcp/5432`` with its ports."""
    for protocol in ("tcp", "udp"):
        numbers = {int(port.partition("/")[2]) for port in ports if port.startswith(f"{protocol}/")}
        if numbers:
            yield protocol, sorted(numbers)
