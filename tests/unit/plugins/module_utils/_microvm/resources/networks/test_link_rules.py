# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of other firewalls that miss the packets of an interface which a bridge takes over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.firewalls import Firewalls
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.interface_rules import (
    parse_ruleset,
    parse_saved_rules,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.link_rules import (
    link_warnings,
    missed_places,
)

from .test_lan import OWN, LanHost

LAN: dict[str, Any] = {"name": "lan0", "link": "enp1s0"}
OTHER: dict[str, Any] = {"name": "nat0", "address": "10.66.1.1/24", "nat": True}
INPUT = MappingProxyType({"family": "inet", "table": "filter", "chain": "input"})
PLACE = "chain input of table inet filter (see nft -a list chain inet filter input)"
DROP = {"drop": None}
SSH = {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 22}}


def match(right: object, op: str = "==", key: str = "iifname") -> dict[str, Any]:
    """Return the comparison of an interface as nft(8) prints it."""
    return {"match": {"op": op, "left": {"meta": {"key": key}}, "right": right}}


def ruleset(*rules: list[dict[str, Any]], place: Mapping[str, str] = INPUT, **sets: object) -> str:
    """Return what nft(8) prints of a table."""
    table = {key: place[key] for key in ("family", "table")}
    kinds = [{"map" if name == "vm" else "set": {**table, "name": name, "elem": value}} for name, value in sets.items()]
    listed = [{"rule": {**place, "handle": number, "expr": expression}} for number, expression in enumerate(rules)]
    return json.dumps({"nftables": [{"metainfo": {"json_schema_version": 1}}, {"table": table}, *kinds, *listed]})


def missed(text: str, former: str = "enp1s0", new: str = "lan0") -> int:
    """Return how many rules miss packets."""
    return sum(missed_places(parse_ruleset(text, ["inet own"]), former, new, ["nat0"]).values())


COUNTER = {"counter": {"packets": 7, "bytes": 9}}
CONCATENATION = [{"meta": {"key": "iifname"}}, {"payload": {"protocol": "tcp", "field": "dport"}}]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (ruleset([match("enp1s0"), SSH, COUNTER, DROP]), 1),
        (ruleset([match("enp1s0", key="oifname"), {"masquerade": None}]), 1),
        (ruleset([match("enp1s0", key="iif"), DROP]), 1),
        (ruleset([match("enp*"), DROP]), 1),
        (ruleset([match({"set": ["lo", "enp1s0"]}), DROP]), 1),
        (ruleset([match("@wan"), DROP], wan=["enp1s0", "enp2s0"]), 1),
        (ruleset([match("@wan"), DROP], wan=[{"elem": {"val": "enp1s0", "timeout": 60}}]), 1),
        (ruleset([{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": {"set": [["enp1s0", DROP]]}}}]), 1),
        (ruleset([{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": "@vm"}}], vm=[["enp1s0", DROP]]), 1),
        (
            ruleset(
                [
                    {
                        "match": {
                            "op": "==",
                            "left": {"concat": CONCATENATION},
                            "right": {"set": [{"concat": ["enp1s0", 22]}, {"concat": ["lo", 22]}]},
                        }
                    },
                    DROP,
                ]
            ),
            1,
        ),
        # What holds for all but the interface holds for the bridge as well.
        (ruleset([match("enp1s0", "!="), {"accept": None}]), 1),
        (ruleset([match("enp1s0", "!="), {"accept": None}], [match("lan0", "!="), {"accept": None}]), 1),
        (ruleset([match({"set": ["enp1s0", "lan0"]}, "!="), {"accept": None}]), 0),
        # The bridge is named too, in the same rule or in one beside it.
        (ruleset([match({"set": ["enp1s0", "lan0"]}), DROP]), 0),
        (ruleset([match("@wan"), DROP], wan=["enp1s0", "lan0"]), 0),
        (ruleset([match("enp1s0"), SSH, COUNTER, DROP], [match("lan0"), SSH, DROP]), 0),
        (ruleset([match("enp*"), SSH, DROP], [match("lan0"), SSH, DROP]), 0),
        (ruleset([match("enp1s0"), SSH, DROP], [match("lan0"), DROP]), 1),
        (ruleset([match("enp1s0"), SSH, DROP], [match("enp1s0"), DROP], [match("lan0"), DROP]), 1),
        (ruleset([match("enp1s0", key="oifname"), DROP], [match("lan0"), DROP]), 1),
        # Of other interfaces, of our own networks, and of tables that see the port of a bridge.
        (ruleset([match("enp10s0"), DROP], [match("lo"), DROP], [SSH, DROP]), 0),
        (ruleset([match("nat0"), match("enp1s0", key="oifname"), {"accept": None}]), 0),
        (ruleset([match("enp1s0"), DROP], place={**INPUT, "family": "netdev"}), 0),
        (ruleset([match("enp1s0"), DROP], place={**INPUT, "table": "own"}), 0),
        (ruleset([{"vmap": {"key": {"meta": {"key": "mark"}}, "data": {"set": [["enp1s0", DROP]]}}}]), 0),
        (
            ruleset(
                [
                    {
                        "vmap": {
                            "key": {"meta": {"key": "iifname"}},
                            "data": {"set": [["lo", {"jump": {"target": "enp1s0"}}]]},
                        }
                    }
                ]
            ),
            0,
        ),
        ("", 0),
    ],
)
def test_rules_of_nftables_that_miss_packets_are_counted(text: str, count: int) -> None:
    assert missed(text) == count


def test_sets_of_other_tables_are_not_mixed_up() -> None:
    text = json.loads(ruleset([match("@wan"), DROP], wan=["lo"]))
    text["nftables"].append({"set": {"family": "ip", "table": "filter", "name": "wan", "elem": ["enp1s0"]}})
    assert missed(json.dumps(text)) == 0


SAVED = """\
# Generated by iptables-save v1.8.9
*nat
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 10.0.0.0/8 -o enp1s0 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
-A INPUT -p tcp -m comment --comment "not -i enp1s0" -j ACCEPT
-A INPUT -i enp+ -p tcp -m tcp --dport 22 -j DROP
-A INPUT ! -i enp1s0 -j ACCEPT
-A INPUT -i lan0 -p udp -j DROP
-A INPUT -i enp1s0 -p udp -j DROP
COMMIT
"""


def test_rules_of_iptables_are_read_as_it_saves_them() -> None:
    rules = parse_saved_rules(SAVED, "iptables-legacy")
    assert missed_places(rules, "enp1s0", "lan0", []) == {
        "chain POSTROUTING of table nat of iptables-legacy (see iptables-legacy -t nat -S POSTROUTING)": 1,
        "chain INPUT of table filter of iptables-legacy (see iptables-legacy -t filter -S INPUT)": 2,
    }


def firewalls(**state: Any) -> Firewalls:
    """Return firewalls with a rule of nftables that names the interface, unless they have others."""
    rules = tuple(parse_ruleset(ruleset([match("enp1s0"), SSH, DROP]), []))
    return Firewalls(**{"interface_rules": rules, **state})


def warnings(state: Firewalls, *changing: str, **options: Any) -> list[str]:
    """Return what is said of a bridge."""
    networks = parse_networks([{**LAN, **options}, OTHER])
    return list(link_warnings(state, networks, [], {*changing}))


def test_a_change_says_before_it_which_rules_name_the_interface() -> None:
    (message,) = warnings(firewalls(), "lan0")
    assert message.startswith(
        "enp1s0 becomes a port of network lan0, so rules of other firewalls that name enp1s0 match"
    )
    assert message.endswith(
        f"Let them name lan0 as well, where that firewall has its rules, before the change: {PLACE}"
    )
    (message,) = warnings(firewalls())
    assert message.startswith("enp1s0 is a port of network lan0") and message.endswith(f"has its rules: {PLACE}")


def test_rules_are_left_alone_where_other_firewalls_are() -> None:
    assert warnings(firewalls(), "lan0", other_firewalls="leave") == []


def test_a_bridge_that_goes_is_looked_for_by_its_own_name() -> None:
    networks = parse_networks([LAN])
    state = firewalls(interface_rules=tuple(parse_ruleset(ruleset([match("lan0"), DROP]), [])))
    (message,) = link_warnings(state, networks, networks, {"lan0"})
    assert message.startswith(
        "enp1s0 is no longer a port of network lan0 then, so rules of other firewalls that name lan0"
    )
    assert list(link_warnings(firewalls(), networks, networks, {"lan0"})) == []


@pytest.mark.parametrize(
    ("rules", "own", "command"),
    [
        (("deny in on enp1s0 to any port 22",), (), "ufw deny in on lan0 to any port 22"),
        (("deny in on enp1s0",), (), "ufw deny in on lan0"),
        (("route allow in on enp1s0 out on enp10s0",), (), "ufw route allow in on lan0 out on enp10s0"),
        (("deny in on enp1s0", "deny in on lan0"), (), None),
        (("route allow in on nat0 out on enp1s0",), ("route allow in on nat0 out on enp1s0",), None),
        (("allow 22/tcp",), (), None),
    ],
)
def test_rules_of_ufw_are_said_as_its_commands(
    rules: tuple[str, ...], own: tuple[str, ...], command: str | None
) -> None:
    made = {**INPUT, "table": "filter", "family": "ip", "chain": "ufw-user-input"}
    interface_rules = tuple(parse_ruleset(ruleset([match("enp1s0"), DROP], place=made), []))
    state = {"ufw_rules": rules, "own_ufw_rules": own, "interface_rules": interface_rules}
    messages = warnings(firewalls(is_ufw_enabled=True, **state))
    assert [message.rpartition("rules: ")[2] for message in messages] == ([command] if command else [])
    # Of ufw that is not enabled nothing but the chains would matter.
    assert [message.rpartition("rules: ")[2] for message in warnings(firewalls(**state))] == [
        "chain ufw-user-input of table ip filter (see nft -a list chain ip filter ufw-user-input)"
    ]


@pytest.mark.parametrize(
    ("zones", "permanent_zones", "zone"),
    [
        ({"enp1s0": "work"}, {}, "work"),
        ({"enp1s0": "work"}, {"enp1s0": "drop"}, "drop"),
        ({"enp1s0": "work", "lan0": "public"}, {}, None),
        ({"enp1s0": "work"}, {"lan0": "public"}, None),
        ({"enp2s0": "work"}, {}, None),
    ],
)
def test_the_zone_of_firewalld_is_said(
    zones: dict[str, str], permanent_zones: dict[str, str], zone: str | None
) -> None:
    state = Firewalls(is_firewalld_running=True, zones=zones, permanent_zones=permanent_zones)
    command = f"firewall-cmd --permanent --zone={zone} --add-interface=lan0 && firewall-cmd --reload"
    assert [message.rpartition("rules: ")[2] for message in warnings(state)] == ([command] if zone else [])


@pytest.mark.parametrize(
    ("family", "table", "chain", "is_of_firewalld"),
    [
        ("inet", "firewalld", "filter_INPUT_ZONES", True),
        # Version 2 finds zones in other chains.
        ("inet", "firewalld", "filter_INPUT_POLICIES", True),
        ("inet", "firewalld", "mangle_PREROUTING_POLICIES", True),
        ("ip", "firewalld", "nat_POSTROUTING_POLICIES", True),
        ("ip6", "firewalld", "nat_POST_public_allow", True),
        ("ip", "filter", "INPUT_POLICIES", True),
        ("ip", "filter", "FORWARD_IN_ZONES", True),
        ("ip", "filter", "INPUT_direct", False),
        ("inet", "filter", "input", False),
    ],
)
def test_rules_that_firewalld_makes_of_zones_are_its_own(
    family: str, table: str, chain: str, is_of_firewalld: bool
) -> None:
    place = {"family": family, "table": table, "chain": chain}
    rules = tuple(parse_ruleset(ruleset([match("enp1s0"), {"goto": {"target": "filter_IN_public"}}], place=place), []))
    stopped = Firewalls(zones={"enp1s0": "public", "lan0": "public"}, interface_rules=rules)
    assert len(warnings(replace(stopped, is_firewalld_running=True))) == (0 if is_of_firewalld else 1)
    assert len(warnings(stopped)) == 1


def test_plans_say_it_before_the_change_and_as_long_as_it_holds() -> None:
    host = LanHost(OWN)
    text = ruleset([match("eth0"), SSH, DROP], [match("lan0"), DROP])
    rules = Firewalls(interface_rules=tuple(parse_ruleset(text, [])))
    host.observed = replace(host.observed, firewalls=rules)
    lan = [{**LAN, "link": "eth0"}]
    (before,) = host.run(lan).link_rules
    (confirming,) = host.run(lan, confirm=True).link_rules
    (steady,) = host.run(lan).link_rules
    (removing,) = host.run([]).link_rules
    assert before.startswith("eth0 becomes a port of network lan0")
    assert confirming == steady and steady.startswith("eth0 is a port of network lan0")
    assert removing.startswith("eth0 is no longer a port of network lan0 then")
    assert host.run([], confirm=True).link_rules == ()
