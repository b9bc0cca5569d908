# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""IPv6 of networks: what is refused, what is written, and what becomes of the kernel's parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import NETWORK_LIST
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.configuration import (
    IPV6_FORWARDING_RECORDS,
    NETWORKD_DIRECTORY,
    RULES,
    SYSCTLS,
    configuration,
    ipv6_forwarding_of,
    parsed_settings,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.plan import Action, plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.routes import (
    default_interfaces,
    parse_routes,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.state import (
    ALL_IPV6_FORWARDING,
    Link,
    Observed,
    has_address,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

PLAIN: dict[str, Any] = {"name": "microvm0", "address": "10.66.1.1/24"}
CLOSED: dict[str, Any] = {**PLAIN, "ipv6": {"address": "fd00:66:1::1/64"}}
OTHER: dict[str, Any] = {"name": "other", "address": "10.66.2.1/24", "ipv6": {"address": "fd00:66:2::1/64"}}
NAT: dict[str, Any] = {**PLAIN, "ipv6": {"address": "fd00:66:1::1/64", "outside": "nat"}}
ROUTED: dict[str, Any] = {**PLAIN, "ipv6": {"address": "2001:db8:1::1/64", "outside": "routed"}}
FORWARDS = "net/ipv6/conf/microvm0/forwarding"
OLD_KERNEL = Observed(
    links={"eth0": Link(False), "eth1": Link(False)},
    uplinks=("eth0",),
    ipv6_uplinks=("eth1",),
    settings={ALL_IPV6_FORWARDING: "0"},
)
NEW_KERNEL = replace(
    OLD_KERNEL,
    settings={ALL_IPV6_FORWARDING: "0", **{ipv6_forwarding_of(name): "0" for name in ("default", "eth0", "eth1")}},
)


@pytest.mark.parametrize(
    ("networks", "path"),
    [
        ([{**PLAIN, "ipv6": {}}], "n[0].ipv6.address"),
        ([{**PLAIN, "ipv6": {"address": "fd00:66:1::1"}}], "n[0].ipv6.address"),
        ([{**PLAIN, "ipv6": {"address": "fd00:66:1::1/48"}}], "n[0].ipv6.address"),
        ([{**PLAIN, "ipv6": {"address": "fd00:66:1::/64"}}], "n[0].ipv6.address"),
        ([{**PLAIN, "ipv6": {"address": "fe80::1/64"}}], "n[0].ipv6.address"),
        ([{**PLAIN, "ipv6": {"address": "ff02::1/64"}}], "n[0].ipv6.address"),
        ([{**PLAIN, "ipv6": {"address": "10.66.9.1/24"}}], "n[0].ipv6.address"),
        ([{**PLAIN, "ipv6": {"address": "fd00:66:1::1/64", "outside": "bridge"}}], "n[0].ipv6.outside"),
        ([{**PLAIN, "ipv6": {"address": "fd00:66:1::1/64", "dns": ["9.9.9.9"]}}], "n[0].ipv6.dns[0]"),
        ([{**PLAIN, "ipv6": {"address": "fd00:66:1::1/64", "dns": ["fe80::1%eth0"]}}], "n[0].ipv6.dns[0]"),
        ([{**CLOSED, "metadata": True}], "n[0].metadata"),
        ([{**CLOSED, "uplinks": ["eth0"]}], "n[0].uplinks"),
        ([CLOSED, {**OTHER, "ipv6": {"address": "fd00:66:1::2/64"}}], "n[1].ipv6.address"),
    ],
)
def test_bad_input_is_refused_with_its_path(networks: list[dict[str, Any]], path: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse_networks(networks, "n")
    assert refusal.value.path == path


def test_an_address_is_written_in_one_way() -> None:
    longer = {"address": "FD00:66:1:0:0:0:0:1/64", "outside": "nat"}
    assert parse_networks([{**PLAIN, "ipv6": longer}]) == parse_networks([NAT])
    parse_networks([{**NAT, "uplinks": ["eth0"], "metadata": True}])


@pytest.mark.parametrize(
    ("network", "expected", "absent"),
    [
        (PLAIN, ["LinkLocalAddressing=no"], ["IPv6SendRA=yes", "[IPv6Prefix]", "[Address]"]),
        (
            CLOSED,
            [
                "LinkLocalAddressing=ipv6",
                "IPv6SendRA=yes",
                "RouterLifetimeSec=0",
                "EmitDNS=no",
                "Prefix=fd00:66:1::/64",
            ],
            ["DNS=fd00::53"],
        ),
        (NAT, ["IPv6SendRA=yes", "Address=fd00:66:1::1/64"], ["RouterLifetimeSec=0", "EmitDNS=no"]),
        ({**CLOSED, "ipv6": {**CLOSED["ipv6"], "dns": ["fd00::53"]}}, ["DNS=fd00::53"], ["EmitDNS=no"]),
    ],
    ids=["none", "closed", "nat", "dns"],
)
def test_networkd_announces_the_prefix(network: dict[str, Any], expected: list[str], absent: list[str]) -> None:
    text = configuration(parse_networks([network]))[f"{NETWORKD_DIRECTORY}/50-microvm-microvm0.network"].splitlines()
    assert set(expected) <= set(text)
    assert not set(absent) & set(text)


@pytest.mark.parametrize(
    ("network", "expected", "absent"),
    [
        (PLAIN, ['iifname "microvm0" meta nfproto ipv6 counter drop'], ["targets6", "nft6", "ip6 saddr", "icmpv6"]),
        (
            CLOSED,
            [
                'iifname "microvm0" oifname != "microvm0" meta nfproto ipv6 counter drop',
                'iifname "microvm0" ip6 daddr fd00:66:1::1 icmpv6 type echo-request accept',
                "ether type ip6 iifname @taps6 goto guest_ip6",
                'taps/microvm0:*.nft6"',
            ],
            ["masquerade", 'iifname "microvm0" meta nfproto ipv6 counter drop'],
        ),
        (
            NAT,
            [
                'ip6 saddr fd00:66:1::/64 oifname != "microvm0" masquerade',
                "meta nfproto ipv6 ct state != { established, related } counter drop",
                "ip6 daddr { fd00:ec2::254,",
            ],
            ['oifname != "microvm0" meta nfproto ipv6 counter drop'],
        ),
        (ROUTED, ["meta nfproto ipv6 ip6 saddr != 2001:db8:1::/64 counter drop"], ["masquerade"]),
        (
            {**CLOSED, "host_access": "none", "host_ports": ["tcp/80"]},
            ["nd-neighbor-solicit", "tcp dport 80"],
            ["dport 53 accept"],
        ),
    ],
    ids=["none", "closed", "nat", "routed", "no access"],
)
def test_rules_are_those_of_the_network(network: dict[str, Any], expected: list[str], absent: list[str]) -> None:
    rules = configuration(parse_networks([network]))[RULES]
    assert [text for text in expected if text not in rules] == []
    assert [text for text in absent if text in rules] == []


def test_the_list_for_taps_has_the_first_half_of_addresses() -> None:
    assert configuration(parse_networks([NAT]))[NETWORK_LIST].splitlines()[1:] == [
        "network microvm0 10.66.1.0/24 off",
        "prefix microvm0 fd00:0066:0001:0000",
    ]


@pytest.mark.parametrize(
    ("network", "settings"),
    [
        (PLAIN, {"disable_ipv6": "1"}),
        (CLOSED, {"disable_ipv6": "0", "force_forwarding": "0"}),
        (NAT, {"disable_ipv6": "0", "force_forwarding": "1", "forwarding": "1"}),
    ],
    ids=["none", "closed", "nat"],
)
def test_a_bridge_forwards_where_its_network_is_open(network: dict[str, Any], settings: dict[str, str]) -> None:
    values = parsed_settings(configuration(parse_networks([network]), ["eth0"], ["eth1"])[SYSCTLS])
    expected = {f"net/ipv6/conf/microvm0/{name}": value for name, value in settings.items()}
    uplinks = {ipv6_forwarding_of("eth1"): "1"} if network is NAT else {}
    assert {path: value for path, value in values.items() if "ipv6" in path} == {**expected, **uplinks}


def test_forwarding_of_an_uplink_is_put_back() -> None:
    record = f"{IPV6_FORWARDING_RECORDS}/eth1"
    planned = plan(NEW_KERNEL, parse_networks([NAT]))
    assert record in planned.targets(Action.RECORD_FORWARDING)
    after = replace(
        NEW_KERNEL,
        files=planned.files,
        settings={**NEW_KERNEL.settings, **parsed_settings(planned.files[SYSCTLS])},
        ipv6_switched_on=frozenset({"eth1"}),
    )
    assert not plan(after, parse_networks([NAT])).targets(Action.RECORD_FORWARDING, Action.STOP_FORWARDING)
    for networks in ([], [CLOSED], [PLAIN]):
        left = plan(after, parse_networks(networks))
        assert left.targets(Action.STOP_FORWARDING) == (ipv6_forwarding_of("eth1"),)
        assert left.targets(Action.FORGET_FORWARDING) == (record,)


def test_a_host_without_a_default_route_of_ipv6_keeps_its_uplink() -> None:
    after = replace(NEW_KERNEL, files=plan(NEW_KERNEL, parse_networks([NAT])).files, ipv6_uplinks=())
    assert parsed_settings(plan(after, parse_networks([NAT])).files[SYSCTLS])[ipv6_forwarding_of("eth1")] == "1"
    fresh = plan(replace(NEW_KERNEL, ipv6_uplinks=()), parse_networks([NAT]))
    assert parsed_settings(fresh.files[SYSCTLS])[ipv6_forwarding_of("eth0")] == "1"


@pytest.mark.parametrize(
    ("observed", "network", "path"),
    [
        (Observed(), CLOSED, "networks[0].ipv6"),
        (OLD_KERNEL, NAT, "networks[0].ipv6.outside"),
        (OLD_KERNEL, ROUTED, "networks[0].ipv6.outside"),
        (OLD_KERNEL, CLOSED, None),
        (NEW_KERNEL, NAT, None),
        (replace(OLD_KERNEL, settings={ALL_IPV6_FORWARDING: "1"}), NAT, None),
        (Observed(), PLAIN, None),
    ],
)
def test_no_host_becomes_a_router_for_everybody(observed: Observed, network: dict[str, Any], path: str | None) -> None:
    if path is None:
        plan(observed, parse_networks([network]))
        return
    with pytest.raises(DeclarationError) as refusal:
        plan(observed, parse_networks([network]))
    assert refusal.value.path == path


def test_a_prefix_that_a_host_reaches_elsewhere_is_refused() -> None:
    routes = '[{"dst": "fd00:66:1::/64", "dev": "eth1", "protocol": "ra"}, {"dst": "default", "dev": "eth1"}]'
    assert default_interfaces(routes) == ("eth1",)
    with pytest.raises(DeclarationError) as refusal:
        plan(replace(NEW_KERNEL, ipv6_routes=tuple(parse_routes(routes))), parse_networks([CLOSED]))
    assert refusal.value.path == "networks[0].ipv6.address"
    larger = tuple(parse_routes('[{"dst": "fd00:66::/32", "gateway": "fe80::1", "dev": "eth1"}]'))
    plan(replace(NEW_KERNEL, ipv6_routes=larger), parse_networks([CLOSED]))


def test_a_bridge_needs_both_addresses() -> None:
    network = parse_networks([CLOSED])[0]
    assert not has_address(Link(True, ("10.66.1.1/24",)), network)
    assert has_address(Link(True, ("10.66.1.1/24", "fe80::1/64", "fd00:66:1::1/64")), network)
