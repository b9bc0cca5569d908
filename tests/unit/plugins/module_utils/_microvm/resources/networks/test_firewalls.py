# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Other firewalls: what they are told to let pass, by which steps, and what is seen of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import (
    NETWORK_DOCKER_UNIT,
    NETWORK_UNIT,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.configuration import (
    DOCKER,
    DOCKER_UNIT,
    configuration,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.firewall_commands import (
    permissions,
    withdrawals,
    zone_records,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.firewalls import (
    ZONE_RECORDS,
    Firewalls,
    chains_differ,
    docker_rules,
    hindrances,
    ufw_rules,
    zone_interfaces,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.observe_firewalls import (
    parse_ufw_rules,
    parse_zones,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.other_chains import (
    DropChain,
    does_nothing,
    drop_chains,
)

from .test_networks import RUNNING, actions, host_with

NAT: dict[str, Any] = {"name": "microvm0", "address": "10.66.1.1/24", "nat": True}
CLOSED: dict[str, Any] = {"name": "closed0", "address": "10.66.2.1/24"}
ROUTED: dict[str, Any] = {"name": "route0", "address": "10.66.5.1/24", "mode": "routed", "nat": True}
FORWARD = {"host": {"port": 443}, "guest": {"address": "10.66.1.10", "port": 8443}}
TO = "-A MICROVM-FLEET"
COMMENTED = "-m comment --comment microvm.fleet"
ACCEPT = f"{COMMENTED} -j ACCEPT"
ANSWERS = f"-m conntrack --ctstate RELATED,ESTABLISHED {ACCEPT}"
LEADING = f"-A DOCKER-USER {COMMENTED} -j MICROVM-FLEET"
FORMER_LEADING = "-A DOCKER-USER -j MICROVM-FLEET"
DENIAL = "-A DOCKER-USER -i microvm0 -d 10.0.0.0/8 -j DROP"
RETURN = "-A DOCKER-USER -j RETURN"
RULE = f"-A MICROVM-FLEET -i microvm0 -o microvm0 {ACCEPT}"


@pytest.mark.parametrize(
    ("networks", "ipv4", "ipv6"),
    [
        ([CLOSED], [f"{TO} -i closed0 -o closed0 {ACCEPT}"], []),
        (
            [NAT],
            [
                f"{TO} -i microvm0 -o microvm0 {ACCEPT}",
                f"{TO} -i microvm0 -o eth0 {ACCEPT}",
                f"{TO} -o microvm0 {ANSWERS}",
            ],
            [],
        ),
        (
            [{**NAT, "uplinks": ["wan0", "wan1"], "forward_ports": [FORWARD]}],
            [
                f"{TO} -i microvm0 -o microvm0 {ACCEPT}",
                f"{TO} -i microvm0 -o wan0 {ACCEPT}",
                f"{TO} -i microvm0 -o wan1 {ACCEPT}",
                f"{TO} -o microvm0 {ANSWERS}",
                f"{TO} -o microvm0 -m conntrack --ctstate DNAT {ACCEPT}",
            ],
            [],
        ),
        (
            [{**CLOSED, "ipv6": {"address": "fd00:66:2::1/64", "outside": "nat"}}],
            [f"{TO} -i closed0 -o closed0 {ACCEPT}"],
            [
                f"{TO} -i closed0 -o closed0 {ACCEPT}",
                f"{TO} -i closed0 -o six0 {ACCEPT}",
                f"{TO} -o closed0 {ANSWERS}",
            ],
        ),
        (
            [ROUTED],
            [
                f"{TO} -s 10.66.5.0/24 -d 10.66.5.0/24 {ACCEPT}",
                f"{TO} -s 10.66.5.0/24 ! -i eth0 -o eth0 {ACCEPT}",
                f"{TO} -d 10.66.5.0/24 {ANSWERS}",
            ],
            [],
        ),
        ([{**NAT, "other_firewalls": "leave"}], [], []),
    ],
    ids=["closed", "nat", "uplinks and forwarded ports", "IPv6", "routed", "left alone"],
)
def test_what_passes_through_dockers_chain(networks: list[dict[str, Any]], ipv4: list[str], ipv6: list[str]) -> None:
    rules = docker_rules(parse_networks(networks), ["eth0"], ["six0"])
    assert (rules["iptables"].splitlines(), rules["ip6tables"].splitlines()) == (ipv4, ipv6)


def test_guests_that_are_allowed_pass_between_their_networks() -> None:
    data = {**CLOSED, "nat": True, "allow": [{"from": "microvm0", "ports": ["tcp/5432"]}]}
    networks = parse_networks([NAT, data])
    assert f"{TO} -i microvm0 -o closed0 {ACCEPT}" in docker_rules(networks, ["eth0"], [])["iptables"].splitlines()
    assert "route allow in on microvm0 out on closed0" in ufw_rules(networks, ["eth0"])


def test_a_closed_network_is_permitted_nothing_but_neighbours() -> None:
    """Not even by others' names: a plus sign at the end would mean any interface."""
    networks = parse_networks([NAT, CLOSED])
    rules = docker_rules(networks, ["eth0", "odd+"], [])["iptables"]
    assert "odd" not in rules
    for text in (rules, "\n".join(ufw_rules(networks, ["eth0", "odd+"]))):
        forwarded = [line for line in text.splitlines() if "closed0" in line and not line.startswith("allow ")]
        assert len(forwarded) == 1 and forwarded[0].count("closed0") == 2


@pytest.mark.parametrize(
    ("network", "rules"),
    [
        (
            {**NAT, "dhcp_server": {}, "forward_ports": [FORWARD], "host_ports": ["tcp/8080"]},
            [
                "route allow in on microvm0 out on microvm0",
                "route allow out on microvm0 to 10.66.1.10 port 8443 proto tcp",
                "route allow in on microvm0 out on eth0",
                "allow in on microvm0 to any port 53",
                "allow in on microvm0 to any port 67 proto udp",
                "allow in on microvm0 to any port 8080 proto tcp",
            ],
        ),
        ({**CLOSED, "host_access": "none"}, ["route allow in on closed0 out on closed0"]),
        ({**CLOSED, "host_access": "all"}, ["route allow in on closed0 out on closed0", "allow in on closed0"]),
        (
            ROUTED,
            [
                "route allow from 10.66.5.0/24 to 10.66.5.0/24",
                "route allow out on eth0 from 10.66.5.0/24",
                "allow from 10.66.5.0/24 to 10.66.5.1 port 53",
            ],
        ),
        ({**NAT, "other_firewalls": "leave"}, []),
    ],
)
def test_rules_of_ufw(network: dict[str, Any], rules: list[str]) -> None:
    assert ufw_rules(parse_networks([network]), ["eth0"]) == rules


@pytest.mark.parametrize(
    ("network", "is_in_zone"),
    [
        (NAT, True),
        (CLOSED, True),
        ({**NAT, "host_access": "none"}, True),
        ({**CLOSED, "host_access": "none"}, False),
        ({**CLOSED, "host_access": "none", "host_ports": ["tcp/80"]}, True),
        ({**CLOSED, "host_access": "none", "ipv6": {"address": "fd00:66:2::1/64", "outside": "nat"}}, True),
        (ROUTED, False),
    ],
)
def test_only_bridges_whose_guests_reach_something_are_in_a_zone(network: dict[str, Any], is_in_zone: bool) -> None:
    assert bool(zone_interfaces(parse_networks([network]))) is is_in_zone


@pytest.mark.parametrize(
    ("lines", "differs"),
    [
        ({}, False),
        ({"iptables": (), "ip6tables": ()}, True),
        ({"iptables": (LEADING, RULE), "ip6tables": ()}, False),
        ({"iptables": (RULE, LEADING), "ip6tables": ()}, False),
        ({"iptables": (RULE,), "ip6tables": ()}, True),
        ({"iptables": (LEADING, RULE, "-A MICROVM-FLEET another"), "ip6tables": ()}, True),
        ({"ip6tables": (LEADING,)}, True),
        ({"ip6tables": (DENIAL,)}, False),
        # After what others deny, and before a rule after which nothing is reached.
        ({"iptables": (DENIAL, LEADING, RULE)}, False),
        ({"iptables": (LEADING, DENIAL, RULE)}, True),
        ({"iptables": (DENIAL, LEADING, RETURN, RULE)}, False),
        ({"iptables": (DENIAL, LEADING, RETURN, DENIAL, RULE)}, False),
        ({"iptables": (LEADING, DENIAL, RETURN, RULE)}, True),
        ({"iptables": (DENIAL, RETURN, LEADING, RULE)}, True),
        ({"iptables": (LEADING, LEADING, RULE)}, True),
        # Of earlier versions, which made rules without a comment.
        ({"iptables": (FORMER_LEADING, RULE)}, True),
        ({"iptables": (LEADING, RULE.replace(f" {COMMENTED}", ""))}, True),
    ],
)
def test_rules_of_dockers_chain_are_compared(lines: dict[str, tuple[str, ...]], differs: bool) -> None:
    assert chains_differ(lines, {"iptables": f"{RULE}\n", "ip6tables": ""}) is differs


@pytest.mark.parametrize(
    ("firewalls", "steps"),
    [
        (Firewalls(), []),
        (Firewalls(docker={"iptables": ()}), ["insert our rules into Docker's chain DOCKER-USER"]),
        (Firewalls(is_docker_running=True), [f"systemctl restart {NETWORK_DOCKER_UNIT}"]),
        (
            Firewalls(is_ufw_enabled=True, docker={"iptables": ()}),
            [
                f"take our rules out of Docker's chain, and disable {NETWORK_DOCKER_UNIT}",
                f"remove {DOCKER}",
                f"remove {DOCKER_UNIT}",
                f"systemctl daemon-reload for {NETWORK_UNIT}",
                "permit in another firewall by ufw route allow in on microvm0 out on microvm0 comment microvm.fleet",
                "permit in another firewall by ufw route allow in on microvm0 out on eth0 comment microvm.fleet",
                "permit in another firewall by ufw allow in on microvm0 to any port 53 comment microvm.fleet",
            ],
        ),
        (
            Firewalls(is_firewalld_running=True),
            [
                f"record an interface that is put into a zone of firewalld, in {ZONE_RECORDS}/microvm0",
                "permit in another firewall by firewall-cmd --permanent --zone=trusted --add-interface=microvm0",
                "permit in another firewall by firewall-cmd --zone=trusted --add-interface=microvm0",
            ],
        ),
    ],
    ids=["none", "Docker's chain", "Docker runs", "ufw", "firewalld"],
)
def test_a_run_permits_in_each_firewall_that_the_host_has(firewalls: Firewalls, steps: list[str]) -> None:
    assert actions(replace(host_with([NAT]).observed, firewalls=firewalls), [NAT]) == steps


def test_the_unit_that_follows_docker_is_left_alone_while_it_is_as_it_should_be() -> None:
    observed = replace(
        host_with([NAT]).observed,
        firewalls=Firewalls(is_docker_running=True),
        docker_unit=replace(RUNNING, unit_file_state="enabled"),
    )
    assert actions(observed, [NAT]) == []
    assert actions(replace(observed, docker_unit=Unit()), [NAT]) == [
        f"systemctl restart {NETWORK_DOCKER_UNIT}",
        f"start with Docker {NETWORK_DOCKER_UNIT}",
    ]


def test_without_networks_nothing_stays_in_other_firewalls() -> None:
    firewalls = Firewalls(
        own_ufw_rules=("route allow in on microvm0 out on eth0", "allow in on microvm0 to any port 53"),
        is_firewalld_running=True,
        zones={"microvm0": "trusted", "eth1": "trusted"},
        permanent_zones={"microvm0": "trusted", "eth1": "trusted"},
        recorded_interfaces=frozenset({"microvm0"}),
    )
    steps = actions(replace(host_with([NAT]).observed, firewalls=firewalls), [])
    of_others = [step for step in steps if "another firewall" in step or "Docker" in step or "firewalld" in step]
    assert of_others == [
        f"take our rules out of Docker's chain, and disable {NETWORK_DOCKER_UNIT}",
        "withdraw from another firewall by ufw route delete allow in on microvm0 out on eth0",
        "withdraw from another firewall by ufw delete allow in on microvm0 to any port 53",
        "withdraw from another firewall by firewall-cmd --permanent --zone=trusted --remove-interface=microvm0",
        "withdraw from another firewall by firewall-cmd --zone=trusted --remove-interface=microvm0",
        f"delete the record {ZONE_RECORDS}/microvm0",
    ]
    assert steps.index(of_others[0]) < steps.index(f"systemctl disable --now {NETWORK_UNIT}")


@pytest.mark.parametrize(
    ("state", "new", "commands"),
    [
        ({"zones": {"microvm0": "work"}}, [], []),
        ({"permanent_zones": {"microvm0": "work"}}, [], []),
        (
            {"permanent_zones": {"microvm0": "trusted"}},
            [],
            ["firewall-cmd --zone=trusted --add-interface=microvm0"],
        ),
        (
            {"recorded_interfaces": frozenset({"microvm0"}), "zones": {"microvm0": "trusted"}},
            [],
            ["firewall-cmd --permanent --zone=trusted --add-interface=microvm0"],
        ),
    ],
    ids=["in another zone now", "in another zone later", "put there by somebody", "killed before the last step"],
)
def test_an_interface_stays_in_the_zone_that_somebody_has_put_it_into(
    state: dict[str, Any], new: list[str], commands: list[str]
) -> None:
    networks, firewalls = parse_networks([NAT]), Firewalls(is_firewalld_running=True, **state)
    assert zone_records(firewalls, networks) == (new, [])
    assert list(permissions(firewalls, networks, ["eth0"])) == commands


def test_what_somebody_has_put_into_the_zone_stays_there() -> None:
    in_zone = {"zones": {"microvm0": "trusted"}, "permanent_zones": {"microvm0": "trusted"}}
    assert list(withdrawals(Firewalls(is_firewalld_running=True, **in_zone), [], [])) == []  # type: ignore[arg-type]


def test_firewalld_that_does_not_run_forgets_interfaces_too() -> None:
    firewalls = Firewalls(
        permanent_zones={"microvm0": "trusted"}, recorded_interfaces=frozenset({"microvm0"}), zones={}
    )
    assert list(withdrawals(firewalls, [], [])) == ["firewall-offline-cmd --zone=trusted --remove-interface=microvm0"]


def test_rules_of_ufw_that_somebody_has_added_are_theirs() -> None:
    networks = parse_networks([CLOSED])
    printed = """\
Added user rules (see 'ufw status' for running firewall):
ufw allow 22/tcp
ufw route allow in on closed0 out on closed0
ufw route allow in on gone0 out on eth0 comment 'microvm.fleet'
ufw allow from 10.0.0.0/8 comment 'of the office'
"""
    rules, own_rules = parse_ufw_rules(printed)
    assert own_rules == ("route allow in on gone0 out on eth0",)
    firewalls = Firewalls(is_ufw_enabled=True, ufw_rules=rules, own_ufw_rules=own_rules)
    assert list(permissions(firewalls, networks, [])) == [
        "ufw allow in on closed0 to any port 53 comment microvm.fleet"
    ]
    assert list(withdrawals(firewalls, networks, [])) == ["ufw route delete allow in on gone0 out on eth0"]


@pytest.mark.parametrize("default", ["public", "public (default)"])
def test_zones_are_read_of_each_version_of_firewalld(default: str) -> None:
    printed = f"{default}\n  interfaces: eth0 eth1\n  sources: 10.0.0.0/8\ntrusted\n  interfaces: microvm0\n"
    assert parse_zones(printed) == {"eth0": "public", "eth1": "public", "microvm0": "trusted"}
    assert parse_zones("") == {}


def table(policy: str, *rules: str, hook: str = "forward") -> str:
    lines = "".join(f"\t\t{rule}\n" for rule in rules)
    base = f"\t\ttype filter hook {hook} priority filter; policy {policy};\n"
    return f"table inet filter {{\n\tchain c {{\n{base}{lines}\t}}\n\n\tchain other {{\n\t\tdrop\n\t}}\n}}\n"


@pytest.mark.parametrize(
    ("text", "drops"),
    [
        (table("drop"), True),
        (table("accept", 'iifname "eth0" accept', "reject with icmpx admin-prohibited"), True),
        (table("accept", 'counter packets 5 bytes 7 xt target "REJECT"'), True),
        (table("accept", "counter packets 5 bytes 7 drop"), True),
        (table("accept", 'iifname "eth0" drop'), False),
        (table("accept"), False),
        (table("drop", hook="output"), False),
        (table("drop").replace("inet", "bridge"), False),
    ],
)
def test_a_chain_drops_what_it_does_not_permit(text: str, drops: bool) -> None:
    assert [chain.name for chain in drop_chains(text)] == (["c"] if drops else [])


@pytest.mark.parametrize(
    ("text", "nothing"),
    [
        (table("accept"), True),
        (table("drop"), False),
        (table("accept", "counter packets 5 bytes 7"), False),
        (table("accept", "drop", hook="input"), True),
        ("", True),
    ],
)
def test_a_chain_that_is_empty_and_accepts_is_no_reason_to_forward(text: str, nothing: bool) -> None:
    assert does_nothing(text) is nothing


@pytest.mark.parametrize(
    ("chain", "firewalls", "networks", "commands"),
    [
        (
            DropChain("inet filter", "forward", "forward"),
            {},
            [NAT, CLOSED],
            "nft insert rule inet filter forward iifname microvm0 oifname microvm0 accept; "
            "nft insert rule inet filter forward iifname microvm0 oifname eth0 accept; "
            "nft insert rule inet filter forward oifname microvm0 ct state related,established accept",
        ),
        (
            DropChain("inet filter", "input", "input"),
            {},
            [{**CLOSED, "host_access": "none"}, NAT],
            "nft insert rule inet filter input iifname microvm0 accept",
        ),
        (
            DropChain("ip filter", "FORWARD", "forward"),
            {},
            [{**NAT, "forward_ports": [FORWARD]}],
            "iptables -I FORWARD -i microvm0 -o microvm0 -j ACCEPT; "
            "iptables -I FORWARD -i microvm0 -o eth0 -j ACCEPT; "
            "iptables -I FORWARD -o microvm0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; "
            "iptables -I FORWARD -o microvm0 -m conntrack --ctstate DNAT -j ACCEPT",
        ),
        (DropChain("ip6 filter", "FORWARD", "forward"), {}, [NAT], ""),
        (
            DropChain("ip filter", "INPUT", "input"),
            {"docker": {"iptables": ()}},
            [NAT],
            "iptables -I INPUT -i microvm0 -j ACCEPT",
        ),
        (DropChain("inet filter", "forward", "forward", frozenset({"microvm0"})), {}, [NAT], ""),
        (DropChain("ip filter", "FORWARD", "forward"), {"docker": {"iptables": ()}}, [NAT], ""),
        (DropChain("ip filter", "INPUT", "input"), {"is_ufw_enabled": True}, [NAT], ""),
        (DropChain("inet filter", "forward", "forward"), {}, [{**NAT, "other_firewalls": "leave"}], ""),
    ],
    ids=[
        "forward",
        "input",
        "iptables",
        "other family",
        "Docker permits no input",
        "permitted by the operator",
        "Docker",
        "ufw",
        "left alone",
    ],
)
def test_what_others_drop_is_said_with_what_to_do(
    chain: DropChain, firewalls: dict[str, Any], networks: list[dict[str, Any]], commands: str
) -> None:
    messages = hindrances(Firewalls(drop_chains=(chain,), **firewalls), parse_networks(networks), ["eth0"])
    assert [message.rpartition(": ")[2] for message in messages] == ([commands] if commands else [])


@pytest.mark.parametrize(("zones", "count"), [({}, 1), ({"mv-+": "trusted"}, 0)])
def test_routed_taps_are_in_no_zone_of_firewalld(zones: dict[str, str], count: int) -> None:
    firewalls = Firewalls(is_firewalld_running=True, zones=zones)
    assert len(hindrances(firewalls, parse_networks([ROUTED]), ["eth0"])) == count


def test_rules_wait_for_docker_that_comes_later_unless_they_are_not_wanted() -> None:
    assert {DOCKER, DOCKER_UNIT} <= set(configuration(parse_networks([CLOSED])))
    left = parse_networks([{**CLOSED, "other_firewalls": "leave"}])
    for files in (
        configuration(left),
        configuration(parse_networks([CLOSED]), follows_docker=False),
        configuration([]),
    ):
        assert not {DOCKER, DOCKER_UNIT} & set(files)
