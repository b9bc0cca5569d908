# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Forwarded ports at which the host itself listens, or at which somebody is connected to it now. Pure.

Its service would no longer be reached there.
"""

from __future__ import annotations

import ipaddress
from typing import Collection, Iterator, List, NamedTuple, Optional, Sequence, Set

from ...declaration.types import Network, NetworkForwardPort
from ...host.sockets import Connection, ListeningSocket
from .configuration import recorded_networks
from .state import Observed


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
    """Return the forwarded ports that a run would bring, or open to others or at further uplinks.

    Those that limit who connects are none.
    """
    former = [
        (forward, _uplinks(observed, network))
        for network in recorded_networks(observed.files)
        for forward in network["forward_ports"]
    ]
    return [
        NewForward(f"{path}[{index}].forward_ports[{position}].host.port", network, forward)
        for index, network in enumerate(networks)
        for position, forward in enumerate(network["forward_ports"])
        if not any(_uplinks(observed, network) <= uplinks and _includes(other, forward) for other, uplinks in former)
    ]


def _includes(former: NetworkForwardPort, forward: NetworkForwardPort) -> bool:
    """Return whether a port was forwarded already, for everybody for whom it is to be."""
    sources = _sources(former)
    is_same_port = (former["proto"], former["host"]) == (forward["proto"], forward["host"])
    return is_same_port and all(any(each.subnet_of(other) for other in sources) for each in _sources(forward))


def _sources(forward: NetworkForwardPort) -> List[ipaddress.IPv4Network]:
    """Return those from whom a port is forwarded."""
    return [*ipaddress.collapse_addresses(map(ipaddress.IPv4Network, forward["sources"] or ["0.0.0.0/0"]))]


def _is_for_all(forward: NetworkForwardPort) -> bool:
    """Return whether nobody reaches the host at the port any more; else those beside ``sources`` do."""
    return any(source.prefixlen == 0 for source in _sources(forward))


def hidden_socket(
    observed: Observed, new: NewForward, networks: Sequence[Network], sockets: Sequence[ListeningSocket]
) -> Optional[ListeningSocket]:
    """Return a socket of the host that would no longer be reached, if there is one.

    Forwarded ports are those of all addresses but loopback ones and those of bridges of networks. A service at all
    addresses is still reached by another address of an uplink if one address is forwarded.
    """
    if not _is_for_all(new.forward):
        return None
    own_bridges, address = _bridge_addresses(networks), new.forward["host"]["address"]
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


def hidden_connection(
    observed: Observed, new: NewForward, networks: Sequence[Network], connections: Sequence[Connection]
) -> Optional[Connection]:
    """Return a connection of somebody who could not connect to the host again, if there is one.

    It shows that the host is reached at the port, whatever listens there, such as an SSH server that was started for
    this connection alone.
    """
    own_bridges, address = _bridge_addresses(networks), new.forward["host"]["address"]
    others = _addresses(observed, {*observed.links} - _uplinks(observed, new.network))
    for connection in connections:
        own, peer = _ipv4(connection.address), _ipv4(connection.peer)
        if (new.forward["proto"], new.forward["host"]["port"]) != ("tcp", connection.port) or not (own and peer):
            continue
        is_elsewhere = own.is_loopback or str(own) in {*own_bridges, *others}
        is_forwarded = any(peer in source for source in _sources(new.forward))
        if is_forwarded and not is_elsewhere and address in (None, str(own)):
            return connection
    return None


def _bridge_addresses(networks: Sequence[Network]) -> Set[str]:
    """Return the addresses of networks, at which ports are the host's own in any case."""
    return {str(ipaddress.ip_interface(network["address"]).ip) for network in networks if network["address"]}


def _ipv4(text: str) -> Optional[ipaddress.IPv4Address]:
    """Return the IPv4 address that a socket is bound to; ``None`` if it is reached by IPv6 alone."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        return address
    return ipaddress.IPv4Address("0.0.0.0") if address.is_unspecified else address.ipv4_mapped


def _uplinks(observed: Observed, network: Network) -> Set[str]:
    return {*(network["uplinks"] or observed.uplinks)}


def _uplink_addresses(observed: Observed, network: Network) -> Iterator[str]:
    yield from _addresses(observed, _uplinks(observed, network))


def _addresses(observed: Observed, interfaces: Collection[str]) -> Iterator[str]:
    """Yield the IPv4 addresses of interfaces."""
    for name in interfaces:
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


def interrupted_message(new: NewForward, connection: Connection, owner: str) -> str:
    """Return who is connected to a port that is to be forwarded, and what to do."""
    own, peer = _ipv4(connection.address), _ipv4(connection.peer)
    return (
        f"{peer} is connected, from its port {connection.peer_port}, to {new.port} of this host, at {own}, by {owner}, "
        "and could not connect there again; use another port, set host.address to another address, leave the peer out "
        "of sources, or end the connection first"
    )
