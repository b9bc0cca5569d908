# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What files of networks say about IPv6. Pure."""

from __future__ import annotations

import ipaddress
from typing import Iterator

from ...declaration.networks.ipv6 import is_open, prefix
from ...declaration.types import Network
from ...schema.quoting import network_value, plain, section, setting
from .guest_names import domain_of, server_addresses


def ipv6_sections(network: Network) -> Iterator[str]:
    """Yield sections of systemd.network(5): the address, and the router advertisements."""
    options, subnet = network["ipv6"], prefix(network)
    if options is None or subnet is None:
        return
    yield section(
        "Address",
        [
            setting("Address", network_value(options["address"])),
            # It would take place when the first MicroVM runs. No guest can take the address.
            setting("DuplicateAddressDetection", plain("none")),
        ],
    )
    yield section("IPv6SendRA", _advertisements(network))
    yield section("IPv6Prefix", [setting("Prefix", network_value(str(subnet)))])


def _advertisements(network: Network) -> Iterator[str]:
    options = network["ipv6"]
    servers = [] if options is None else options["dns"]
    has_names = network["dns_names"] is not None
    if not is_open(network):
        yield setting("RouterLifetimeSec", plain(0))
    if not is_open(network) and not has_names:
        yield setting("EmitDomains", plain("no"))
    if has_names:
        yield setting("DNS", network_value(server_addresses(network)[-1]))
        yield setting("Domains", network_value(domain_of(network)))
    elif servers:
        yield setting("DNS", *map(network_value, servers))
    elif not is_open(network):
        yield setting("EmitDNS", plain("no"))


def slaac_prefix(subnet: ipaddress.IPv6Network) -> str:
    """Return the first half of the addresses of a subnet, as ``bind_taps.bash`` puts the second half behind it."""
    return ":".join(subnet.network_address.exploded.split(":")[:4])
