# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that ``allow`` names: the addresses that stand for them, and what is refused."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.selected_guests import (
    Resolved,
    refuse_selectors,
    with_addresses,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.guest_inventory import declared_vms
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

A: Dict[str, Any] = {
    "name": "a0",
    "address": "10.66.1.1/24",
    "nat": True,
    "dhcp_server": {},
    "leases": [{"mac": "02:00:00:00:00:AA", "address": "10.66.1.77"}],
}
B: Dict[str, Any] = {"name": "b0", "address": "10.66.2.1/24", "nat": True}
CLOSED: Dict[str, Any] = {"name": "closed0", "address": "10.66.9.1/24"}
ROUTED: Dict[str, Any] = {"name": "routed0", "address": "10.66.8.1/24", "nat": True, "mode": "routed"}


def vm(name: str, *interfaces: Tuple[str, List[str]], **options: Any) -> Dict[str, Any]:
    """Return a MicroVM with interfaces on bridges, each with its static addresses."""
    return {
        "name": name,
        "image": "base",
        "interfaces": [{"bridge": bridge, **options.pop("interface", {})} for bridge, _addresses in interfaces],
        "guest": {"networks": [{"addresses": addresses} for _bridge, addresses in interfaces]},
        **options,
    }


WEB = vm("web", ("a0", ["10.66.1.11/24", "fd00::11/64"]), tags=["front", "eu"])
CACHE = vm("cache", ("a0", ["10.66.1.9/24"]), tags=["front"])
LEASED = vm("leased", ("a0", []), interface={"mac": "02:00:00:00:00:aa"}, tags=["leased"])
BY_DHCP = vm("by-dhcp", ("a0", []), tags=["pool"])
DB = vm("db", ("b0", ["10.66.2.10/24"]), tags=["eu", "data"])
BOTH = vm("both", ("a0", ["10.66.1.12/24"]), ("b0", ["10.66.2.12/24"]))
INSIDE = vm("inside", ("closed0", ["10.66.9.10/24"]), ("routed0", ["10.66.8.10/32"]), tags=["inside"])
GONE = vm("gone", ("a0", ["10.66.1.13/24"]), state="absent", tags=["front"])
LAN: Dict[str, Any] = {"name": "lan0", "link": "eth0"}
WIRE: Dict[str, Any] = {"name": "wire0", "mode": "macvtap", "link": "eth1"}
VMS = (WEB, CACHE, LEASED, BY_DHCP, DB, BOTH, INSIDE, GONE)


def resolve(*allowed: Dict[str, Any], vms: Sequence[Dict[str, Any]] = VMS) -> Resolved:
    """Return the networks of a host, the second of which allows something."""
    second = {**B, "allow": list(allowed)} if allowed else B
    return with_addresses([A, second, CLOSED, ROUTED, LAN, WIRE], declared_vms({"microvm_vms": vms}), "n")


def pairs(origin: str, destination: str = "microvm:db") -> List[Tuple[str, str]]:
    """Return the addresses that an element of ``allow`` is about."""
    resolved = resolve({"from": origin, "to": destination, "ports": ["tcp/5432"]})
    # What results is accepted, and selects nothing any more.
    refuse_selectors(parse_networks(resolved.networks), "networks")
    network: Any = resolved.networks[1]
    assert all(allowed["ports"] == ["tcp/5432"] for allowed in network["allow"])
    return [(allowed["from"], allowed["to"]) for allowed in network["allow"]]


@pytest.mark.parametrize(
    ("origin", "destination", "expected"),
    [
        ("microvm:web", "microvm:db", [("10.66.1.11", "10.66.2.10")]),
        ("microvm:leased", "microvm:db", [("10.66.1.77", "10.66.2.10")]),
        ("microvm:both", "microvm:both", [("10.66.1.12", "10.66.2.12")]),
        ("tag:front", "tag:data", [("10.66.1.9", "10.66.2.10"), ("10.66.1.11", "10.66.2.10")]),
        ("tag:eu", "tag:eu", [("10.66.1.11", "10.66.2.10")]),
        ("a0", "tag:eu", [("a0", "10.66.2.10")]),
        ("tag:leased", "10.66.2.0/25", [("10.66.1.77", "10.66.2.0/25")]),
    ],
    ids=["names", "lease", "one guest on both", "several", "tag on both networks", "network", "subnet"],
)
def test_guests_are_replaced_by_their_addresses(origin: str, destination: str, expected: List[Tuple[str, str]]) -> None:
    assert pairs(origin, destination) == expected


def test_all_guests_of_the_network_are_meant_without_a_destination() -> None:
    network: Any = resolve({"from": "microvm:web", "ports": ["udp/53"]}).networks[1]
    assert network["allow"] == [{"from": "10.66.1.11", "to": "10.66.2.0/24", "ports": ["udp/53"]}]


def test_the_order_of_microvms_changes_nothing() -> None:
    element = {"from": "tag:front", "ports": ["tcp/1"]}
    assert resolve(element) == resolve(element, vms=VMS[::-1])


@pytest.mark.parametrize(
    ("origin", "destination", "key", "message"),
    [
        ("microvm:wbe", "microvm:db", "from", "no MicroVM 'wbe' is declared"),
        ("microvm:gone", "microvm:db", "from", "no MicroVM 'gone' is declared"),
        ("microvm:by-dhcp", "microvm:db", "from", "no IPv4 address of MicroVM 'by-dhcp' on network 'a0'"),
        ("tag:pool", "microvm:db", "from", "no IPv4 address of MicroVM 'by-dhcp' on network 'a0'"),
        ("microvm:db", "microvm:db", "from", "MicroVM 'db' has no interface on other networks with nat"),
        ("microvm:inside", "microvm:db", "from", "MicroVM 'inside' has no interface on other networks with nat"),
        ("microvm:web", "microvm:web", "to", "MicroVM 'web' has no interface on network 'b0'"),
        ("microvm:", "microvm:db", "from", "is not a name"),
        ("tag:a b", "microvm:db", "from", "is not a tag"),
        ("vm:web", "microvm:db", "from", "is not an interface name"),
    ],
)
def test_guests_that_cannot_be_allowed_are_refused(origin: str, destination: str, key: str, message: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        pairs(origin, destination)
    assert refusal.value.path == f"n[1].allow[0].{key}" and message in refusal.value.message


@pytest.mark.parametrize("tag", ["nobody", "data", "inside"], ids=["unknown", "on the same network", "nowhere else"])
def test_a_tag_without_guests_allows_nothing_and_warns(tag: str) -> None:
    resolved = resolve({"from": f"tag:{tag}", "ports": ["tcp/1"]}, {"from": "a0", "ports": ["tcp/2"]})
    network: Any = resolved.networks[1]
    assert [allowed["from"] for allowed in network["allow"]] == ["a0"]
    (warning,) = resolved.warnings
    assert warning.startswith("n[1].allow[0].from: ") and tag in warning


@pytest.mark.parametrize(
    ("tag", "hint"),
    [
        (
            "fornt",
            "no MicroVM of this host has the tag 'fornt', so this allows nothing here, as it should be if only other",
        )
    ]
    + [("fornt", "other hosts have MicroVMs with the tag; otherwise did you mean 'front'?")]
    + [("zzz", "other hosts have MicroVMs with the tag; otherwise correct it")]
    + [("data", "no MicroVM on other networks with nat of this host has the tag 'data'; this allows nothing")],
)
def test_the_warning_about_a_tag_says_what_it_may_have_been_meant_to_be(tag: str, hint: str) -> None:
    (warning,) = resolve({"from": f"tag:{tag}", "ports": ["tcp/1"]}).warnings
    assert hint in warning


def test_the_error_about_a_name_says_what_it_may_have_been_meant_to_be() -> None:
    with pytest.raises(DeclarationError, match="did you mean 'cache'"):
        pairs("microvm:cahce")
    with pytest.raises(DeclarationError, match="correct the name"):
        pairs("microvm:gone")


def test_networks_that_name_no_guests_are_left_as_they_were_written() -> None:
    assert resolve().networks[:2] == [A, B]
    assert resolve({"from": "a0", "ports": ["tcp/1"]}).networks[1] == {
        **B,
        "allow": [{"from": "a0", "ports": ["tcp/1"]}],
    }


def test_what_nobody_has_replaced_is_refused_with_the_way_out() -> None:
    networks = parse_networks([A, {**B, "allow": [{"from": "a0", "to": "tag:data", "ports": ["tcp/1"]}]}])
    with pytest.raises(DeclarationError, match="with_guest_addresses") as refusal:
        refuse_selectors(networks, "networks")
    assert refusal.value.path == "networks[1].allow[0].to"
