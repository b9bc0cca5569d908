# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks: what is refused, what is written, and that every interrupted run is completed by the next one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import NETWORK_UNIT
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.configuration import (
    NETWORKD_DIRECTORY,
    RULES,
    SYSCTLS,
    UNIT,
    bridge_of,
    configuration,
    is_ours,
    rules_digest,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.observe import (
    forwarding_tables,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.plan import Action, plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.state import (
    NETWORKD,
    Link,
    Observed,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

RUNNING = Unit("loaded", "active", "running", "enabled")
BRIDGE: dict[str, Any] = {"name": "microvm0", "address": "10.66.1.1/24"}
NAT: dict[str, Any] = {**BRIDGE, "nat": True}
LEASE = {"mac": "02:00:00:00:00:01", "address": "10.66.1.20"}
SERVER: dict[str, Any] = {**NAT, "dhcp_server": {"pool_offset": 100, "dns": ["9.9.9.9"]}, "leases": [LEASE]}
OTHER: dict[str, Any] = {"name": "other", "address": "10.66.2.1/24"}
FRESH = Observed(networkd=Unit("loaded", "inactive", "dead", "disabled"), unit=Unit())


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
    files = configuration(parse_networks([SERVER]))
    assert all(is_ours(path) for path in files)
    network = files[f"{NETWORKD_DIRECTORY}/50-microvm-microvm0.network"].splitlines()
    assert {"Address=10.66.1.1/24", "DHCPServer=yes", "PoolOffset=100", "DNS=9.9.9.9"} <= set(network)
    assert network.index("MACAddress=02:00:00:00:00:01") == network.index("[DHCPServerStaticLease]") + 1
    assert 'ip saddr 10.66.1.0/24 oifname != "microvm0" masquerade' in files[RULES]
    assert 'iifname "microvm0" ip saddr != 10.66.1.0/24 drop' in files[RULES]


def test_without_nat_nothing_goes_in_or_out() -> None:
    files = configuration(parse_networks([BRIDGE]))
    assert {bridge_of(path) for path in files} == {None, "microvm0"}
    assert SYSCTLS not in files
    assert "masquerade" not in files[RULES]
    assert 'iifname "microvm0" oifname != "microvm0" drop' in files[RULES]
    assert 'oifname "microvm0" iifname != "microvm0" drop' in files[RULES]
    assert "DHCPServer=no" in files[f"{NETWORKD_DIRECTORY}/50-microvm-microvm0.network"]


def test_rules_are_compared_by_the_output_of_nft() -> None:
    one, two = (
        configuration(parse_networks(list(networks)))[RULES] for networks in ([NAT], [NAT, {**OTHER, "nat": True}])
    )
    assert rules_digest(one) != rules_digest(two)
    printed = f'table ip microvm_fleet {{\n\tcomment "{rules_digest(one)}"\n\tchain forward {{\n'
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
        elif action is Action.LOAD_RULES:
            assert UNIT in self.read, "a unit that systemd has not read is started"
            change.update(rules=rules_digest(files[RULES]), unit=replace(self.observed.unit, active_state="active"))
        elif action is Action.UNLOAD_RULES:
            change.update(rules=None, unit=Unit())
        elif action in (Action.FORWARD, Action.STOP_FORWARDING):
            change["forwarding"] = action is Action.FORWARD
        elif action in (Action.RECORD_FORWARDING, Action.FORGET_FORWARDING):
            change["switched_on"] = action is Action.RECORD_FORWARDING
        self.observed = replace(self.observed, files=files, links=links, **change)

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
        files = configuration(declared)
        seen = {path: text for path, text in self.read.items() if path.startswith((NETWORKD_DIRECTORY, UNIT))}
        return (
            self.observed.files == files
            and seen == {path: text for path, text in files.items() if path.startswith((NETWORKD_DIRECTORY, UNIT))}
            and {name: link.addresses for name, link in self.observed.links.items()}
            == {network["name"]: (network["address"],) for network in declared}
            and self.observed.rules == (rules_digest(files[RULES]) if RULES in files else None)
            and self.observed.forwarding == self.observed.switched_on == (SYSCTLS in files)
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
        ({"links": {}}, "reload configuration of systemd-networkd.service"),
        ({"links": {"microvm0": Link(True)}}, "configure bridge microvm0"),
        ({"rules": None}, f"load nftables rules of {NETWORK_UNIT}"),
        ({"forwarding": False}, "apply /etc/sysctl.d/50-microvm-fleet.conf"),
    ],
)
def test_manual_removals_are_repaired(damage: dict[str, Any], step: str) -> None:
    assert actions(replace(host_with([NAT]).observed, **damage), [NAT]) == [step]


@pytest.mark.parametrize(
    ("before", "after", "is_on", "reason"),
    [
        ({}, {}, False, ""),
        ({"forwarding": True}, {}, True, ""),
        ({}, {"other_forwarding": "docker"}, True, "docker"),
        ({}, {"forwarding": False, "other_forwarding": "docker"}, False, ""),
    ],
    ids=["ours", "on before", "needed by others", "switched off by hand"],
)
def test_forwarding_ends_with_the_last_network_that_needs_it_unless_others_do(
    before: dict[str, Any], after: dict[str, Any], is_on: bool, reason: str
) -> None:
    host = Host(replace(FRESH, **before))
    host.carry_out([NAT, OTHER])
    host.observed = replace(host.observed, **after)
    assert plan(host.observed, parse_networks([]), "networks").still_forwarding == reason
    host.carry_out([OTHER])
    assert host.observed.forwarding is is_on
    assert not host.observed.switched_on
    assert not host.carry_out([OTHER])


def test_rules_of_others_for_forwarded_packets_are_seen() -> None:
    chain = "\tchain x {\n\t\ttype filter hook %s priority filter; policy accept;\n\t}\n}\n"
    tables = {"ip microvm_fleet": "forward", "inet filter": "input", "ip nat": "postrouting", "inet fw": "forward"}
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


def test_a_bridge_with_microvms_on_it_stays() -> None:
    host = host_with([BRIDGE, OTHER])
    links = {**host.observed.links, "other": Link(True, ("10.66.2.1/24",), ("mv-web",))}
    planned = plan(replace(host.observed, links=links), parse_networks([BRIDGE]), "networks")
    assert planned.kept == {"other": ("mv-web",)}
    assert not planned.changed, "its files or its rules go before it"
    with pytest.raises(DeclarationError, match="overlaps with the subnet of network 'other'") as refusal:
        plan(replace(host.observed, links=links), parse_networks([{**OTHER, "name": "another"}]), "networks")
    assert refusal.value.path == "networks[0].address"
    assert actions(host.observed, [BRIDGE])[0] == "delete bridge other"


def test_a_netmask_is_a_prefix_length() -> None:
    assert parse_networks([{**BRIDGE, "address": "10.66.1.1/255.255.255.0"}]) == parse_networks([BRIDGE])
