# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks whose guests are in the network of an interface of the host, each by a macvtap device on it."""

from __future__ import annotations

from typing import List, Mapping, Sequence

from ...schema.errors import DeclarationError
from ...schema.options import Option, Options
from ..types import Network

MACVTAP = "macvtap"
"""Mode of such networks, and type of the interfaces that join them."""

MACVTAP_OPTIONS: Options = (
    Option(
        "mode",
        "str",
        (
            "Mode of the macvtap devices, as described in ip-link(8). Defaults to V(bridge).",
            "With V(bridge) guests on the same C(link) reach each other through the host, with V(private) not at all, "
            "with V(vepa) only if the switch sends their frames back.",
        ),
        choices=("bridge", "private", "vepa"),
    ),
)

REMEDIES: Mapping[str, str] = {
    "address": "leave it out: the host has no address on it",
    "nat": "leave it out: guests reach what the network of the link reaches",
    "ipv6": "leave it out: the routers of the link's network announce prefixes",
    "dhcp_server": "leave it out: the link's network has one of its own, or declare static addresses of guests",
    "leases": "leave them out, and declare them at the DHCP server of the link's network",
    "dns_names": "leave it out: the DNS servers of the link's network know its guests, or none does",
    "host_access": "leave it out: guests do not reach the host by it",
    "host_ports": "leave them out, and give the MicroVM an interface on a network with mode bridge as well",
    "isolate": "set macvtap.mode to private instead",
    "metadata": "leave it out: the host does not see what guests send beyond it",
    "uplinks": "leave them out: link is what guests reach other networks by",
    "forward_ports": "leave them out: guests are reached at their own addresses",
    "allow": "leave it out: guests are reached as all of the link's network are",
    "other_firewalls": "leave it out: firewalls of the host do not see what guests send",
    "limits": "leave them out: the host does not track the connections of these guests",
}
"""What to do about each option that such a network cannot have."""


def is_macvtap(network: Network) -> bool:
    """Return whether a network has no bridge and no address."""
    return network["mode"] == MACVTAP


def with_bridges(networks: Sequence[Network]) -> List[Network]:
    """Return the networks that have a bridge and an address."""
    return [network for network in networks if not is_macvtap(network)]


def complete_macvtap(network: Network, default: Network, path: str) -> None:
    """Fill in the mode; refuse what such a network cannot have, unless it is as in a ``default`` network."""
    values: Mapping[str, object] = network
    defaults: Mapping[str, object] = default
    for key, remedy in REMEDIES.items():
        if values[key] != defaults[key]:
            raise DeclarationError(f"{path}.{key}", f"a network with mode macvtap has no {key}; {remedy}")
    if network["link"] is None:
        raise DeclarationError(
            f"{path}.link", "is required with mode macvtap; name the interface of the host, such as eth0"
        )
    if network["link"] == network["name"]:
        raise DeclarationError(
            f"{path}.name", f"{network['name']!r} is the interface itself; give the network a name of its own"
        )
    network["macvtap"]["mode"] = network["macvtap"]["mode"] or "bridge"


def refuse_macvtap_options(network: Network, path: str) -> None:
    """Refuse what only a network with mode macvtap has."""
    if network["macvtap"]["mode"] is not None:
        raise DeclarationError(
            f"{path}.macvtap.mode", "is supported only with mode macvtap; leave it out, or set mode to macvtap"
        )


def refuse_same_link(network: Network, other: Network, path: str) -> None:
    """Refuse two networks that are one, and a link whose taps are filtered by their bridge."""
    if is_macvtap(network) and is_macvtap(other) and network["link"] == other["link"]:
        raise DeclarationError(
            f"{path}.link",
            f"network {other['name']!r} has this link too, so guests of both would be in one network; use that one",
        )
    for first, second, key in ((network, other, "link"), (other, network, "name")):
        if first["link"] == second["name"]:
            raise DeclarationError(
                f"{path}.{key}",
                f"{second['name']!r} is a network of this host, and the link of network {first['name']!r}; name an "
                "interface that is no network of this collection",
            )
