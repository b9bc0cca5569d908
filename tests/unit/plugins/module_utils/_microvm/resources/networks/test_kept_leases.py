# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leases that a DHCP server is to forget, and those that it keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.kept_leases import (
    remaining_leases,
    unread_message,
)

(NETWORK,) = parse_networks(
    [
        {
            "name": "microvm0",
            "address": "10.66.1.1/24",
            "dhcp_server": {},
            "leases": [
                {"mac": "02:00:00:00:00:0A", "address": "10.66.1.20"},
                {"mac": "02:00:00:00:00:0b", "address": "10.66.1.21"},
            ],
        }
    ]
)
IDENTIFIER = [255, 0, 0, 0, 1, 0, 2]
"""Identifier of a client that is no MAC address."""


def lease(client: list[int], address: str, **further: Any) -> dict[str, Any]:
    """Return a lease as systemd-networkd writes it."""
    return {"ClientId": client, "Address": [*map(int, address.split("."))], "ExpirationUSec": 2**63, **further}


def mac(last: int) -> list[int]:
    """Return the octets of a MAC address."""
    return [2, 0, 0, 0, 0, last]


@pytest.mark.parametrize(
    ("kept", "stays"),
    [
        (lease([1, *mac(10)], "10.66.1.20"), True),
        (lease([1, *mac(10)], "10.66.1.100"), False),
        (lease([1, *mac(10)], "10.66.1.21"), False),
        # From version 257 on, the MAC address is beside an identifier that is another.
        (lease(IDENTIFIER, "10.66.1.20", HardwareAddress=mac(10)), True),
        (lease(IDENTIFIER, "10.66.1.100", HardwareAddress=mac(10)), False),
        (lease(IDENTIFIER, "10.66.1.100"), True),
        # Another guest has the address now.
        (lease([1, *mac(12)], "10.66.1.20"), False),
        (lease(IDENTIFIER, "10.66.1.21", HardwareAddress=mac(12)), False),
        (lease([1, *mac(12)], "10.66.1.100"), True),
        # The address is none of guests of the network.
        (lease([1, *mac(12)], "10.66.2.100"), False),
        (lease([1, *mac(12)], "10.66.1.1"), False),
    ],
)
def test_only_what_is_given_otherwise_is_forgotten(kept: dict[str, Any], stays: bool) -> None:
    other = lease([1, *mac(99)], "10.66.1.199")
    content = {"BootID": "0", "Leases": [kept, other], "Address": [10, 66, 1, 1], "PrefixLength": 24}
    text = json.dumps(content, indent=1)
    remaining = remaining_leases(text, NETWORK)
    if stays:
        assert remaining == text
    else:
        assert json.loads(remaining or "") == {**content, "Leases": [other]}
        assert remaining_leases(json.dumps({"Leases": [kept]}), NETWORK) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 100000,
        "[]",
        "{}",
        "7",
        '{"Leases": 7}',
        '{"Leases": [7]}',
        '{"Leases": [{"ClientId": [1], "Address": [10, 66, 1]}]}',
        '{"Leases": [{"ClientId": [1], "Address": "10.66.1.20"}]}',
        '{"Leases": [{"ClientId": [1], "Address": [10, 66, 1, 256]}]}',
        '{"Leases": [{"ClientId": null, "Address": [10, 66, 1, 20]}]}',
        '{"Leases": [{"ClientId": [1], "Address": [10, 66, 1, 20], "HardwareAddress": 7}]}',
    ],
)
def test_what_is_not_understood_is_not_changed(text: str) -> None:
    assert remaining_leases(text, NETWORK) is None


def test_the_message_says_what_to_do() -> None:
    message = unread_message("microvm0", "/var/lib/leases/microvm0")
    assert message.startswith("the file /var/lib/leases/microvm0, in which")
    assert message.endswith("networkctl reconfigure microvm0")
