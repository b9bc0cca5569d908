# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Routed networks: their files and rules, and what a run repairs of their taps."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import NETWORK_LIST
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.configuration import (
    RULES,
    SYSCTLS,
    configuration,
    forwarding_of,
    parsed_settings,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.plan import plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.routes import Route
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.state import Link, Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .test_networks import actions, host_with

ROUTED: dict[str, Any] = {"name": "route0", "address": "10.66.5.1/24", "mode": "routed"}
BOUND = """\
add element inet microvm_fleet routed { "mv-a" }
add element inet microvm_fleet routed_addresses { "mv-a" . 10.66.5.7 }
"""


def with_tap(network: dict[str, Any], forwarding: str = "1", **state: Any) -> Observed:
    """Return a host with a running MicroVM on a routed network."""
    observed = host_with([network]).observed
    state = {
        "links": {**observed.links, "mv-a": Link(False, ("10.66.5.1/32",))},
        "routes": (Route(ipaddress.IPv4Network("10.66.5.7/32"), "mv-a"),),
        "settings": {**observed.settings, forwarding_of("mv-a"): forwarding},
        "tap_rules": {"mv-a": BOUND},
        "loaded_taps": frozenset({"mv-a"}),
        **state,
    }
    return replace(observed, **state)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dhcp_server", {}),
        ("ipv6", {"address": "fd00:66:5::1/64"}),
        ("forward_ports", [{"host": {"port": 80}, "guest": {"address": "10.66.5.7"}}]),
        ("allow", [{"from": "10.66.5.7", "ports": ["tcp/80"]}]),
    ],
)
def test_what_only_bridges_have_is_refused(key: str, value: object) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse_networks([{**ROUTED, "nat": True, key: value}], "n")
    assert refusal.value.path == f"n[0].{key}"


def test_guests_of_a_routed_network_have_the_limits_of_others() -> None:
    rules = configuration(parse_networks([ROUTED]))[RULES]
    assert rules.count("        iifname @routed ip saddr 10.66.5.0/24 ct state new ") == 2


@pytest.mark.parametrize(
    ("options", "forwards", "expected", "absent"),
    [
        ({}, "1", ["ip saddr 10.66.5.0/24 oifname != @routed counter drop"], ["masquerade", "169.254"]),
        (
            {"nat": True},
            "1",
            ["oifname != @routed masquerade", "169.254.0.0/16"],
            ["iifname @routed oifname != @routed"],
        ),
        ({"isolate": True}, "0", ["ip saddr 10.66.5.0/24 oifname @routed ip daddr 10.66.5.0/24 counter drop"], []),
    ],
    ids=["closed", "nat", "isolated"],
)
def test_files_say_what_passes(options: dict[str, Any], forwards: str, expected: list[str], absent: list[str]) -> None:
    files = configuration(parse_networks([{**ROUTED, **options}]), ["eth0"])
    assert files[NETWORK_LIST].splitlines()[1:] == [f"routed route0 10.66.5.1/24 {forwards}"]
    assert parsed_settings(files[SYSCTLS])[forwarding_of("route0")] == "0", "nothing comes in by its empty bridge"
    assert (forwarding_of("eth0") in parsed_settings(files[SYSCTLS])) is options.get("nat", False)
    assert all(text in files[RULES] for text in [*expected, "iifname . ip saddr != @routed_addresses counter drop"])
    assert not [text for text in absent if text in files[RULES]]


def test_without_routed_networks_their_taps_reach_nothing() -> None:
    rules = configuration(parse_networks([{**ROUTED, "mode": "bridge"}]))[RULES]
    assert "        iifname @routed counter drop\n        oifname @routed counter drop\n" in rules


@pytest.mark.parametrize(
    ("state", "steps"),
    [
        ({}, []),
        ({"routes": ()}, ["route to the guest of tap mv-a"]),
        ({"forwarding": "0"}, ["route to the guest of tap mv-a"]),
        ({"loaded_taps": frozenset()}, ["load again the rules of tap mv-a"]),
        ({"uplinks": ("eth0", "mv-a")}, []),
        (
            {"links": {"eth0": Link(False), "route0": Link(True, ("10.66.5.1/24",))}},
            ["delete the rules of the former tap mv-a"],
        ),
    ],
    ids=["as it should be", "no route", "not forwarded", "not loaded", "no default route", "gone"],
)
def test_each_tap_has_its_route(state: dict[str, Any], steps: list[str]) -> None:
    network = {**ROUTED, "nat": True}
    assert actions(with_tap(network, **state), [network]) == steps


def test_a_network_with_guests_stays_and_keeps_its_mode() -> None:
    observed = with_tap(ROUTED)
    planned = plan(observed, [], "networks")
    assert (planned.kept, planned.changed) == ({"route0": ("mv-a",)}, False)
    with pytest.raises(DeclarationError, match="mv-a") as refusal:
        actions(observed, [{**ROUTED, "mode": "bridge"}])
    assert refusal.value.path == "networks[0].mode"
    assert actions(host_with([ROUTED]).observed, [{**ROUTED, "mode": "bridge"}])
