# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that no network takes addresses that a host reaches elsewhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.configuration import (
    configuration,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.plan import plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.routes import parse_routes
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.state import Link, Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

NETWORKS = [{"name": "guests0", "address": "172.20.8.1/22"}, {"name": "guests1", "address": "172.31.0.1/24"}]
DEFAULT = {"dst": "default", "gateway": "172.20.8.254", "dev": "ens3"}


def connected(destination: str, device: str = "ens3") -> dict[str, Any]:
    """Return the route of an interface's own subnet."""
    return {"dst": destination, "dev": device, "protocol": "kernel", "scope": "link", "flags": []}


def observed(*routes: dict[str, Any], **state: Any) -> Observed:
    return Observed(routes=tuple(parse_routes(json.dumps([DEFAULT, *routes]))), **state)


@pytest.mark.parametrize(
    "route",
    [
        connected("172.20.8.0/22"),
        connected("172.20.0.0/16"),
        connected("172.20.9.0/24", "docker0"),
        connected("172.20.9.7", "cali1"),
        {"dst": "172.20.8.0/22", "gateway": "192.0.2.1", "dev": "ens3"},
        {"dst": "172.20.10.0/24", "dev": "wg0", "scope": "link"},
        {"dst": "172.20.10.0/24", "nexthops": [{"gateway": "192.0.2.1", "dev": "a"}, {"gateway": "192.0.2.2"}]},
        {"type": "blackhole", "dst": "172.20.8.0/23"},
    ],
)
def test_a_network_that_a_host_reaches_elsewhere_is_refused(route: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError) as refusal:
        plan(observed(route), parse_networks(NETWORKS), "networks")
    assert refusal.value.path == "networks[0].address"
    assert route["dst"] in refusal.value.message
    assert route.get("dev", "172.20") in refusal.value.message
    assert "172.20.8.0/22" in refusal.value.message


@pytest.mark.parametrize(
    "route",
    [
        connected("172.20.4.0/22"),
        connected("172.20.8.0/22", "guests0"),
        {"dst": "172.20.9.0/24", "gateway": "172.20.8.9", "dev": "guests0"},
        {"dst": "172.16.0.0/12", "gateway": "192.0.2.1", "dev": "ens3"},
        {"dst": "172.16.0.0/12", "dev": "wg0", "scope": "link"},
        {"type": "unreachable", "dst": "172.16.0.0/12"},
    ],
)
def test_other_routes_those_of_our_bridges_and_those_to_larger_networks_may_stay(route: dict[str, Any]) -> None:
    networks = parse_networks(NETWORKS)
    plan(observed(route, files=configuration(networks), links={"guests0": Link(True)}), networks, "networks")


def test_the_bridge_of_a_network_that_is_renamed_is_no_obstacle() -> None:
    before = parse_networks([{**NETWORKS[0], "name": "former"}])
    state = observed(connected("172.20.8.0/22", "former"), files=configuration(before), links={"former": Link(True)})
    assert plan(state, parse_networks(NETWORKS), "networks").changed


def test_a_host_without_routes_takes_every_network() -> None:
    assert parse_routes("") == []
    assert plan(Observed(), parse_networks(NETWORKS), "networks").changed


def test_a_lease_of_the_bridges_own_address_is_refused() -> None:
    lease = {"mac": "02:00:00:00:00:05", "address": "172.31.0.1"}
    with pytest.raises(DeclarationError) as refusal:
        parse_networks([{**NETWORKS[1], "dhcp_server": {}, "leases": [lease]}])
    assert refusal.value.path == "networks[0].leases[0].address"
