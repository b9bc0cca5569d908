# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that guests have addresses of the networks that they are attached to, and nobody else's."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import files
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import attachments
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.state import Link
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..examples import parse

LEASE = {"mac": "02:00:00:00:00:31", "address": "172.20.8.31"}
NETWORKS: list[dict[str, Any]] = [
    {"name": "guests0", "address": "172.20.8.1/24", "dhcp_server": {}, "leases": [LEASE]},
    {"name": "guests1", "address": "172.20.9.1/24"},
]
LINKS = {"ens3": Link(False, ("198.51.100.7/24", "2001:db8::7/64")), "br-lan": Link(True, ("192.168.7.1/24",))}


@pytest.fixture(autouse=True)
def _host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "observe_links", lambda: LINKS)
    monkeypatch.setattr(files, "read_text", lambda _path: None)


def check(*addresses: str, networks: Any = None, **interface: Any) -> None:
    raw = {
        "name": "web",
        "kernel": "/k",
        "interfaces": [{"type": "user"}, {"bridge": "guests0", **interface}],
        "guest": {"networks": [{}, {"addresses": list(addresses)}]},
    }
    attachments.check_addresses([("vms[4]", parse(raw)[0])], NETWORKS if networks is None else networks)


def test_an_interface_on_a_network_that_goes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    placed = [
        ("vms[4]", parse({"name": "web", "kernel": "/k", "interfaces": [{"type": "user"}, {"bridge": "old0"}]})[0])
    ]
    monkeypatch.setattr(attachments, "_recorded", lambda: parse_networks([{**NETWORKS[1], "name": "old0"}]))
    for networks, words in (
        (NETWORKS[:1], "would take it away; name another network"),
        (NETWORKS[1:], "would take it away; its name is 'guests1' now: write that here"),
    ):
        attachments.check_addresses(placed, networks)
        with pytest.raises(DeclarationError) as refusal:
            attachments.check_addresses(placed, networks, ["old0"])
        assert refusal.value.path == "vms[4].interfaces[1].bridge"
        assert "'old0' is no longer declared" in refusal.value.message and words in refusal.value.message
    attachments.check_addresses(placed, NETWORKS, ["other0"])


@pytest.mark.parametrize(
    ("addresses", "interface", "position", "words"),
    [
        (["172.20.8.1/24"], {}, 0, "address of the bridge of the network 'guests0'"),
        (["172.20.8.2/24", "172.20.8.1/32"], {}, 1, "address of the bridge"),
        (["172.20.9.2/24"], {}, 0, "not in 172.20.8.0/24, the subnet of the network 'guests0'"),
        (["172.20.8.2/24"], {"bridge": "guests1"}, 0, "subnet of the network 'guests1'"),
        (["172.20.8.255/24"], {}, 0, "network or broadcast address"),
        (["172.20.8.0/24"], {}, 0, "network or broadcast address"),
        (["172.20.8.31/24"], {}, 0, "leased to 02:00:00:00:00:31"),
        (["198.51.100.7/24"], {"bridge": "other"}, 0, "address of the host itself, on its interface 'ens3'"),
        (["2001:db8::7/64"], {}, 0, "address of the host itself"),
        (["192.168.7.1/24"], {"bridge": "br-lan"}, 0, "on its interface 'br-lan'"),
    ],
)
def test_an_address_under_which_somebody_else_answers_is_refused(
    addresses: list[str], interface: dict[str, Any], position: int, words: str
) -> None:
    with pytest.raises(DeclarationError) as refusal:
        check(*addresses, **interface)
    assert refusal.value.path == f"vms[4].guest.networks[1].addresses[{position}]"
    assert words in refusal.value.message


@pytest.mark.parametrize(
    ("addresses", "interface"),
    [
        (["172.20.8.2/24"], {}),
        (["172.20.8.2/24", "fd00::2/64"], {}),
        (["203.0.113.9/32"], {}),
        (["172.20.8.31/24"], {"mac": "02:00:00:00:00:31"}),
        (["192.168.7.2/24", "10.1.2.3/8"], {"bridge": "br-lan"}),
    ],
)
def test_other_addresses_are_accepted(addresses: list[str], interface: dict[str, Any]) -> None:
    check(*addresses, **interface)


def test_networks_that_the_host_has_count_unless_they_change(monkeypatch: pytest.MonkeyPatch) -> None:
    record = json.dumps(parse_networks(NETWORKS))
    monkeypatch.setattr(files, "read_text", lambda _path: record)
    with pytest.raises(DeclarationError, match=r"not in 172\.20\.8\.0/24"):
        check("10.1.2.3/24", networks=())
    check("10.1.2.3/24", networks=[{"name": "guests0", "address": "10.1.2.1/24"}])


def test_a_damaged_record_of_networks_keeps_no_microvm_from_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "read_text", lambda _path: "{]")
    check("10.1.2.3/24", networks=())


def test_a_host_is_not_asked_without_static_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "observe_links", lambda: pytest.fail("asked"))
    check(bridge="guests0")


@pytest.mark.parametrize(
    ("guest", "key", "words"),
    [
        ({"addresses": ["10.66.5.7/32"], "gateway": ["10.66.5.1"]}, None, ""),
        ({"addresses": ["10.66.5.7/32"], "routes": [{"destination": "10.0.0.0/8", "gateway": "10.66.5.1"}]}, None, ""),
        ({"addresses": ["10.66.5.7/32"]}, "networks[0].gateway", "write 10.66.5.1"),
        ({"addresses": ["10.66.5.7/24"], "gateway": ["10.66.5.1"]}, "networks[0].addresses", "write 10.66.5.7/32"),
        ({}, "networks[0].addresses", "declare an IPv4 address of 10.66.5.0/24"),
        (None, "enable", "set it to true"),
    ],
)
def test_a_guest_of_a_routed_network_has_a_route_to_the_host(
    guest: dict[str, Any] | None, key: str | None, words: str
) -> None:
    networks = [{"name": "route0", "address": "10.66.5.1/24", "mode": "routed"}]
    declared: dict[str, Any] = {"enable": False} if guest is None else {"enable": True, "networks": [guest]}
    raw = {"name": "web", "kernel": "/k", "interfaces": [{"bridge": "route0"}], "guest": declared}
    placed = [("vms[4]", parse(raw)[0])]
    if key is None:
        attachments.check_addresses(placed, networks)
        return
    with pytest.raises(DeclarationError, match=words) as refusal:
        attachments.check_addresses(placed, networks)
    assert refusal.value.path == f"vms[4].guest.{key}"


@pytest.mark.parametrize(
    ("interface", "key", "words"),
    [
        ({"type": "macvtap", "bridge": "wire0"}, None, ""),
        ({"type": "macvtap", "bridge": "none0"}, "bridge", "no network 'none0' with mode macvtap"),
        ({"type": "macvtap", "bridge": "guests0"}, "bridge", "set type to tap"),
        ({"bridge": "wire0"}, "type", "set type to macvtap"),
        ({"type": "macvtap", "macvtap": {"link": "eth0", "mode": "bridge"}}, None, ""),
    ],
)
def test_macvtaps_join_networks_of_their_kind_only(interface: dict[str, Any], key: str | None, words: str) -> None:
    networks = [*NETWORKS, {"name": "wire0", "mode": "macvtap", "link": "eth0"}]
    guest = {"networks": [{"addresses": ["172.20.9.7/24"]}]}
    raw = {"name": "web", "kernel": "/k", "interfaces": [interface], "guest": guest}
    placed = [("vms[4]", parse(raw)[0])]
    if key is None:
        attachments.check_addresses(placed, networks)
        return
    with pytest.raises(DeclarationError, match=words) as refusal:
        attachments.check_addresses(placed, networks)
    assert refusal.value.path == f"vms[4].interfaces[0].{key}"
