# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The taps of routed networks: which a network has, and what the host lacks for one. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import FrozenSet, Mapping, Optional, Sequence, Tuple

from ...declaration.networks.lan import lan_link
from ...declaration.networks.macvtap import is_macvtap
from ...declaration.networks.options import ROUTED
from ...declaration.networks.subnets import subnet
from ...declaration.types import Network
from .configuration import forwarding_of, forwards_taps
from .macvtaps import macvtap_members
from .state import Observed

_ADDRESS = re.compile(
    r'^add element inet \S+ routed_addresses \{ "[^"]+" \. ([0-9.]+) \}$',
    re.MULTILINE,
)


def routed_addresses(rules: Optional[str]) -> Tuple[str, ...]:
    """Return the addresses of the guest of a tap, of its rules; none of a tap of a bridge."""
    return tuple(_ADDRESS.findall(rules or ""))


def members(observed: Observed, network: Network) -> Tuple[str, ...]:
    """Return the ports of a network's bridge, or the taps of one without; as it was when they came."""
    if is_macvtap(network):
        return macvtap_members(observed, network)
    if network["mode"] == ROUTED:
        taps = (tap for tap in observed.tap_rules if tap in observed.links)
        return tuple(tap for tap in taps if _has(network, routed_addresses(observed.tap_rules[tap])))
    link = observed.links.get(network["name"])
    return tuple(port for port in link.ports if port != lan_link(network)) if link is not None else ()


def running_guests(observed: Observed, network: Network) -> FrozenSet[str]:
    """Return the MicroVMs that run on a network; of one whose package does not say its taps, the name of the tap."""
    guests = observed.tap_guests
    return frozenset(guests[tap].microvm if tap in guests else tap for tap in members(observed, network))


def _has(network: Network, addresses: Sequence[str]) -> bool:
    return any(ipaddress.IPv4Address(address) in subnet(network) for address in addresses)


def is_routed(observed: Observed, network: Network, tap: str) -> bool:
    """Return whether packets find the way to and from the guest of a tap."""
    forwarding = observed.settings.get(forwarding_of(tap))
    gateway = f"{ipaddress.ip_interface(network['address']).ip}/32"
    routes = {(str(route.destination), route.device) for route in observed.routes}
    return (
        forwarding == forwards_taps(network)
        and gateway in observed.links[tap].addresses
        and all((f"{address}/32", tap) in routes for address in routed_addresses(observed.tap_rules[tap]))
    )


def network_of(tap_rules: Mapping[str, str], networks: Sequence[Network], tap: str) -> Optional[Network]:
    """Return the routed network that a tap is of; ``None`` for a tap of a bridge, and one that is bound no longer."""
    addresses = routed_addresses(tap_rules.get(tap))
    return next((network for network in networks if network["mode"] == ROUTED and _has(network, addresses)), None)
