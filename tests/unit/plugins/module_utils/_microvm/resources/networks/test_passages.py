# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Forwarded ports, allowed guests and limits: what is refused, and the rules that are made of the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.configuration import (
    RECORD,
    RULES,
    configuration,
    recorded_networks,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

CLOSED: dict[str, Any] = {"name": "closed0", "address": "10.66.9.1/24"}
A: dict[str, Any] = {"name": "a0", "address": "10.66.1.1/24", "nat": True}
B: dict[str, Any] = {"name": "b0", "address": "10.66.2.1/24", "nat": True}


def forward(port: int, guest: str, **host: str) -> dict[str, Any]:
    return {"host": {"port": port, **host}, "guest": {"address": guest}}


def forwards(*ports: dict[str, Any]) -> dict[str, Any]:
    return {**A, "forward_ports": list(ports)}


def allow(**changes: Any) -> dict[str, Any]:
    return {**A, "allow": [{"from": "b0", "ports": ["tcp/5432"], **changes}]}


@pytest.mark.parametrize(
    ("networks", "path"),
    [
        ([{**CLOSED, "forward_ports": [forward(80, "10.66.9.10")]}], "forward_ports"),
        ([forwards(forward(80, "10.66.2.10"))], "forward_ports[0].guest.address"),
        ([forwards(forward(80, "10.66.1.1"))], "forward_ports[0].guest.address"),
        ([forwards(forward(80, "10.66.1.255"))], "forward_ports[0].guest.address"),
        ([forwards(forward(0, "10.66.1.10"))], "forward_ports[0].host.port"),
        ([forwards(forward(80, "10.66.1.10", address="10.66.2.1")), B], "forward_ports[0].host.address"),
        ([forwards({**forward(80, "10.66.1.10"), "sources": ["10.0.0.1/8"]})], "forward_ports[0].sources[0]"),
        (
            [forwards(forward(80, "10.66.1.10", address="192.0.2.1"), forward(80, "10.66.1.11"))],
            "forward_ports[1].host.port",
        ),
        ([{**B, "forward_ports": [forward(80, "10.66.2.10")]}, forwards(forward(80, "10.66.1.10"))], None),
        ([{**CLOSED, "allow": [{"from": "a0", "ports": ["tcp/1"]}]}, A], "allow"),
        ([allow(**{"from": "closed0"}), CLOSED], "allow[0].from"),
        ([allow(), {**B, "mode": "routed"}], "allow[0].from"),
        ([allow(**{"from": "gone0"}), B], "allow[0].from"),
        ([allow(**{"from": "10.66.1.10"}), B], "allow[0].from"),
        ([allow(**{"from": "10.66.0.0/16"}), B], "allow[0].from"),
        ([allow(to="10.66.2.10"), B], "allow[0].to"),
        ([allow(ports=[]), B], "allow[0].ports"),
        ([allow(ports=["icmp/8"]), B], "allow[0].ports[0]"),
        ([{**A, "limits": {"connections": -1}}], "limits.connections"),
    ],
)
def test_passages_that_lead_nowhere_or_clash_are_refused(networks: list[dict[str, Any]], path: str | None) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse_networks(networks, "n")
    assert refusal.value.path == (f"n[0].{path}" if path else "n[1].forward_ports[0].host.port")


def test_the_same_port_is_forwarded_at_each_address_of_the_host_and_by_each_protocol() -> None:
    first, second = (forward(80, "10.66.1.10", address=f"192.0.2.{number}") for number in (1, 2))
    parse_networks([forwards(first, second, {**forward(80, "10.66.1.10"), "proto": "udp"})])


def rules(*networks: dict[str, Any]) -> str:
    return configuration(parse_networks(networks), ["eth0"])[RULES]


def test_ports_are_forwarded_from_uplinks_and_networks_with_nat() -> None:
    port = {**forward(8080, "10.66.1.10", address="192.0.2.1"), "sources": ["10.0.0.0/8", "10.1.0.0/16"]}
    text = rules(forwards(port), B, CLOSED)
    origin = 'iifname { "eth0", "a0", "b0" } ip saddr { 10.0.0.0/8 }'
    assert f"{origin} ip daddr 192.0.2.1 tcp dport 8080 counter dnat ip to 10.66.1.10:8080\n" in text
    before = "ct original proto-dst 8080 ct original ip daddr 192.0.2.1"
    assert f"{origin} ip daddr 10.66.1.10 tcp dport 8080 {before} accept\n" in text
    assert 'iifname "closed0" ip daddr != @bridge_addresses' not in text
    assert "elements = { 10.66.1.1, 10.66.2.1, 10.66.9.1 }" in text


def test_neighbours_that_are_kept_apart_are_so_before_ports_are_forwarded() -> None:
    text = rules({**forwards(forward(80, "10.66.1.10")), "isolate": True})
    assert text.index('iifname "a0" oifname "a0" counter drop') < text.index("ct status dnat jump forwarded")


def test_without_forwarded_ports_there_is_no_nat_of_destinations() -> None:
    assert not [word for word in ("dnat", "hook output", "bridge_addresses") if word in rules(A, CLOSED)]


def test_allowed_guests_come_with_their_own_addresses() -> None:
    text = rules(allow(**{"from": "10.66.2.10", "ports": ["tcp/5432", "udp/53", "tcp/22"]}), B)
    who = "ip saddr 10.66.2.10/32 ip daddr 10.66.1.0/24"
    for what in ("tcp dport { 22, 5432 }", "udp dport { 53 }"):
        assert f'iifname "b0" oifname "a0" {who} {what} ct state new counter accept\n' in text
        assert text.index(f'oifname "a0" {who} {what} accept') < text.index("masquerade")


@pytest.mark.parametrize(("origin", "is_reserved"), [("10.66.2.10", True), ("10.66.2.0/28", False), ("b0", False)])
def test_nobody_else_has_an_address_that_is_allowed(origin: str, is_reserved: bool) -> None:
    text = rules(allow(**{"from": origin, "ports": ["tcp/5432"]}), B)
    reserved = text[text.index("set reserved") : text.index("set leases")]
    assert ("10.66.2.10" in reserved) == is_reserved


def test_a_network_that_stays_allows_nobody_of_one_that_is_gone() -> None:
    files = configuration(parse_networks([allow(), B]))
    kept = [network for network in recorded_networks(files) if network["name"] == "a0"]
    assert "5432" not in configuration(kept)[RULES]


def test_records_of_earlier_versions_get_the_default_limits() -> None:
    earlier = [{"name": "a0", "address": "10.66.1.1/24", "nat": True}]
    text = configuration(recorded_networks({RECORD: json.dumps(earlier)}))[RULES]
    assert "limit rate over 200/second burst 1000 packets" in text and "ct count over 4096" in text


def test_limits_can_be_lifted() -> None:
    text = rules({**A, "limits": {"connections": 0, "new_connections": 0}})
    assert " ct count" not in text and "limit rate over 200" not in text
