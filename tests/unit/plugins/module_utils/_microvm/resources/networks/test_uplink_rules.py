# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests leave their host by uplinks only; packets are in the target network_rules."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.rules import rules

NAT: dict[str, Any] = {"name": "nat0", "address": "10.66.1.1/24", "nat": True}
CLOSED: dict[str, Any] = {"name": "closed0", "address": "10.66.2.1/24"}
OPEN6: dict[str, Any] = {**CLOSED, "name": "open6", "ipv6": {"address": "fd00:66:2::1/64", "outside": "nat"}}
ROUTED: dict[str, Any] = {"name": "route0", "address": "10.66.5.1/24", "mode": "routed", "nat": True}


@pytest.mark.parametrize(
    ("networks", "uplinks", "ipv6_uplinks", "expected"),
    [
        ([NAT], ["eth0"], [], ['iifname "nat0" oifname != { "eth0", "nat0" } meta nfproto ipv4 counter drop']),
        ([NAT], [], [], []),
        ([CLOSED], ["eth0"], ["eth0"], []),
        (
            [{**NAT, "uplinks": ["eth1"]}, CLOSED],
            ["eth0"],
            [],
            ['iifname "nat0" oifname != { "closed0", "eth1", "nat0" } meta nfproto ipv4 counter drop'],
        ),
        (
            [OPEN6],
            ["eth0"],
            ["six0"],
            ['iifname "open6" oifname != { "open6", "six0" } meta nfproto ipv6 counter drop'],
        ),
        ([OPEN6], ["eth0"], [], ['iifname "open6" oifname != { "eth0", "open6" } meta nfproto ipv6 counter drop']),
        (
            [ROUTED],
            ["eth0"],
            [],
            ['iifname @routed ip saddr 10.66.5.0/24 oifname != @routed oifname != { "eth0" } counter drop'],
        ),
        ([ROUTED], [], [], []),
        ([{**ROUTED, "nat": False}], ["eth0"], [], []),
    ],
)
def test_packets_leave_by_uplinks_only(
    networks: list[dict[str, Any]], uplinks: list[str], ipv6_uplinks: list[str], expected: list[str]
) -> None:
    lines = rules(parse_networks(networks), uplinks, ipv6_uplinks=ipv6_uplinks).splitlines()
    start = lines.index("    chain forward {") + 2
    first = [line.strip() for line in lines[start : start + len(expected)]]
    assert first == expected
    assert sum("oifname != {" in line for line in lines) == len(expected)
