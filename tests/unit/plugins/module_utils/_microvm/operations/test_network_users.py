# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""MicroVMs on networks that are no longer declared: who they are, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import network_users
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.configuration import (
    configuration,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.state import (
    Link,
    Observed,
    TapGuest,
)

NAT: dict[str, Any] = {"name": "nat0", "address": "10.66.1.1/24", "nat": True}
DATA: dict[str, Any] = {"name": "data0", "address": "10.66.2.1/24"}
HOST = Observed(files=configuration(parse_networks([NAT, DATA])), links={"nat0": Link(True), "data0": Link(True)})


def installed(name: str, *bridges: str | None) -> dict[str, Any]:
    """Return the part of a declaration that says which networks a MicroVM is on."""
    return {"name": name, "interfaces": [{"id": f"mv-{name}", "bridge": bridge} for bridge in bridges]}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """MicroVMs that a host has."""
    vms: list[dict[str, Any]] = []
    monkeypatch.setattr(network_users, "directories", lambda: {"state_dir": "/vms"})
    monkeypatch.setattr(network_users, "recorded_beside", lambda places, names: vms)
    return vms


def test_microvms_of_networks_that_are_no_longer_declared_are_named(host: list[dict[str, Any]]) -> None:
    host += [installed("web", "nat0", "data0"), installed("db", "data0"), installed("alone", None)]
    assert network_users.former_networks(HOST, parse_networks([NAT])) == {"data0": ["db", "web"]}
    assert network_users.former_networks(HOST, []) == {"nat0": ["web"], "data0": ["db", "web"]}
    assert network_users.former_networks(HOST, parse_networks([NAT, DATA])) == {}


def test_microvms_that_still_run_on_a_network_are_named_whatever_they_declare(host: list[dict[str, Any]]) -> None:
    host += [installed("moved", "nat0")]
    link = Link(True, ports=("t0", "mv-moved", "mv-x"), taps=frozenset({"t0", "mv-moved", "mv-x"}))
    guests = {"t0": TapGuest("external", "", ())}
    observed = replace(HOST, links={**HOST.links, "data0": link}, tap_guests=guests)
    assert network_users.former_networks(observed, parse_networks([NAT])) == {"data0": ["external", "moved", "mv-x"]}


def test_guests_that_run_on_a_network_with_another_address_are_named() -> None:
    link = Link(True, ("10.66.1.1/24",), ("mv-a", "mv-x"), taps=frozenset({"mv-a", "mv-x"}))
    guests = {"mv-a": TapGuest("web", "", ())}
    observed = replace(HOST, links={"nat0": link, "data0": Link(True)}, tap_guests=guests)
    moved = [{**NAT, "address": "10.66.7.1/24"}, {**DATA, "address": "10.66.8.1/24"}]
    assert network_users.readdressed_networks(observed, parse_networks(moved)) == {"nat0": ["mv-x", "web"]}
    assert network_users.readdressed_networks(observed, parse_networks([{**NAT, "nat": False}])) == {}


def test_a_host_is_not_searched_while_all_its_networks_are_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_users, "recorded_beside", lambda places, names: pytest.fail("searched"))
    assert network_users.former_networks(HOST, parse_networks([NAT, DATA])) == {}


@pytest.mark.parametrize(
    ("former", "renamed", "remaining", "words"),
    [
        ({"data0": ["db"]}, {}, ["data0"], ["stays while MicroVMs run on it (db)", "run this again"]),
        (
            {"data0": ["db", "web"]},
            {},
            [],
            ["are on it (db, web), which do not start", "give their interfaces another"],
        ),
        ({"data0": ["db"]}, {"data0": "store0"}, [], ["its name is store0 now", "bridge: store0"]),
        ({"data0": []}, {}, [], []),
    ],
)
def test_what_is_said_names_network_microvms_and_remedy(
    former: Mapping[str, Sequence[str]], renamed: Mapping[str, str], remaining: Sequence[str], words: list[str]
) -> None:
    warnings = network_users.former_network_warnings(former, renamed, remaining)
    assert len(warnings) == bool(words)
    # The role does not know what role vms will do after it.
    always = ["network data0 is no longer declared", "Where microvm_vms has them elsewhere already, a run of playbook"]
    assert all(word in warnings[0] for word in [*always, *words][: 9 * bool(words)])
