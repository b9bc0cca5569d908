# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Forwarded ports at which the host itself listens: its service would no longer be reached there. Pure."""

from __future__ import annotations

import ipaddress
from typing import Collection, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ...declaration.types import Network, NetworkForwardPort
from ...host.sockets import ListeningSocket
from .configuration import recorded_networks
from .state import Observed

_ForwardKey = Tuple[str, int, Optional[str], Tuple[str, ...]]


class NewForward(NamedTuple):
    """Forwarded port that the host does not have yet."""

    path: str
    network: Network
    forward: NetworkForwardPort

    @property
    def port(self) -> str:
        """Protocol and port of the host, as messages write them."""
        return f"{self.forward['proto']}/{self.forward['host']['port']}"


def new_forwards(observed: Observed, networks: Sequence[Network], path: str = "networks") -> List[NewForward]:
    """Return the forwarded ports that a run would bring, or open to others; those that limit who connects are none."""
    former = {_key(forward) for network in recorded_networks(observed.files) for forward in network["forward_ports"]}
    return [
        NewForward(f"{path}[{index}].forward_ports[{position}].host.port", network, forward)
        for index, network in enumerate(networks)
        for position, forward in enumerate(network["forward_ports"])
        if _key(forward) not in former and _is_for_all(forward)
    ]


def _key(forward: NetworkForwardPort) -> _ForwardKey:
    host = forward["host"]
    return forward["proto"], host["port"], host["address"], tuple(sorted(forward["sources"]))


def _is_for_all(forward: NetworkForwardPort) -> bool:
    """Return whether nobody reaches the host at the port any more; else those beside ``sources`` do."""
    subnets = ipaddress.collapse_addresses(map(ipaddress.IPv4Network, forward["sources"]))
    return any(subnet.prefixlen == 0 for subnet in subnets) if forward["sources"] else True


def hidden_socket(
    observed: Observed, new: NewForward, networks: Sequence[Network], sockets: Sequence[ListeningSocket]
) -> Optional[ListeningSocket]:
    """Return a socket of the host that would no longer be reached, if there is one.

    Forwarded ports are those of all addresses but loopback ones and those of bridges of networks. A service at all
    addresses is still reached by another address of an uplink if one address is forwarded.
    """
    own_bridges = {str(ipaddress.ip_interface(network["address"]).ip) for network in networks if network["address"]}
    address = new.forward["host"]["address"]
    others = [other for other in _uplink_addresses(observed, new.network) if other != address]
    for socket in sockets:
        if (socket.proto, socket.port) != (new.forward["proto"], new.forward["host"]["port"]):
            continue
        bound = _ipv4(socket.address)
        if bound is None or bound.is_loopback or str(bound) in own_bridges:
            continue
        is_reached_elsewhere = bool(others) if bound.is_unspecified else str(bound) != address
        if address is None or not is_reached_elsewhere:
            return socket
    return None


def _ipv4(text: str) -> Optional[ipaddress.IPv4Address]:
    """Return the IPv4 address that a socket is bound to; ``None`` if it is reached by IPv6 alone."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        return address
    return ipaddress.IPv4Address("0.0.0.0") if address.is_unspecified else address.ipv4_mapped


def _uplink_addresses(observed: Observed, network: Network) -> Iterator[str]:
    uplinks: Collection[str] = network["uplinks"] or observed.uplinks
    for name in uplinks:
        for text in observed.links[name].addresses if name in observed.links else ():
            address = ipaddress.ip_interface(text).ip
            if address.version == 4:
                yield str(address)


def hidden_message(new: NewForward, owner: str) -> str:
    """Return what is wrong with a forwarded port, and what to do."""
    where = f" at {new.forward['host']['address']}" if new.forward["host"]["address"] else ""
    return (
        f"{owner} listens at {new.port} of this host and would no longer be reached there{where}; use another port, "
        "set host.address to an address that the service does not need, name who is forwarded in sources, or stop the "
        "service first"
    )
