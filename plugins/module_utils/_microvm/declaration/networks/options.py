# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a network of a host."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import Option, Options

_DHCP_SERVER: Options = (
    Option("pool_offset", "int", "Where in the subnet the pool begins.", check=checks.positive),
    Option("pool_size", "int", "How many addresses the pool has.", check=checks.positive),
    Option("dns", "list", "Name servers to tell guests.", elements="str", check=checks.ip_address),
)

_LEASES: Options = (
    Option("mac", "str", "Hardware address of the guest.", required=True, check=checks.mac_address),
    Option("address", "str", "Its address.", required=True, check=checks.ip_address),
)

NETWORK_OPTIONS: Options = (
    Option("name", "str", "Name of the bridge, at most 15 characters.", required=True, check=checks.interface_name),
    Option(
        "address",
        "str",
        "IPv4 address of the host on the bridge, with prefix length.",
        required=True,
        check=checks.interface_address,
    ),
    Option("nat", "bool", "Let guests reach what the host reaches, behind its address.", default=False),
    Option(
        "dhcp_server",
        "dict",
        "Give addresses to guests. An empty mapping is a server with systemd-networkd's own pool.",
        suboptions=_DHCP_SERVER,
        on_demand=True,
    ),
    Option(
        "leases",
        "list",
        "Addresses that belong to a guest's hardware address. Needs C(dhcp_server).",
        elements="dict",
        suboptions=_LEASES,
    ),
)
