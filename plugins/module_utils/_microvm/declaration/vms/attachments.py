# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare the static addresses of guests with the networks that their interfaces are attached to. Pure."""

from __future__ import annotations

import ipaddress
from typing import Iterator, Mapping, Optional, Sequence, Tuple

from ...schema.errors import DeclarationError
from ..networks.subnets import subnet
from ..types import Interface, Network, PackagedVm
from .claims import reachable_addresses


def refuse_misplaced_addresses(
    declaration: PackagedVm, networks: Sequence[Network], host: Mapping[str, str], path: str
) -> None:
    """Refuse addresses under which a guest cannot be reached, or somebody else answers.

    ``networks`` are those of the host, ``host`` has its addresses with their interfaces. Raises DeclarationError with a
    path below ``path``.
    """
    for key, address in reachable_addresses(declaration):
        if address in host:
            problem = f"{address} is an address of the host itself, on its interface {host[address]!r}; use another one"
            raise DeclarationError(f"{path}.{key}", problem)
    for key, interface, network, text in _attached(declaration, networks):
        reason = _reason(ipaddress.IPv4Interface(text), interface, network)
        if reason is not None:
            raise DeclarationError(f"{path}.{key}", reason)


def _attached(declaration: PackagedVm, networks: Sequence[Network]) -> Iterator[Tuple[str, Interface, Network, str]]:
    """Yield the IPv4 addresses on networks of ours, each with its key and the interface that has it."""
    by_name = {network["name"]: network for network in networks}
    for index, (interface, guest) in enumerate(zip(declaration["interfaces"], declaration["guest"]["networks"])):
        network = by_name.get(interface["bridge"] or "")
        for position, text in enumerate(guest["addresses"] if network else ()):
            if network is not None and ipaddress.ip_interface(text).version == 4:
                yield f"guest.networks[{index}].addresses[{position}]", interface, network, text


def _reason(address: ipaddress.IPv4Interface, interface: Interface, network: Network) -> Optional[str]:
    """Return what is wrong with an address on a network, and what to do."""
    bridge, addresses = ipaddress.IPv4Interface(network["address"]), subnet(network)
    called = f"the network {network['name']!r} (microvm_networks), which interface {interface['id']!r} is attached to"
    if address.ip == bridge.ip:
        return f"{address.ip} is the address of the bridge of {called}; use another address of {addresses}"
    # One alone is a route to a host, wherever that is.
    if address.ip not in addresses and address.network.prefixlen < address.max_prefixlen:
        return f"{address.ip} is not in {addresses}, the subnet of {called}; use an address of that subnet"
    if address.ip in (addresses.network_address, addresses.broadcast_address):
        return f"{address.ip} is the network or broadcast address of {called}; use another address of {addresses}"
    for lease in network["leases"]:
        if lease["address"] == str(address.ip) and lease["mac"].lower() != interface["mac"]:
            return f"{address.ip} is leased to {lease['mac']} in {called}; use another address, or change the lease"
    return None
