# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridges onto an interface of the host: their guests are in its LAN, which gives them their addresses."""

from __future__ import annotations

from typing import List, Mapping, Sequence, Tuple

from ...schema.errors import DeclarationError
from ..types import Network
from .macvtap import is_macvtap

RETURN_SECONDS = 60
"""Time after which a change of the host's own connection that nobody has confirmed is taken back, by default."""

_REMEDIES: Mapping[str, str] = {
    "address": "leave it out: the bridge has the addresses that systemd-networkd gives the interface",
    "nat": "leave it out: guests reach what the LAN reaches, with addresses of their own",
    "ipv6": "leave it out: the routers of the LAN announce prefixes",
    "dhcp_server": "leave it out: the LAN has one of its own, or declare static addresses of guests",
    "leases": "leave them out, and declare them at the DHCP server of the LAN",
    "dns_names": "leave it out: the DNS servers of the LAN know its guests, or none does",
    "metadata": "leave it out: the host does not forward what guests send beyond it",
    "uplinks": "leave them out: link is what guests reach other networks by",
    "forward_ports": "leave them out: guests are reached at their own addresses",
    "allow": "leave it out: guests are reached as all of the LAN are",
}
"""What to do about each option that such a network cannot have."""


def is_lan(network: Network) -> bool:
    """Return whether a network is a bridge with an interface of the host as port."""
    return network["mode"] == "bridge" and network["link"] is not None


def lan_link(network: Network) -> str:
    """Return the interface of the host that is a port of a bridge; nothing for other networks."""
    return (network["link"] or "") if is_lan(network) else ""


def split_lans(networks: Sequence[Network]) -> Tuple[List[Network], List[Network]]:
    """Return the networks with subnets of the host's own, and the bridges onto its interfaces, which have none."""
    own = [network for network in networks if not is_lan(network) and not is_macvtap(network)]
    return own, [*filter(is_lan, networks)]


def refuse_lan_options(network: Network, path: str) -> None:
    """Refuse what such a network cannot have."""
    values: Mapping[str, object] = network
    for key, remedy in _REMEDIES.items():
        if values[key] not in (None, False, []):
            raise DeclarationError(f"{path}.{key}", f"a bridge with link has no {key}; {remedy}")
    if network["link"] == network["name"]:
        raise DeclarationError(
            f"{path}.name", f"{network['name']!r} is the interface itself; give the bridge a name of its own"
        )


def refuse_lan_clash(network: Network, other: Network, path: str) -> None:
    """Refuse an interface that two networks have as port, or that another one uses for something else."""
    if (is_lan(network) or is_lan(other)) and network["link"] == other["link"]:
        raise DeclarationError(f"{path}.link", f"network {other['name']!r} has this link too; use that network")
    for first, second in ((network, other), (other, network)):
        if lan_link(first) in second["uplinks"]:
            raise DeclarationError(
                f"{path}.{'link' if first is network else 'uplinks'}",
                f"{lan_link(first)!r} is a port of the bridge of network {first['name']!r}, and the uplink of network "
                f"{second['name']!r}; name {first['name']!r} in uplinks instead",
            )
