# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Uplinks of networks that the host does not have."""

from __future__ import annotations

from typing import Any, Dict, List

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.state import Link, Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.uplinks import missing_uplinks

NAT: Dict[str, Any] = {"name": "a0", "address": "10.66.1.1/24", "nat": True}
LAN: Dict[str, Any] = {"name": "lan0", "link": "eth0"}


def missing(*networks: Dict[str, Any]) -> Dict[str, List[str]]:
    """Return missing uplinks of a host with one interface by their networks."""
    observed = Observed(links={"eth0": Link(False)})
    return {name: list(uplinks) for name, uplinks in missing_uplinks(observed, parse_networks(networks))}


def test_uplinks_that_the_host_lacks_are_missing() -> None:
    other = {"name": "b0", "address": "10.66.2.1/24", "nat": True, "uplinks": ["eth0"]}
    assert missing({**NAT, "uplinks": ["eth0", "ens1", "ens2"]}, other) == {"a0": ["ens1", "ens2"]}


def test_a_network_that_names_no_uplinks_misses_none() -> None:
    assert missing(NAT) == {}


def test_a_bridge_that_the_same_run_makes_is_not_missing() -> None:
    assert missing({**NAT, "uplinks": ["lan0"]}, LAN) == {}
