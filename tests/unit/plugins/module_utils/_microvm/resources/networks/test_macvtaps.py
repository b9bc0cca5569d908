# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks of macvtaps: what they cannot have, and what a run refuses and repairs of their macvtaps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import NETWORK_LIST
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.macvtap import REMEDIES
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.options import NETWORK_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.configuration import (
    SYSCTLS,
    configuration,
    recorded_networks,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.macvtaps import parse_tables
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.plan import plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.state import Link, Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .test_networks import BRIDGE, FRESH, NAT, Host, actions, host_with

WIRE: dict[str, Any] = {"name": "wire0", "mode": "macvtap", "link": "eth0"}
OTHER_LINK: dict[str, Any] = {**WIRE, "link": "eth1"}
RULES = "# network wire0\ntable netdev microvm_mv-a\n"


def with_macvtap(networks: list[dict[str, Any]], **state: Any) -> Observed:
    """Return a host with a running MicroVM on the network, and two links."""
    observed = host_with(networks).observed
    defaults: dict[str, Any] = {
        "links": {**observed.links, "eth1": Link(False), "mv-a": Link(False)},
        "macvtap_rules": {"mv-a": RULES},
        "loaded_macvtaps": frozenset({"mv-a"}),
    }
    return replace(observed, **{**defaults, **state})


@pytest.mark.parametrize(
    ("networks", "path", "words"),
    [
        ([{"name": "wire0", "mode": "macvtap"}], "n[0].link", "is required"),
        ([{**WIRE, "link": "all"}], "n[0].link", "all interfaces"),
        ([{**WIRE, "link": "wire0"}], "n[0].name", "the interface itself"),
        ([{**WIRE, "macvtap": {"mode": "passthru"}}], "n[0].macvtap.mode", "passthru"),
        ([WIRE, {**WIRE, "name": "wire1"}], "n[1].link", "'wire0' has this link too"),
        ([WIRE, {**WIRE, "link": "eth1"}], "n[1].name", "also called"),
        ([{**WIRE, "link": "microvm0"}, BRIDGE], "n[1].name", "link of network 'wire0'"),
        ([BRIDGE, {**WIRE, "link": "microvm0"}], "n[1].link", "is a network of this host"),
        ([{**WIRE, "name": "eth9"}, {**NAT, "uplinks": ["eth9"]}], "n[1].uplinks[0]", "network of this host"),
        ([{**NAT, "link": "eth0"}], "n[0].address", "a bridge with link has no address"),
        ([{**NAT, "macvtap": {"mode": "vepa"}}], "n[0].macvtap.mode", "only with mode macvtap"),
        ([{"name": "microvm0"}], "n[0].address", "is required"),
        *[
            ([{**WIRE, key: value}], f"n[0].{key}", f"has no {key}; ")
            for key, value in {
                "address": "10.66.1.1/24",
                "nat": True,
                "ipv6": {"address": "fd00::1/64"},
                "dhcp_server": {},
                "leases": [{"mac": "02:00:00:00:00:01", "address": "10.66.1.20"}],
                "host_access": "all",
                "host_ports": ["tcp/80"],
                "isolate": True,
                "metadata": True,
                "uplinks": ["eth1"],
                "forward_ports": [{"host": {"port": 80}, "guest": {"address": "10.66.1.20"}}],
                "allow": [{"from": "other", "ports": ["tcp/80"]}],
                "limits": {"connections": 0},
            }.items()
        ],
    ],
)
def test_what_such_a_network_cannot_have_is_refused(networks: list[dict[str, Any]], path: str, words: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse_networks(networks, "n")
    assert refusal.value.path == path
    assert words in refusal.value.message


def test_every_option_but_those_of_such_networks_has_a_remedy() -> None:
    own = {"name", "mode", "link", "macvtap"}
    assert {option.name for option in NETWORK_OPTIONS} - own == REMEDIES.keys()


def test_options_at_their_defaults_are_none() -> None:
    """Parse what Ansible fills in where nobody wrote anything."""
    written = {**WIRE, "nat": False, "host_access": "dns_dhcp", "isolate": False, "limits": None, "allow": None}
    assert parse_networks([written]) == parse_networks([WIRE])


def test_the_list_says_link_and_mode_and_the_record_is_read_again() -> None:
    networks = parse_networks([WIRE, {**WIRE, "name": "wire1", "link": "eth1", "macvtap": {"mode": "private"}}])
    texts = configuration(networks)
    assert texts[NETWORK_LIST].splitlines()[1:] == ["macvtap wire0 eth0 bridge", "macvtap wire1 eth1 private"]
    assert "net/" not in texts[SYSCTLS] and not [path for path in texts if "wire" in path]
    assert recorded_networks(texts) == networks


def test_networkd_is_not_needed_and_a_second_run_does_nothing() -> None:
    host = Host(FRESH)
    assert not [step for step in actions(host.observed, [WIRE]) if "networkd.service" in step]
    host.carry_out([WIRE])
    assert not host.carry_out([WIRE])
    host.carry_out([])
    assert host.observed.files == FRESH.files


def test_a_missing_link_is_refused() -> None:
    with pytest.raises(DeclarationError, match="no interface 'eth7'") as refusal:
        plan(FRESH, parse_networks([{**WIRE, "link": "eth7"}]), "n")
    assert refusal.value.path == "n[0].link"


def test_a_network_stays_when_its_link_goes_and_is_reported() -> None:
    host = Host(FRESH)
    host.carry_out([WIRE])
    assert plan(host.observed, parse_networks([WIRE])).missing_links == ()
    host.observed = replace(host.observed, links={})
    assert plan(host.observed, parse_networks([WIRE])).missing_links == (("wire0", "eth0"),)
    assert actions(host.observed, [WIRE]) == []
    assert "start systemd-networkd.service" in " ".join(actions(host.observed, [WIRE, BRIDGE]))
    assert plan(host.observed, []).missing_links == ()


@pytest.mark.parametrize("changed", [OTHER_LINK, {**WIRE, "name": "wire1"}])
def test_what_has_another_link_or_name_is_new_when_its_link_is_missing(changed: dict[str, Any]) -> None:
    observed = replace(with_macvtap([WIRE], macvtap_rules={}), links={})
    with pytest.raises(DeclarationError, match="the host has no interface"):
        plan(observed, parse_networks([changed]), "n")


def test_a_port_of_a_bridge_of_others_is_refused_as_link() -> None:
    links = {"eth0": Link(False), "br0": Link(True, ports=("eth0",))}
    with pytest.raises(DeclarationError, match="a port of the bridge 'br0'") as refusal:
        plan(replace(FRESH, links=links), parse_networks([WIRE]), "n")
    assert refusal.value.path == "n[0].link"


def test_a_link_that_is_down_is_reported() -> None:
    observed = replace(FRESH, links={"eth0": Link(False, is_up=False)})
    assert plan(observed, parse_networks([WIRE])).down == (("wire0", "eth0"),)
    assert plan(FRESH, parse_networks([WIRE])).down == ()


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        (OTHER_LINK, "n[0].link"),
        ({**WIRE, "macvtap": {"mode": "private"}}, "n[0].macvtap.mode"),
        ({**BRIDGE, "name": "wire0"}, "n[0].mode"),
    ],
)
def test_what_running_microvms_are_on_does_not_change(changed: dict[str, Any], path: str) -> None:
    with pytest.raises(DeclarationError, match="mv-a") as refusal:
        plan(with_macvtap([WIRE]), parse_networks([changed]), "n")
    assert refusal.value.path == path
    without = with_macvtap([WIRE], macvtap_rules={})
    assert actions(without, [changed])


def test_a_network_stays_as_long_as_microvms_are_on_it() -> None:
    planned = plan(with_macvtap([WIRE]), [])
    assert planned.kept == {"wire0": ("mv-a",)} and not planned.changed
    assert plan(with_macvtap([WIRE, {**WIRE, "name": "wire1", "link": "eth0.1"}][:1], macvtap_rules={}), []).changed


def test_deleted_rules_are_loaded_again_and_those_of_former_macvtaps_forgotten() -> None:
    assert actions(with_macvtap([WIRE]), [WIRE]) == []
    assert actions(with_macvtap([WIRE], loaded_macvtaps=frozenset()), [WIRE]) == ["load again the rules of tap mv-a"]
    links = {"eth0": Link(False)}
    assert actions(with_macvtap([WIRE], links=links), [WIRE]) == ["delete the rules of the former tap mv-a"]


def test_tables_of_others_are_no_macvtaps() -> None:
    output = "table netdev microvm_mv-a\ntable netdev filter\ntable netdev microvm_mv-0.b\n"
    assert parse_tables(output) == frozenset({"mv-a", "mv-0.b"})
