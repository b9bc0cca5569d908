# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of running guests: those that ``runner/scripts/name_guest.bash`` writes, for guests that run already. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Dict, Iterator, Mapping, Sequence, Tuple

from ...declaration.networks.guest_names import HOST_NAME, is_label
from ...declaration.networks.ipv6 import prefix
from ...declaration.networks.subnets import subnet
from ...declaration.types import Network
from ...schema.quoting import fields, network_value, one_per_line
from .routed_taps import members
from .state import Observed, TapGuest


def wanted_names(observed: Observed, networks: Sequence[Network]) -> Dict[str, str]:
    """Return the files of the guests that run on networks with names, by their paths ``NETWORK/TAP``."""
    texts = {
        f"{network['name']}/{tap}": names_of(network, observed.tap_guests[tap])
        for network in networks
        if network["dns_names"] is not None
        for tap in members(observed, network)
        if tap in observed.tap_guests
    }
    return {path: text for path, text in texts.items() if text}


def names_of(network: Network, guest: TapGuest) -> str:
    """Return the file of a guest; nothing for one that has no name or no address on the network."""
    if not is_label(guest.microvm) or guest.microvm.lower() in (HOST_NAME, "localhost"):
        return ""
    return one_per_line(
        fields(network_value(address), network_value(guest.microvm)) for address in _addresses(network, guest)
    )


def _addresses(network: Network, guest: TapGuest) -> Iterator[str]:
    leases = {lease["mac"].lower(): lease["address"] for lease in network["leases"]}
    for word in guest.addresses:
        address = leases.get(guest.mac.lower(), "") if word == "dhcp" else word
        if _is_of(network, address):
            yield address


def _is_of(network: Network, text: str) -> bool:
    """Return whether something is an address of a network. A package of others may say anything."""
    if not re.fullmatch("[0-9a-fA-F:]*:[0-9a-fA-F:]*|[0-9.]+", text):
        return False
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address in subnet(network)
    addresses = prefix(network)
    return addresses is not None and address in addresses


def parse_tap_guests(microvm: str, text: str) -> Mapping[str, TapGuest]:
    """Return the guests of a package by tap, of its list ``tap-guests``."""
    guests: Dict[str, TapGuest] = {}
    for line in text.splitlines():
        words: Tuple[str, ...] = tuple(line.split())
        if words:
            guests[words[0]] = TapGuest(microvm, words[1] if len(words) > 1 else "", words[2:])
    return guests
