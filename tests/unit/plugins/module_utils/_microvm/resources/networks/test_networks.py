# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks: what is refused, what is written, and that every interrupted run is completed by the next one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import (
    NETWORK_LIST,
    NETWORK_UNIT,
    NETWORK_WATCH_UNIT,
    TAP_RULES_DIRECTORY,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.configuration import (
    DOCKER,
    DOCKER_UNIT,
    FORMER_FORWARDING_MARK,
    FORWARDING_RECORDS,
    NETWORKD_DIRECTORY,
    RULES,
    SYSCTLS,
    UNIT,
    WATCH,
    WATCH_UNIT,
    bridge_of,
    configuration,
    forwarding_of,
    is_ours,
    parsed_settings,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.observe import (
    forwarding_tables,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.plan import (
    EVERYTHING,
    Action,
    plan,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.rules import (
    rules_digest,
    unbound_tap,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.state import (
    NETWORKD,
    Link,
    Observed,
    TapGuest,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

RUNNING = Unit("loaded", "active", "running", "enabled")
BRIDGE: dict[str, Any] = {"name": "microvm0", "address": "10.66.1.1/24"}
NAT: dict[str, Any] = {**BRIDGE, "nat": True}
LEASE = {"mac": "02:00:00:00:00:01", "address": "10.66.1.20"}
SERVER: dict[str, Any] = {**NAT, "dhcp_server": {"pool_offset": 100, "dns": ["9.9.9.9"]}, "leases": [LEASE]}
OTHER: dict[str, Any] = {"name": "other", "address": "10.66.2.1/24"}
UPLINK = "net/ipv4/conf/eth0/forwarding"
BOUND = """\
add element bridge microvm_fleet taps { "mv-a" }
add element bridge microvm_fleet macs { "mv-a" . 02:00:00:00:00:0A }
"""
FRESH = Observed(
    networkd=Unit("loaded", "inactive", "dead", "disabled"),
    unit=Unit(),
    links={"eth0": Link(False)},
    uplinks=("eth0",),
    settings={UPLINK: "0"},
)


@pytest.mark.parametrize(
    ("networks", "path"),
    [
        ([{**BRIDGE, "adress": "x"}], "n[0].adress"),
        ([{**BRIDGE, "name": "a-name-that-is-too-long"}], "n[0].name"),
        ([{**BRIDGE, "name": "mv-bridge"}], "n[0].name"),
        ([{**BRIDGE, "address": "10.66.1.1"}], "n[0].address"),
        ([{**BRIDGE, "address": "10.66.1.0/24"}], "n[0].address"),
        ([{**BRIDGE, "address": "10.66.1.255/24"}], "n[0].address"),
        ([{**BRIDGE, "address": "10.66.1.1/32"}], "n[0].address"),
        ([{**BRIDGE, "address": "fd00::1/64"}], "n[0].address"),
        ([BRIDGE, {**OTHER, "name": "microvm0"}], "n[1].name"),
        ([BRIDGE, {**OTHER, "address": "10.66.1.65/26"}], "n[1].address"),
        ([{**BRIDGE, "name": "all"}], "n[0].name"),
        ([{**BRIDGE, "name": "default"}], "n[0].name"),
        ([{**NAT, "uplinks": ["eth0", "all"]}], "n[0].uplinks[1]"),
        ([{**NAT, "uplinks": ["default"]}], "n[0].uplinks[0]"),
        ([{**NAT, "uplinks": ["microvm0"]}], "n[0].uplinks[0]"),
        ([OTHER, {**NAT, "uplinks": ["eth0", "other"]}], "n[1].uplinks[1]"),
        ([{**NAT, "uplinks": ["other"]}, OTHER], "n[1].name"),
        ([{**BRIDGE, "host_access": "some"}], "n[0].host_access"),
        ([{**BRIDGE, "host_access": "none", "dhcp_server": {}}], "n[0].dhcp_server"),
        ([{**BRIDGE, "metadata": True}], "n[0].metadata"),
        ([{**BRIDGE, "uplinks": ["eth0"]}], "n[0].uplinks"),
        ([{**BRIDGE, "host_ports": ["tcp/80", "sctp/80"]}], "n[0].host_ports[1]"),
        ([{**BRIDGE, "host_ports": ["tcp/65536"]}], "n[0].host_ports[0]"),
        ([{**BRIDGE, "host_ports": ["80"]}], "n[0].host_ports[0]"),
        ([{**BRIDGE, "leases": [LEASE]}], "n[0].leases"),
        ([{**SERVER, "leases": [LEASE, {**LEASE, "mac": "02:00:00:00:00:02"}]}], "n[0].leases[1].address"),
        ([{**SERVER, "leases": [{**LEASE, "address": "10.66.2.20"}]}], "n[0].leases[0].address"),
        ([{**BRIDGE, "dhcp_server": {"pool_offset": 300}}], "n[0].dhcp_server.pool_offset"),
        ([{**BRIDGE, "dhcp_server": {"pool_offset": 200, "pool_size": 60}}], "n[0].dhcp_server.pool_size"),
    ],
)
def test_bad_input_is_refused_with_its_path(networks: list[dict[str, Any]], path: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse_networks(networks, "n")
    assert refusal.value.path == path


def test_networks_become_files_of_networkd_and_rules_of_nftables() -> None:
    files = configuration(parse_networks([SERVER]), ["eth0"])
    assert all(is_ours(path) for path in files)
    network = files[f"{NETWORKD_DIRECTORY}/50-microvm-microvm0.network"].splitlines()
    assert {"LLMNR=no", "MulticastDNS=no"} <= {*network[: network.index("[Link]")]}
    assert {"Address=10.66.1.1/24", "DHCPServer=yes", "PoolOffset=100", "DNS=9.9.9.9"} <= set(network)
    assert network.index("MACAddress=02:00:00:00:00:01") == network.index("[DHCPServerStaticLease]") + 1
    assert 'ip saddr 10.66.1.0/24 oifname != "microvm0" masquerade' in files[RULES]
    assert 'iifname "microvm0" oifname != "microvm0" ip saddr != 10.66.1.0/24 counter drop' in files[RULES]
    assert "elements = { 10.66.1.1, 10.66.1.20 }" in files[RULES]
    assert "elements = { 02:00:00:00:00:01 . 10.66.1.20 }" in files[RULES]
    assert files[NETWORK_LIST].splitlines()[1:] == [
        "network microvm0 10.66.1.0/24 off",
        "lease microvm0 02:00:00:00:00:01 10.66.1.20",
    ]


def test_whoever_loads_the_rules_holds_the_lock_of_the_taps() -> None:
    files = configuration(parse_networks([NAT]))
    locked = f"flock {TAP_RULES_DIRECTORY} /usr/sbin/nft -f {RULES}"
    assert [line.partition("=/usr/bin/")[::2] for line in files[UNIT].splitlines() if "nft -f" in line] == [
        ("ExecStart", locked),
        ("ExecReload", locked),
    ]
    assert files[WATCH].endswith(f"\nwatch_rules {RULES} microvm_fleet {TAP_RULES_DIRECTORY}\n")
    directory = f"RuntimeDirectory={TAP_RULES_DIRECTORY[len('/run/') :]}\n"
    assert all(directory in files[unit] for unit in (UNIT, WATCH_UNIT))


def test_packets_are_forwarded_where_networks_with_nat_need_it() -> None:
    files = configuration(parse_networks([NAT, OTHER]), ["eth0", "vlan.7"])
    assert parsed_settings(files[SYSCTLS]) == {
        forwarding_of("microvm0"): "1",
        forwarding_of("other"): "0",
        forwarding_of("eth0"): "1",
        forwarding_of("vlan.7"): "1",
        "net/ipv6/conf/microvm0/disable_ipv6": "1",
        "net/ipv6/conf/other/disable_ipv6": "1",
    }
    named = configuration(parse_networks([{**NAT, "uplinks": ["wan0"]}]), ["eth0"])[SYSCTLS]
    assert forwarding_of("wan0") in parsed_settings(named) and forwarding_of("eth0") not in parsed_settings(named)
    assert forwarding_of("eth0") not in parsed_settings(configuration(parse_networks([OTHER]), ["eth0"])[SYSCTLS])


@pytest.mark.parametrize(
    ("options", "expected", "absent"),
    [
        ({}, ["dport 67", "dport 53", "echo-request"], ['"microvm0" accept', "dport 8080"]),
        ({"host_access": "none"}, [], ["dport", "echo-request", '"microvm0" accept']),
        ({"host_access": "all"}, ['iifname "microvm0" accept'], ["dport"]),
        ({"host_access": "none", "host_ports": ["udp/123"]}, ["ip daddr 10.66.1.1 udp dport 123 accept"], ["67"]),
    ],
    ids=["default", "none", "all", "ports"],
)
def test_guests_reach_what_is_declared_of_the_host(
    options: dict[str, Any], expected: list[str], absent: list[str]
) -> None:
    text = configuration(parse_networks([{**BRIDGE, **options}]))[RULES]
    chain = text.partition("chain host {")[2].partition("chain prerouting")[0]
    assert all(text in chain for text in expected)
    assert not any(text in chain for text in absent)
    assert 'iifname "microvm0" counter drop' in chain


def test_link_local_addresses_and_neighbours_are_reached_as_declared() -> None:
    metadata, neighbours = (
        "ip daddr { 169.254.0.0/16, 100.100.100.200, 168.63.129.16 } th dport != 53 counter drop",
        'iifname "microvm0" oifname "microvm0" counter drop',
    )
    default, asked = (
        configuration(parse_networks([network]))[RULES] for network in (NAT, {**NAT, "metadata": True, "isolate": True})
    )
    assert metadata in default and neighbours not in default
    assert metadata not in asked and neighbours in asked


def test_without_nat_nothing_goes_in_or_out() -> None:
    files = configuration(parse_networks([BRIDGE]))
    assert {bridge_of(path) for path in files} == {None, "microvm0"}
    assert forwarding_of("microvm0") + " = 0\n" in files[SYSCTLS]
    assert "masquerade" not in files[RULES]
    for protocol in ("ipv4", "ipv6"):
        assert f'iifname "microvm0" oifname != "microvm0" meta nfproto {protocol} counter drop' in files[RULES]
        assert f'oifname "microvm0" iifname != "microvm0" meta nfproto {protocol} counter drop' in files[RULES]
    assert "DHCPServer=no" in files[f"{NETWORKD_DIRECTORY}/50-microvm-microvm0.network"]


def test_rules_are_compared_by_the_output_of_nft() -> None:
    one, two = (
        configuration(parse_networks(list(networks)))[RULES] for networks in ([NAT], [NAT, {**OTHER, "nat": True}])
    )
    assert rules_digest(one) != rules_digest(two)
    printed = f'table inet microvm_fleet {{\n\tcomment "{rules_digest(one)}"\n\tchain forward {{\n'
    assert rules_digest(printed) == rules_digest(one)
    assert rules_digest("table ip microvm_fleet {\n}\n") is None


def actions(observed: Observed, networks: list[dict[str, Any]]) -> list[str]:
    """The steps of a plan, as they read."""
    return [str(step) for step in plan(observed, parse_networks(networks), "networks").steps]


class Host:
    """Model of the part of a host that plans change; ``read`` is what the daemons have read."""

    def __init__(self, observed: Observed) -> None:
        self.observed = observed
        self.read: dict[str, str] = dict(observed.files)

    def carry_out(self, networks: list[dict[str, Any]], steps: int | None = None) -> bool:
        """The first ``steps`` of the plan, or all; whether there was anything to do."""
        planned = plan(self.observed, parse_networks(networks), "networks")
        if planned.targets(Action.WRITE, Action.REMOVE) and steps != 0:
            self.observed = replace(self.observed, interrupted=True)
        for step in planned.steps[:steps]:
            self._do(step.action, step.target, dict(planned.files))
        if steps is None or steps >= len(planned.steps):
            self.observed = replace(self.observed, interrupted=False)
        return planned.changed

    def _do(self, action: Action, target: str, wanted: dict[str, str]) -> None:
        files, links = dict(self.observed.files), dict(self.observed.links)
        change: dict[str, Any] = {}
        if action is Action.WRITE:
            files[target] = wanted[target]
        elif action is Action.REMOVE:
            del files[target]
        elif action is Action.DELETE_BRIDGE:
            del links[target]
        elif action in (Action.START_NETWORKD, Action.RELOAD_NETWORKD, Action.RECONFIGURE):
            self._run_networkd(links)
            change["networkd"] = replace(self.observed.networkd, active_state="active")
        elif action is Action.ENABLE:
            which = "networkd" if target == NETWORKD else "unit"
            change[which] = replace(getattr(self.observed, which), unit_file_state="enabled")
        elif action is Action.RELOAD_SYSTEMD:
            self._read(UNIT)
            self._read(WATCH_UNIT)
            self._read(DOCKER_UNIT)
        elif action is Action.LOAD_RULES:
            assert UNIT in self.read, "a unit that systemd has not read is started"
            change.update(rules=rules_digest(files[RULES]), unit=replace(self.observed.unit, active_state="active"))
            change.update(fingerprint=f"{files[RULES]}, listed", recorded_fingerprint=f"{files[RULES]}, listed")
            change.update(loaded_taps=frozenset(self.observed.tap_rules))
        elif action is Action.UNLOAD_RULES:
            change.update(rules=None, unit=Unit(), watch=Unit(), fingerprint="", recorded_fingerprint="")
        elif action is Action.WATCH:
            assert WATCH_UNIT in self.read, "a unit that systemd has not read is started"
            change["watch"] = replace(self.observed.watch, active_state="active")
        elif action is Action.FOLLOW_DOCKER:
            assert DOCKER_UNIT in self.read, "a unit that systemd has not read is enabled"
            change["docker_unit"] = replace(self.observed.docker_unit, unit_file_state="enabled")
        elif action is Action.LEAVE_DOCKER:
            assert DOCKER in files, "the script is gone that removes the rules"
            change["docker_unit"] = Unit()
        elif action in (Action.ISOLATE, Action.JOIN):
            for name, link in links.items():
                if target in link.ports:
                    is_isolated = action is Action.ISOLATE
                    links[name] = replace(
                        link, isolated=link.isolated - {target} | ({target} if is_isolated else set())
                    )
        elif action is Action.IGNORE_LINK_LOCAL:
            links[target] = replace(links[target], learns_link_local=False)
        elif action is Action.FORGET_LEASES:
            change["kept_leases"] = {}
        elif action is Action.ADMIT:
            change["tap_rules"] = {**self.observed.tap_rules, target: unbound_tap(target)}
        else:
            change = self._change_forwarding(action, target)
        self.observed = replace(self.observed, files=files, links=links, **change)

    def _change_forwarding(self, action: Action, target: str) -> dict[str, Any]:
        settings, interface = dict(self.observed.settings), target.rpartition("/")[2]
        if action is Action.APPLY_SETTINGS:
            bridges = {bridge_of(path) for path in self.observed.files} - {None}
            assert bridges <= {*self.observed.links}, "parameters of a bridge that does not exist are set"
            return {"settings": {**settings, **parsed_settings(self.observed.files[target])}}
        if target == EVERYTHING:
            return {"settings": dict.fromkeys(settings, "0")}
        if action is Action.STOP_FORWARDING:
            return {"settings": {**settings, target: "0"}}
        if target == FORMER_FORWARDING_MARK:
            return {"forwards_everything": False}
        assert target.startswith(FORWARDING_RECORDS)
        interfaces = self.observed.switched_on - {interface}
        is_recorded = action is Action.RECORD_FORWARDING
        return {"switched_on": interfaces | {interface} if is_recorded else interfaces}

    def _read(self, beginning: str) -> None:
        self.read = {path: text for path, text in self.read.items() if not path.startswith(beginning)}
        self.read.update({path: text for path, text in self.observed.files.items() if path.startswith(beginning)})

    def _run_networkd(self, links: dict[str, Link]) -> None:
        self._read(NETWORKD_DIRECTORY)
        for path, text in self.read.items():
            address = [line.partition("=")[2] for line in text.splitlines() if line.startswith("Address=")]
            if bridge_of(path) and path.endswith(".network"):
                links[str(bridge_of(path))] = Link(True, tuple(address[:1]))

    def is_as(self, networks: list[dict[str, Any]]) -> bool:
        """Return whether everything is as declared, and all programs have read what is written."""
        declared = parse_networks(networks)
        files = configuration(declared, ["eth0"])
        units = (NETWORKD_DIRECTORY, UNIT, WATCH_UNIT, DOCKER_UNIT)
        seen = {path: text for path, text in self.read.items() if path.startswith(units)}
        needs_forwarding = any(network["nat"] for network in declared)
        return (
            self.observed.files == files
            and seen == {path: text for path, text in files.items() if path.startswith(units)}
            and {name: link.addresses for name, link in self.observed.links.items()}
            == {"eth0": (), **{network["name"]: (network["address"],) for network in declared}}
            and self.observed.docker_unit.enabled == bool(declared)
            and self.observed.rules == (rules_digest(files[RULES]) if RULES in files else None)
            and self.observed.switched_on == ({"eth0"} if needs_forwarding else set())
            and self.observed.settings[UPLINK] == str(int(needs_forwarding))
            and all(
                self.observed.settings[path] == value for path, value in parsed_settings(files.get(SYSCTLS, "")).items()
            )
            and not self.observed.interrupted
        )


def host_with(networks: list[dict[str, Any]]) -> Host:
    host = Host(FRESH)
    host.carry_out(networks)
    return host


STATES: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "a bridge": [BRIDGE],
    "translated": [NAT],
    "served": [SERVER],
    "two": [SERVER, {**OTHER, "nat": True}],
    "another address": [{**NAT, "address": "10.66.3.1/24"}],
}


@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("after", STATES)
def test_a_run_that_is_killed_at_any_step_is_completed_by_the_next(before: str, after: str) -> None:
    total = len(plan(host_with(STATES[before]).observed, parse_networks(STATES[after]), "networks").steps)
    for steps in range(total + 1):
        host = host_with(STATES[before])
        assert host.is_as(STATES[before])
        host.carry_out(STATES[after], steps)
        host.carry_out(STATES[after])
        assert host.is_as(STATES[after]), f"killed after {steps} of {total} steps"
        assert not host.carry_out(STATES[after]), "a second run changes something"


@pytest.mark.parametrize(
    ("damage", "step"),
    [
        ({"links": {"microvm0": Link(True)}}, "configure bridge microvm0"),
        ({"rules": None}, f"load nftables rules of {NETWORK_UNIT}"),
        ({"fingerprint": "with fewer rules"}, f"load nftables rules of {NETWORK_UNIT}"),
        ({"watch": Unit()}, f"systemctl restart {NETWORK_WATCH_UNIT}"),
        ({"settings": {UPLINK: "0"}}, "apply /etc/sysctl.d/50-microvm-fleet.conf"),
    ],
)
def test_manual_removals_are_repaired(damage: dict[str, Any], step: str) -> None:
    assert actions(replace(host_with([NAT]).observed, **damage), [NAT]) == [step]


def test_a_bridge_that_is_deleted_comes_back_with_its_parameters() -> None:
    assert actions(replace(host_with([NAT]).observed, links={"eth0": Link(False)}), [NAT]) == [
        "reload configuration of systemd-networkd.service",
        "apply /etc/sysctl.d/50-microvm-fleet.conf",
    ]


@pytest.mark.parametrize(
    ("before", "after", "is_on", "reason"),
    [
        ({}, {}, "0", ""),
        ({"settings": {UPLINK: "1"}}, {}, "1", ""),
        ({}, {"other_forwarding": "docker"}, "1", "docker"),
    ],
    ids=["ours", "on before", "needed by others"],
)
def test_forwarding_ends_with_the_last_network_that_needs_it_unless_others_do(
    before: dict[str, Any], after: dict[str, Any], is_on: str, reason: str
) -> None:
    host = Host(replace(FRESH, **before))
    host.carry_out([NAT, OTHER])
    host.observed = replace(host.observed, **after)
    assert plan(host.observed, parse_networks([]), "networks").still_forwarding == reason
    host.carry_out([OTHER])
    assert host.observed.settings[UPLINK] == is_on
    assert not host.observed.switched_on
    assert not host.carry_out([OTHER])


def test_another_uplink_takes_the_place_of_the_former_one() -> None:
    host = host_with([NAT])
    links = {**host.observed.links, "wan0": Link(False)}
    settings = {**host.observed.settings, forwarding_of("wan0"): "0"}
    without = replace(host.observed, links=links, settings=settings, uplinks=())
    assert actions(without, [NAT]) == [], "a host without a default route forgets its uplink"
    host.observed = replace(without, uplinks=("wan0",))
    host.carry_out([NAT])
    assert host.observed.switched_on == {"wan0"}
    assert (host.observed.settings[UPLINK], host.observed.settings[forwarding_of("wan0")]) == ("0", "1")
    assert not host.carry_out([NAT])


@pytest.mark.parametrize("others", ["", "docker"])
def test_a_host_of_an_earlier_version_forwards_by_interface(others: str) -> None:
    """It forwards everything, its rules know no taps, and a MicroVM runs."""
    host = host_with([NAT])
    files = {path: text for path, text in host.observed.files.items() if path not in (WATCH_UNIT, NETWORK_LIST)}
    files.update({RULES: "table ip microvm_fleet {\n", SYSCTLS: "net.ipv4.ip_forward = 1\n"})
    host.observed = replace(
        host.observed,
        files=files,
        links={
            **host.observed.links,
            "microvm0": Link(True, (NAT["address"],), ("eth1", "mv-web"), taps=frozenset({"mv-web"})),
            "mv-web": Link(False),
        },
        rules=None,
        settings={UPLINK: "1"},
        switched_on=frozenset(),
        forwards_everything=True,
        other_forwarding=others,
        watch=Unit(),
    )
    planned = plan(host.observed, parse_networks([NAT]), "networks")
    assert planned.still_forwarding == others
    assert planned.targets(Action.ADMIT) == ("mv-web",)
    assert planned.targets(Action.STOP_FORWARDING) == (() if others else (EVERYTHING,))
    total = len(planned.steps)
    before, read = host.observed, dict(host.read)
    for steps in range(total + 1):
        host.observed, host.read = before, dict(read)
        host.carry_out([NAT], steps)
        host.carry_out([NAT])
        assert not host.observed.forwards_everything
        assert host.observed.settings[UPLINK] == host.observed.settings[forwarding_of("microvm0")] == "1"
        assert host.observed.switched_on == (set() if others else {"eth0"})
        assert not host.carry_out([NAT])


def host_with_port(tap: str | None, network: dict[str, Any] | None = None, **state: Any) -> Host:
    """A host on whose bridge the tap mv-a is, with such rules, and everything else as it should be."""
    network = network or NAT
    host = host_with([network])
    bridge = Link(True, (network["address"],), ("mv-a",), state.pop("isolated", frozenset()), frozenset({"mv-a"}))
    tap_rules = {} if tap is None else {"mv-a": tap}
    defaults = {"loaded_taps": frozenset(tap_rules), "pinned": frozenset({("mv-a", "02:00:00:00:00:0a")})}
    links = {"links": {**host.observed.links, "microvm0": bridge, "mv-a": Link(False)}}
    host.observed = replace(host.observed, tap_rules=tap_rules, **{**links, **defaults, **state})
    return host


def test_ports_are_isolated_as_declared() -> None:
    isolated = {**NAT, "isolate": True}
    host = host_with_port(BOUND)
    assert "keep from its neighbours port mv-a" in actions(host.observed, [isolated])
    host.carry_out([isolated])
    assert not host.carry_out([isolated])
    assert "let reach its neighbours port mv-a" in actions(host.observed, [NAT])


@pytest.mark.parametrize("rules", [None, unbound_tap("mv-a")], ids=["new", "admitted"])
def test_a_tap_that_somebody_else_keeps_from_its_neighbours_stays_so(rules: str | None) -> None:
    host = host_with_port(rules, isolated=frozenset({"mv-a"}))
    assert not [step for step in actions(host.observed, [NAT]) if step.startswith("let reach")]


@pytest.mark.parametrize(
    ("rules", "state", "steps"),
    [
        (BOUND, {}, []),
        (unbound_tap("mv-a"), {}, []),
        (None, {}, ["filter, though its guest is not known, tap mv-a"]),
        (BOUND, {"loaded_taps": frozenset()}, ["load again the rules of tap mv-a"]),
        (BOUND, {"loaded_taps": frozenset(), "rules": None}, [f"load nftables rules of {NETWORK_UNIT}"]),
        (BOUND, {"pinned": frozenset({("mv-b", "02:00:00:00:00:0a")})}, ["set the MAC address of port mv-a"]),
        (
            BOUND,
            {"links": {"eth0": Link(False), "microvm0": Link(True, (NAT["address"],))}},
            ["delete the rules of the former tap mv-a"],
        ),
    ],
    ids=["bound", "admitted", "unknown", "not loaded", "nothing loaded", "posed as", "gone"],
)
def test_each_tap_on_a_bridge_is_filtered(rules: str | None, state: dict[str, Any], steps: list[str]) -> None:
    host = host_with_port(rules, **state)
    assert actions(host.observed, [NAT]) == steps
    if rules is None:
        host.carry_out([NAT])
        host.observed = replace(host.observed, loaded_taps=frozenset({"mv-a"}))
        assert not host.carry_out([NAT])


def test_a_bridge_whose_taps_an_earlier_version_has_bound_learns_nothing_that_rules_do_not_see() -> None:
    host = host_with_port(BOUND)
    bridge = replace(host.observed.links["microvm0"], learns_link_local=True)
    host.observed = replace(host.observed, links={**host.observed.links, "microvm0": bridge})
    assert actions(host.observed, [NAT]) == ["learn no MAC address of frames that rules do not see, on bridge microvm0"]
    host.carry_out([NAT])
    assert not host.carry_out([NAT])
    # One without taps is told when the first of them is bound.
    empty = Link(True, bridge.addresses, learns_link_local=True)
    assert actions(replace(host_with([NAT]).observed, links={"eth0": Link(False), "microvm0": empty}), [NAT]) == []


def test_what_is_no_tap_is_not_admitted() -> None:
    host = host_with_port(None)
    bridge = replace(host.observed.links["microvm0"], taps=frozenset())
    assert actions(replace(host.observed, links={**host.observed.links, "microvm0": bridge}), [NAT]) == []


def test_an_uplink_that_comes_later_forwards_no_longer_than_networks_need_it() -> None:
    network = {**NAT, "uplinks": ["wan0"]}
    host = Host(replace(FRESH, settings={**FRESH.settings, forwarding_of("default"): "0"}))
    host.carry_out([network])
    assert host.observed.switched_on == {"wan0"}
    assert actions(host.observed, [network]) == []
    host.observed = replace(host.observed, links={**host.observed.links, "wan0": Link(False)})
    assert actions(host.observed, [network]) == []
    assert f"switch off {forwarding_of('wan0')}" in actions(host.observed, [OTHER])


def test_rules_of_others_for_forwarded_packets_are_seen() -> None:
    chain = "\tchain x {\n\t\ttype filter hook %s priority filter; policy accept;\n\t}\n}\n"
    tables = {
        "ip microvm_fleet": "forward",
        "inet microvm_fleet": "forward",
        "inet filter": "input",
        "ip nat": "postrouting",
        "inet fw": "forward",
    }
    printed = "".join(f"table {name} {{\n{chain % hook}" for name, hook in tables.items())
    assert forwarding_tables(printed) == ["ip nat", "inet fw"]
    assert forwarding_tables("") == []


def test_a_host_with_another_network_service_does_not_wait_for_ours() -> None:
    assert "systemctl enable systemd-networkd.service" in actions(FRESH, [BRIDGE])
    assert "systemctl start systemd-networkd.service" in actions(FRESH, [BRIDGE])
    assert actions(FRESH, []) == []


def test_an_interface_from_elsewhere_is_refused() -> None:
    for link in (Link(True), Link(False)):
        with pytest.raises(DeclarationError) as refusal:
            actions(replace(FRESH, links={"microvm0": link}), [BRIDGE])
        assert refusal.value.path == "networks[0].name"


def kept(*leases: tuple[str, str]) -> dict[str, str]:
    """Return the file of leases that the server of a network keeps, each of a MAC address and with its address."""
    entries = [
        {"ClientId": [1, *bytes.fromhex(mac.replace(":", ""))], "Address": [*map(int, address.split("."))]}
        for mac, address in leases
    ]
    return {"microvm0": json.dumps({"BootID": "0" * 32, "Leases": entries})}


POOLED = ("02:00:00:00:00:02", "10.66.1.100")
GIVEN = (LEASE["mac"], LEASE["address"])


@pytest.mark.parametrize(
    ("networks", "leases", "expected"),
    [
        ([SERVER], [GIVEN, POOLED], []),
        ([{**SERVER, "nat": False, "dhcp_server": {"pool_offset": 50}}, OTHER], [GIVEN], []),
        ([{**SERVER, "leases": [{**LEASE, "address": "10.66.1.21"}]}], [GIVEN, POOLED], ["microvm0"]),
        # No lease of it has been given yet.
        ([{**SERVER, "leases": [{**LEASE, "address": "10.66.1.21"}]}], [POOLED], []),
        ([{**SERVER, "leases": [LEASE, {"mac": "02:00:00:00:00:03", "address": "10.66.1.30"}]}], [GIVEN, POOLED], []),
        ([{**SERVER, "address": "10.66.7.1/24", "leases": []}], [GIVEN], ["microvm0"]),
        ([NAT], [GIVEN], ["microvm0"]),
        ([OTHER], [POOLED], ["microvm0"]),
    ],
)
def test_leases_are_forgotten_before_a_server_gives_others(
    networks: list[dict[str, Any]], leases: list[tuple[str, str]], expected: list[str]
) -> None:
    observed = replace(host_with([SERVER]).observed, kept_leases=kept(*leases))
    planned = plan(observed, parse_networks(networks))
    assert list(planned.targets(Action.FORGET_LEASES)) == expected
    order = [step.action for step in planned.steps]
    assert not expected or order.index(Action.FORGET_LEASES) < order.index(Action.RELOAD_NETWORKD)
    # Systemd before version 256 keeps none.
    assert plan(host_with([SERVER]).observed, parse_networks(networks)).targets(Action.FORGET_LEASES) == ()


def test_leases_are_forgotten_after_a_run_that_was_killed_if_they_are_former_ones() -> None:
    interrupted = replace(host_with([SERVER]).observed, interrupted=True)
    for leases, expected in (([GIVEN, POOLED], ()), ([(LEASE["mac"], "10.66.1.21")], ("microvm0",))):
        planned = plan(replace(interrupted, kept_leases=kept(*leases)), parse_networks([SERVER]))
        assert planned.targets(Action.FORGET_LEASES) == expected
        assert planned.targets(Action.RELOAD_NETWORKD) == (NETWORKD,)


def test_leases_that_are_not_understood_stay_and_are_named() -> None:
    observed = replace(host_with([SERVER]).observed, kept_leases={"microvm0": "[]"})
    changed = plan(observed, parse_networks([{**SERVER, "leases": [{**LEASE, "address": "10.66.1.21"}]}]))
    assert (changed.targets(Action.FORGET_LEASES), changed.unread_leases) == ((), ("microvm0",))
    assert plan(observed, parse_networks([SERVER])).unread_leases == ()
    # Nobody has an address of a network that goes.
    gone = plan(observed, parse_networks([]))
    assert (gone.targets(Action.FORGET_LEASES), gone.unread_leases) == (("microvm0",), ())


def test_a_network_is_not_renamed_while_microvms_run_on_it() -> None:
    host = host_with_port(BOUND)
    new = {**NAT, "name": "new0"}
    for guests, names in (({}, "mv-a"), ({"mv-a": TapGuest("web", "", ())}, "web")):
        with pytest.raises(DeclarationError, match=rf"'microvm0' under a new name.*run on it \({names}\)") as refusal:
            plan(replace(host.observed, tap_guests=guests), parse_networks([OTHER, new]), "n")
        assert refusal.value.path == "n[1].name"
    stopped = host_with([NAT])
    stopped.carry_out([new])
    assert stopped.is_as([new])


def test_a_bridge_with_microvms_on_it_stays() -> None:
    host = host_with([BRIDGE, OTHER])
    links = {**host.observed.links, "other": Link(True, ("10.66.2.1/24",), ("mv-web",))}
    planned = plan(replace(host.observed, links=links), parse_networks([BRIDGE]), "networks")
    assert planned.kept == {"other": ("mv-web",)}
    assert not planned.changed, "its files or its rules go before it"
    with pytest.raises(DeclarationError, match="overlaps with the subnet of network 'other'") as refusal:
        plan(
            replace(host.observed, links=links),
            parse_networks([{**OTHER, "name": "another", "address": "10.66.2.65/26"}]),
            "networks",
        )
    assert refusal.value.path == "networks[0].address"
    assert actions(host.observed, [BRIDGE])[0] == "delete bridge other"


def test_a_netmask_is_a_prefix_length() -> None:
    assert parse_networks([{**BRIDGE, "address": "10.66.1.1/255.255.255.0"}]) == parse_networks([BRIDGE])
