# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare guests with the routed networks that their interfaces are attached to. Pure."""

from __future__ import annotations

import ipaddress
from typing import Optional, Sequence, Tuple

from ...schema.errors import DeclarationError
from ..networks.options import ROUTED
from ..types import GuestNetwork, Network, PackagedVm


def refuse_unroutable_guests(declaration: PackagedVm, networks: Sequence[Network], path: str) -> None:
    """Refuse guests that the host has no route to, or that have none to the host.

    Raises DeclarationError with a path below ``path``.
    """
    routed = {network["name"]: network for network in networks if network["mode"] == ROUTED}
    for index, (interface, guest) in enumerate(zip(declaration["interfaces"], declaration["guest"]["networks"])):
        network = routed.get(interface["bridge"] or "")
        problem = _problem(declaration["guest"]["enable"], guest, network) if network is not None else None
        if network is not None and problem is not None:
            key, what = problem
            raise DeclarationError(
                f"{path}.guest.{key}" if key == "enable" else f"{path}.guest.networks[{index}].{key}",
                f"{what}, as the routed network {network['name']!r} requires it (microvm_networks), which interface "
                f"{interface['id']!r} is attached to",
            )


def _problem(is_configured: bool, guest: GuestNetwork, network: Network) -> Optional[Tuple[str, str]]:
    """Return the key of what is wrong with a guest, and what to do."""
    if not is_configured:
        return "enable", "set it to true and declare the address of the guest in guest.networks"
    own = [ipaddress.ip_interface(text) for text in guest["addresses"]]
    addresses = [address for address in own if address.version == 4]
    if not addresses:
        return "addresses", f"declare an IPv4 address of {ipaddress.ip_interface(network['address']).network}"
    for address in addresses:
        if address.network.prefixlen != 32:
            return "addresses", f"write {address.ip}/32 instead of {address}"
    gateway = str(ipaddress.ip_interface(network["address"]).ip)
    gateways = [*guest["gateway"], *(route["gateway"] for route in guest["routes"])]
    return None if gateway in gateways else ("gateway", f"write {gateway}")
