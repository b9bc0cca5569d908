# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the networks of guests: names of interfaces, gateways and routes, and what cannot work."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import GuestNetwork
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms import guest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import VM_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.compaction import read_record
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ...examples import FULL, parse

ROUTE = {"destination": "172.20.0.0/16", "gateway": "10.0.0.9"}


def vm(*networks: dict[str, Any], interfaces: int = 1) -> dict[str, Any]:
    """Return a MicroVM with the networks of its guest."""
    return {**FULL, "interfaces": [{}] * interfaces, "guest": {"networks": list(networks)}}


def parsed(*networks: dict[str, Any], interfaces: int = 1) -> list[GuestNetwork]:
    """Return the completed networks of a guest."""
    return parse(vm(*networks, interfaces=interfaces))[0]["guest"]["networks"]


def sections(network: dict[str, Any]) -> list[list[str]]:
    """Return the sections of the guest's systemd.network(5) file that follow ``[Network]``, and the gateways in it."""
    text = guest.credentials(parse(vm(network))[0], by_serial=True)["network.network.10-if0"]
    _match, first, *others = text.split("\n\n")
    gateways = [line for line in first.splitlines() if line.startswith("Gateway=")]
    return [gateways, *(section.splitlines() for section in others)]


def static(*addresses: str, **options: Any) -> dict[str, Any]:
    """Return the network of an interface with static addresses."""
    return {"addresses": list(addresses), **options}


RENDERED = {
    "one gateway, without a list": (static("10.7.0.2/24", gateway="10.7.0.1"), [["Gateway=10.7.0.1"]]),
    "one for each protocol": (
        static("10.7.0.2/24", "2001:db8:7::2/64", gateway=["10.7.0.1", "2001:db8:7::1"]),
        [["Gateway=10.7.0.1", "Gateway=2001:db8:7::1"]],
    ),
    "address of a host, IPv4": (
        static("203.0.113.77/32", gateway="198.51.100.1"),
        [[], ["[Route]", "Gateway=198.51.100.1", "GatewayOnLink=yes"]],
    ),
    "address of a host, IPv6": (
        static("2001:db8::77/128", gateway="2001:db8:ffff::1"),
        [[], ["[Route]", "Gateway=2001:db8:ffff::1", "GatewayOnLink=yes"]],
    ),
    "address of a host, one protocol only": (
        static("203.0.113.77/32", "2001:db8:7::2/64", gateway=["169.254.1.1", "2001:db8:7::1"]),
        [["Gateway=2001:db8:7::1"], ["[Route]", "Gateway=169.254.1.1", "GatewayOnLink=yes"]],
    ),
    "link-local gateway": (static("2001:db8::77/128", gateway="fe80::1"), [["Gateway=fe80::1"]]),
    "point to point": (static("10.7.0.0/31", gateway="10.7.0.1"), [["Gateway=10.7.0.1"]]),
    "subnet of the gateway reached by a route": (
        static("10.7.0.2/24", gateway="10.8.0.1", routes=[{"destination": "10.8.0.1/32"}]),
        [["Gateway=10.8.0.1"], ["[Route]", "Destination=10.8.0.1/32"]],
    ),
    "route beside the default one": (
        static("10.7.0.2/24", gateway="10.7.0.1", routes=[{**ROUTE, "gateway": "10.7.0.9", "metric": 50}]),
        [["Gateway=10.7.0.1"], ["[Route]", "Destination=172.20.0.0/16", "Gateway=10.7.0.9", "Metric=50"]],
    ),
    "route on the link by declaration": (
        static("10.7.0.2/24", routes=[{"destination": "0.0.0.0/0", "gateway": "10.9.0.1", "on_link": True}]),
        [[], ["[Route]", "Destination=0.0.0.0/0", "Gateway=10.9.0.1", "GatewayOnLink=yes"]],
    ),
    "route on the link as the address says": (
        static("10.7.0.2/32", routes=[{"destination": "10.0.0.0/8", "gateway": "10.9.0.1"}]),
        [[], ["[Route]", "Destination=10.0.0.0/8", "Gateway=10.9.0.1", "GatewayOnLink=yes"]],
    ),
    "default routes with metrics": (
        static(
            "10.7.0.2/24", gateway="10.7.0.1", routes=[{"destination": "0.0.0.0/0", "gateway": "10.7.0.3", "metric": 9}]
        ),
        [["Gateway=10.7.0.1"], ["[Route]", "Destination=0.0.0.0/0", "Gateway=10.7.0.3", "Metric=9"]],
    ),
    "gateway in a subnet that DHCP may give": (
        static("10.7.0.2/24", gateway="10.8.0.1", dhcp=True),
        [["Gateway=10.8.0.1"], ["[DHCPv4]", "ClientIdentifier=mac"]],
    ),
    "IPv6 gateway in a subnet that a router may announce": (
        static("10.7.0.2/24", gateway="2001:db8::1"),
        [["Gateway=2001:db8::1"]],
    ),
}


@pytest.mark.parametrize(("network", "expected"), RENDERED.values(), ids=RENDERED.keys())
def test_gateways_and_routes_reach_networkd(network: dict[str, Any], expected: list[list[str]]) -> None:
    assert sections(network) == expected


REFUSED = {
    "gateway in no subnet": (static("10.7.0.2/24", gateway="10.8.0.1"), "gateway[0]", "no subnet of the interface"),
    "IPv6 gateway in no subnet": (
        static("10.7.0.2/24", "2001:db8:7::2/64", gateway=["10.7.0.1", "2001:db8:8::1"]),
        "gateway[1]",
        "route to ::/0",
    ),
    "gateway of a protocol without an address": (
        static("2001:db8::2/64", gateway="10.8.0.1"),
        "gateway[0]",
        "requires an IPv4 address",
    ),
    "gateway that is the guest": (static("10.7.0.2/24", gateway="10.7.0.2"), "gateway[0]", "guest itself"),
    "two gateways of a protocol": (
        static("10.7.0.2/24", gateway=["10.7.0.1", "10.7.0.3"]),
        "gateway[1]",
        "leads to 0.0.0.0/0, as vms[0].guest.networks[0].gateway[0] does",
    ),
    "no address": (static("10.7.0.2/24", gateway="router"), "gateway[0]", "not an IP address"),
    "mapping": (static("10.7.0.2/24", gateway={"ipv4": "10.7.0.1"}), "gateway", "must be a list"),
    "default route twice": (
        static("10.7.0.2/24", gateway="10.7.0.1", routes=[{"destination": "0.0.0.0/0", "gateway": "10.7.0.3"}]),
        "routes[0]",
        "`metric`",
    ),
    "route twice": (static("10.0.0.2/24", routes=[ROUTE, ROUTE]), "routes[1]", "as vms[0].guest.networks[0].routes[0]"),
    "route to a host's address with a mask": (
        static("10.7.0.2/24", routes=[{"destination": "10.8.0.1/16"}]),
        "routes[0].destination",
        "host bits set",
    ),
    "route without a destination": (
        static("10.7.0.2/24", routes=[{"gateway": "10.7.0.1"}]),
        "routes[0].destination",
        "is required",
    ),
    "gateway of a route in no subnet": (
        static("10.7.0.2/24", routes=[{**ROUTE, "gateway": "10.6.0.1"}]),
        "routes[0].gateway",
        "no subnet of the interface",
    ),
    "gateway of a route declared as not on the link": (
        static("10.7.0.2/24", routes=[{**ROUTE, "gateway": "10.6.0.1", "on_link": False}]),
        "routes[0].gateway",
        "no subnet of the interface",
    ),
    "gateway of another protocol": (
        static("10.7.0.2/24", routes=[{"destination": "2001:db8::/32", "gateway": "10.7.0.1"}]),
        "routes[0].gateway",
        "not of the protocol",
    ),
    "on the link without a gateway": (
        static("10.7.0.2/24", routes=[{"destination": "10.8.0.0/16", "on_link": True}]),
        "routes[0].on_link",
        "requires a gateway",
    ),
    "negative metric": (static("10.7.0.2/24", routes=[{**ROUTE, "metric": -1}]), "routes[0].metric", "0 or more"),
    "name of no interface": (static("10.7.0.2/24", name="lo"), "name", "cannot be the name"),
    "number as a name": (static("10.7.0.2/24", name="12"), "name", "cannot be the name"),
    "long name": (static("10.7.0.2/24", name="n" * 16), "name", "at most 15"),
}


@pytest.mark.parametrize(("network", "key", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_guest_could_not_use_is_refused(network: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parsed(network)
    assert refusal.value.path == f"vms[0].guest.networks[0].{key}"
    assert message in refusal.value.message


def test_interfaces_are_named_by_their_place_unless_a_name_is_declared() -> None:
    declared = {**FULL, "interfaces": [{"id": "vm-a"}, {"id": "vm-b"}, {"id": "vm-c"}]}
    named = {"networks": [{"interface": "vm-b", "name": "lan0"}]}
    assert [network["name"] for network in parse({**declared, "guest": named})[0]["guest"]["networks"]] == [
        "net0",
        "lan0",
        "net2",
    ]


def test_a_name_reaches_udev_with_the_address_of_the_interface() -> None:
    declaration = parse(vm({"name": "lan0"}))[0]
    assert guest.credentials(declaration, by_serial=True)["network.link.10-if0"].splitlines() == [
        "[Match]",
        f"MACAddress={declaration['interfaces'][0]['mac']}",
        "Type=ether",
        "",
        "[Link]",
        "Name=lan0",
        "AlternativeNamesPolicy=database onboard slot path",
    ]


@pytest.mark.parametrize(
    ("networks", "place"),
    [
        ([{"name": "lan0"}, {"name": "lan0"}], "[0]"),
        ([{}, {"name": "net0"}], "[0]"),
        ([{"name": "net1"}], "[0]"),
        ([{"name": "eth0"}, {"name": "lan0"}], "[0]"),
    ],
)
def test_names_that_two_interfaces_would_have_are_refused(networks: list[dict[str, Any]], place: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parsed(*networks, interfaces=2)
    assert refusal.value.path == f"vms[0].guest.networks{place}.name"


def test_the_only_interface_may_keep_the_name_that_the_kernel_gives_it() -> None:
    assert parsed({"name": "eth0"})[0]["name"] == "eth0"


def test_a_record_of_a_single_gateway_is_read() -> None:
    record = {"name": "web", "kernel": "/k", "guest": {"networks": [{"gateway": "10.7.0.1"}]}}
    assert read_record(VM_OPTIONS, record)["guest"]["networks"][0]["gateway"] == ["10.7.0.1"]
    record["guest"] = {"networks": [{"gateway": {}}]}
    with pytest.raises(ValueError, match="is not a list"):
        read_record(VM_OPTIONS, record)
