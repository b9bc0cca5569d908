# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of guests: what is refused, what is written, and which steps bring a host there."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import (
    GUEST_NAMES_DIRECTORY,
    NETWORK_LIST,
    NETWORK_UNIT,
    names_unit,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.configuration import (
    NETWORKD_DIRECTORY,
    RULES,
    configuration,
    is_ours,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.guest_names import (
    names_settings_path,
    names_unit_path,
    network_of_settings,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.plan import Action, plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.rules import rules_digest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.running_names import (
    names_of,
    parse_tap_guests,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.state import (
    Link,
    Observed,
    TapGuest,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts import sources
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

RUNNING = Unit("loaded", "active", "running", "enabled")
MAC = "02:00:00:00:00:0a"
PLAIN: dict[str, Any] = {"name": "microvm0", "address": "10.66.1.1/24"}
CLOSED: dict[str, Any] = {**PLAIN, "dns_names": {}}
NAT: dict[str, Any] = {**CLOSED, "nat": True}
SERVER: dict[str, Any] = {**NAT, "dhcp_server": {}, "leases": [{"mac": MAC, "address": "10.66.1.20"}]}
IPV6: dict[str, Any] = {**CLOSED, "ipv6": {"address": "fd00:66:1::1/64"}}
OTHER: dict[str, Any] = {"name": "other", "address": "10.66.2.1/24", "dns_names": {"domain": "Other.Example"}}
ROUTED: dict[str, Any] = {"name": "route0", "address": "10.66.5.1/24", "mode": "routed", "dns_names": {}}
HOST: dict[str, Any] = {**NAT, "dns_names": {"host": True}}
PROXY = "127.0.0.54"


@pytest.mark.parametrize(
    ("networks", "path"),
    [
        ([{**CLOSED, "name": "a_b"}], "n[0].dns_names.domain"),
        ([{**CLOSED, "dns_names": {"domain": "a b"}}], "n[0].dns_names.domain"),
        ([{**CLOSED, "dns_names": {"domain": "x/\nserver=1.2.3.4"}}], "n[0].dns_names.domain"),
        ([{**CLOSED, "dns_names": {"domain": "guests.local"}}], "n[0].dns_names.domain"),
        ([{**CLOSED, "dns_names": {"domain": "LOCALHOST"}}], "n[0].dns_names.domain"),
        ([{**CLOSED, "dns_names": {"domain": "66.10.in-addr.arpa"}}], "n[0].dns_names.domain"),
        ([{**CLOSED, "dns_names": {"servers": ["9.9.9.9", "dns.example"]}}], "n[0].dns_names.servers[1]"),
        ([{**CLOSED, "dns_names": {"servers": ["fe80::1%eth0"]}}], "n[0].dns_names.servers[0]"),
        ([{**CLOSED, "host_access": "none"}], "n[0].dns_names"),
        ([{**SERVER, "dhcp_server": {"dns": ["9.9.9.9"]}}], "n[0].dhcp_server.dns"),
        ([{**IPV6, "ipv6": {**IPV6["ipv6"], "dns": ["fd00::53"]}}], "n[0].ipv6.dns"),
        ([OTHER, {**CLOSED, "dns_names": {"domain": "other.example"}}], "n[1].dns_names.domain"),
    ],
)
def test_names_that_guests_could_not_use_are_refused(networks: list[dict[str, Any]], path: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse_networks(networks, "n")
    assert refusal.value.path == path


def settings(*networks: dict[str, Any], resolver: Optional[str] = None) -> list[str]:
    """Return the lines of the settings of the first network's server."""
    files = configuration(parse_networks(networks), ["eth0"], resolver=resolver)
    return files[names_settings_path(networks[0]["name"])].splitlines()


def test_a_network_without_names_has_nothing_of_them() -> None:
    texts = configuration(parse_networks([{**PLAIN, "nat": True}]), resolver=PROXY)
    assert not [path for path in texts if "names" in path and path != NETWORK_LIST]
    assert "names" not in texts[NETWORK_LIST]


@pytest.mark.parametrize(
    ("network", "resolver", "asked"),
    [
        (CLOSED, PROXY, ["no-resolv"]),
        (CLOSED, None, ["no-resolv"]),
        (NAT, PROXY, ["no-resolv", f"server={PROXY}"]),
        (NAT, None, []),
        ({**IPV6, "ipv6": {**IPV6["ipv6"], "outside": "nat"}}, None, []),
        (
            {**NAT, "dns_names": {"servers": ["9.9.9.9", "2620:fe::9"]}},
            PROXY,
            ["no-resolv", "server=9.9.9.9", "server=2620:fe::9"],
        ),
        ({**CLOSED, "dns_names": {"servers": ["9.9.9.9"]}}, None, ["no-resolv", "server=9.9.9.9"]),
    ],
)
def test_names_of_others_are_asked_of_the_hosts_servers_or_of_the_declared_ones(
    network: dict[str, Any], resolver: Optional[str], asked: list[str]
) -> None:
    lines = settings(network, resolver=resolver)
    assert [line for line in lines if line.startswith(("no-resolv", "server=", "resolv-file"))] == asked


def test_a_server_listens_on_its_network_alone_and_asks_nobody_for_names_of_others() -> None:
    lines = settings(IPV6, OTHER, PLAIN | {"name": "third", "address": "10.66.3.1/24"})
    assert {"interface=microvm0", "except-interface=lo", "bind-dynamic", "no-hosts", "domain-needed"} <= set(lines)
    assert {"local=/microvm0.internal/", "local=/other.example/", "domain=microvm0.internal"} <= set(lines)
    assert f"hostsdir={GUEST_NAMES_DIRECTORY}/microvm0" in lines
    assert "host-record=host.microvm0.internal,host,10.66.1.1,fd00:66:1::1" in lines


def test_rules_keep_others_from_the_server_of_a_routed_network() -> None:
    lines = settings(ROUTED)
    assert "listen-address=10.66.5.1" in lines
    assert not [line for line in lines if "interface=" in line]
    guard = 'iifname != { "lo", "route0" } iifname != @routed ip daddr 10.66.5.1 meta l4proto { tcp, udp } th dport 53'
    rules = configuration(parse_networks([PLAIN, ROUTED]))[RULES].split("chain input")[1].splitlines()
    assert guard in rules[2]


@pytest.mark.parametrize(
    ("network", "lines"),
    [
        (SERVER, ["DNS=10.66.1.1", "SendOption=15:string:microvm0.internal"]),
        (IPV6, ["DNS=fd00:66:1::1", "Domains=microvm0.internal"]),
        (HOST, ["DNS=10.66.1.1", "Domains=~microvm0.internal", "DNSDefaultRoute=no"]),
        (NAT, []),
    ],
)
def test_what_is_announced_and_what_the_host_uses(network: dict[str, Any], lines: list[str]) -> None:
    file = configuration(parse_networks([network]))[f"{NETWORKD_DIRECTORY}/50-microvm-microvm0.network"]
    keys = ("DNS=", "SendOption=", "Domains=", "EmitDNS=", "EmitDomains=", "DNSDefaultRoute=")
    assert [line for line in file.splitlines() if line.startswith(keys)] == lines


def converged(*raw: dict[str, Any], **changes: Any) -> Observed:
    """Return the state of a host on which all is as declared."""
    networks = parse_networks(raw)
    resolver = changes.get("resolver")
    files = configuration(networks, ["eth0"], resolver=resolver)
    named = [network for network in map(network_of_settings, files) if network is not None]
    return replace(
        Observed(
            files=files,
            links={
                "eth0": Link(False),
                **{network["name"]: Link(True, (network["address"],)) for network in raw},
                "tap-a": Link(False),
            },
            uplinks=("eth0",),
            rules=rules_digest(files[RULES]),
            names_units=dict.fromkeys(named, RUNNING),
            networkd=RUNNING,
            unit=RUNNING,
            watch=RUNNING,
            docker_unit=RUNNING,
        ),
        **changes,
    )


def steps(observed: Observed, *networks: dict[str, Any]) -> list[str]:
    """Return the steps of a plan."""
    return [str(step) for step in plan(observed, parse_networks(networks)).steps]


def test_a_second_run_changes_nothing() -> None:
    assert steps(converged(NAT, OTHER), NAT, OTHER) == []


def test_a_network_gets_names_and_loses_them() -> None:
    unit, path = names_unit("microvm0"), names_settings_path("microvm0")
    gets = steps(converged({**PLAIN, "nat": True}), NAT)
    assert [step for step in gets if "names" in step] == [
        f"write {path}",
        f"write {names_unit_path('microvm0')}",
        f"systemctl enable {unit}",
        f"start with its settings {unit}",
    ]
    assert f"systemctl daemon-reload for {NETWORK_UNIT}" in gets
    loses = steps(converged(NAT, guest_names={"microvm0/tap-a": "10.66.1.7 web\n"}), {**PLAIN, "nat": True})
    assert loses[0] == f"stop and disable {unit}"
    assert {
        f"remove {path}",
        f"remove {names_unit_path('microvm0')}",
        f"systemctl daemon-reload for {NETWORK_UNIT}",
    } <= set(loses)
    assert not [step for step in loses if "tap-a" in step], "the directory goes with its server"
    all_go = steps(converged(NAT))
    assert all_go.index(f"stop and disable {unit}") < all_go.index(f"systemctl disable --now {NETWORK_UNIT}")


def test_settings_of_one_server_restart_no_other() -> None:
    other = {**OTHER, "nat": True, "dns_names": {**OTHER["dns_names"], "servers": ["9.9.9.9"]}}
    served = [step for step in steps(converged(NAT, {**OTHER, "nat": True}), NAT, other) if "start with" in step]
    assert served == [f"start with its settings {names_unit('other')}"]


@pytest.mark.parametrize(
    ("unit", "step"),
    [
        (Unit("loaded", "failed", "failed", "enabled"), "start with its settings {}"),
        (Unit("loaded", "activating", "auto-restart", "enabled"), "start with its settings {}"),
        (replace(RUNNING, unit_file_state="disabled"), "systemctl enable {}"),
        (replace(RUNNING, stale=True), f"systemctl daemon-reload for {NETWORK_UNIT}"),
    ],
)
def test_what_is_wrong_with_a_server_is_mended(unit: Unit, step: str) -> None:
    assert steps(converged(NAT, names_units={"microvm0": unit}), NAT) == [step.format(names_unit("microvm0"))]


def test_a_killed_run_is_completed() -> None:
    assert f"start with its settings {names_unit('microvm0')}" in steps(converged(NAT, interrupted=True), NAT)


def test_the_host_resolves_names_only_where_systemd_resolved_serves_it() -> None:
    assert steps(converged(HOST, resolver=PROXY), HOST) == []
    with pytest.raises(DeclarationError) as refusal:
        steps(converged(HOST), HOST)
    assert refusal.value.path == "networks[0].dns_names.host"


GUEST = TapGuest("web", MAC, ("10.66.1.7",))
PORTS = {"microvm0": Link(True, ("10.66.1.1/24",), ("tap-a",)), "tap-a": Link(False), "eth0": Link(False)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"guest_names": {"microvm0/tap-a": "10.66.1.7 web\n"}}, []),
        ({}, ["write the names of the guest microvm0/tap-a"]),
        ({"guest_names": {"microvm0/tap-a": "10.66.1.8 web\n"}}, ["write the names of the guest microvm0/tap-a"]),
        (
            {"guest_names": {"microvm0/tap-a": "10.66.1.7 web\n", "microvm0/tap-z": "10.66.1.9 db\n"}},
            ["delete the names of the former guest microvm0/tap-z"],
        ),
        (
            {"guest_names": {"microvm0/tap-a": "10.66.1.7 web\n"}, "tap_guests": {}},
            ["delete the names of the former guest microvm0/tap-a"],
        ),
        ({"guest_names": {"microvm0/tap-a": "10.66.1.7 web\n"}, "resolver": PROXY}, []),
    ],
)
def test_names_of_guests_that_run_are_those_of_their_packages(changes: dict[str, Any], expected: list[str]) -> None:
    state = {"links": PORTS, "tap_guests": {"tap-a": GUEST}, **changes}
    rules = {"tap_rules": {"tap-a": "x"}, "loaded_taps": frozenset({"tap-a"})}
    assert steps(converged(CLOSED, **state, **rules), CLOSED) == expected


def test_a_tap_of_a_routed_network_is_known_by_its_addresses() -> None:
    rules = 'add element inet microvm_fleet routed_addresses { "tap-a" . 10.66.5.7 }\n'
    guest = TapGuest("api", MAC, ("10.66.5.7",))
    observed = converged(ROUTED, tap_rules={"tap-a": rules}, tap_guests={"tap-a": guest})
    planned = plan(observed, parse_networks([ROUTED]))
    assert planned.targets(Action.NAME_GUEST) == ("route0/tap-a",)
    assert planned.names == {"route0/tap-a": "10.66.5.7 api\n"}


def test_the_list_of_a_package_may_say_anything() -> None:
    text = f"tap-a {MAC} 10.66.1.7 dhcp\n\ntap-b\ntap-c * x\n"
    assert parse_tap_guests("web", text) == {
        "tap-a": TapGuest("web", MAC, ("10.66.1.7", "dhcp")),
        "tap-b": TapGuest("web", "", ()),
        "tap-c": TapGuest("web", "*", ("x",)),
    }


@pytest.mark.parametrize(
    ("microvm", "mac", "addresses", "lines"),
    [
        ("web", MAC, "10.66.1.7", ["10.66.1.7 web"]),
        ("Web-1", MAC, "10.66.1.7 fd00:66:1::7", ["10.66.1.7 Web-1", "fd00:66:1::7 Web-1"]),
        ("web", MAC.upper(), "dhcp", ["10.66.1.20 web"]),
        ("web", "02:00:00:00:00:0b", "dhcp", []),
        ("web", MAC, "10.66.1.7 dhcp", ["10.66.1.7 web", "10.66.1.20 web"]),
        ("web", MAC, "10.66.2.7 10.66.1.07 10.66.1.256 2001:db8::7 fd00:66:2::7 fe80::1", []),
        ("web", MAC, "fd00:0066:0001::7 FD00:66:1::8", ["fd00:0066:0001::7 web", "FD00:66:1::8 web"]),
        ("web", MAC, "$(id) ; 10.66.1.7/24 1 x:y", []),
        ("web", "*", "10.66.1.7", ["10.66.1.7 web"]),
        ("host", MAC, "10.66.1.7", []),
        ("HOST", MAC, "10.66.1.7", []),
        ("localhost", MAC, "10.66.1.7", []),
        ("x_y", MAC, "10.66.1.7", []),
        ("x.y", MAC, "10.66.1.7", []),
        ("x-", MAC, "10.66.1.7", []),
    ],
)
def test_the_script_of_the_units_and_a_run_give_a_guest_the_same_names(
    microvm: str, mac: str, addresses: str, lines: list[str], tmp_path: Path
) -> None:
    network = parse_networks([{**SERVER, "ipv6": {"address": "fd00:66:1::1/64"}}])[0]
    text = names_of(network, TapGuest(microvm, mac, tuple(addresses.split())))
    assert text.splitlines() == lines
    (tmp_path / "list").write_text(configuration([network])[NETWORK_LIST])
    given = f"network_list={tmp_path}/list tap_rules={tmp_path} network_settings=x network_unit=x\n"
    functions = sources.BIND_TAPS + sources.ROUTE_TAP + sources.NAME_GUEST
    call = 'readlink() { echo ../microvm0; }; name_guest "$1" tap-a "${@:2}"\n'
    script = f"set -euo pipefail\n{given}{functions}{call}"
    command = ["bash", "-c", script, "-", microvm, mac, *addresses.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    file = tmp_path / "names" / "microvm0" / "tap-a"
    assert (file.read_text() if file.exists() else "") == text


def test_all_files_are_ours() -> None:
    texts = configuration(parse_networks([NAT, OTHER, ROUTED]))
    assert all(map(is_ours, texts))
