# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Option table of a network of a host."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import Option, Options

_DHCP_SERVER: Options = (
    Option(
        "pool_offset", "int", "Offset of the pool of addresses from the start of the subnet.", check=checks.positive
    ),
    Option("pool_size", "int", "Number of addresses in the pool.", check=checks.positive),
    Option("dns", "list", "DNS servers to announce to guests.", elements="str", check=checks.ipv4_address),
)

_LEASES: Options = (
    Option("mac", "str", "MAC address of the guest's interface.", required=True, check=checks.mac_address),
    Option("address", "str", "IPv4 address to assign to the guest.", required=True, check=checks.ipv4_address),
)

NETWORK_OPTIONS: Options = (
    Option("name", "str", "Name of the bridge, at most 15 characters.", required=True, check=checks.interface_name),
    Option(
        "address",
        "str",
        (
            "IPv4 address of the host on the bridge, with its prefix length.",
            "Its subnet must not overlap another network of the host. A route to a larger network, such as one through "
            "a gateway to a whole site, may contain it.",
        ),
        required=True,
        check=checks.interface_address,
    ),
    Option(
        "nat",
        "bool",
        "Whether guests reach other networks through the host, by source NAT to the address of the host.",
        default=False,
    ),
    Option(
        "dhcp_server",
        "dict",
        "DHCP server that assigns addresses to guests. An empty mapping enables it with the default pool.",
        suboptions=_DHCP_SERVER,
        on_demand=True,
    ),
    Option(
        "leases",
        "list",
        "Static DHCP leases. Require C(dhcp_server).",
        elements="dict",
        suboptions=_LEASES,
    ),
)
