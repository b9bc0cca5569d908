# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reconciliation of networks: what check mode shows is what is done."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import NETWORK_WATCH_UNIT
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.sockets import (
    Connection,
    ListeningSocket,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import network_users, networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.network_warnings import network_warnings
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.executor import Handlers
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks import (
    observe_macvtaps,
    observe_names,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.handlers import NetworksJob
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.lan_plan import two_runs
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.plan import Action, plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.state import (
    LanInterface,
    Link,
    Observed,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

NAT = {"name": "microvm0", "address": "10.66.1.1/24", "nat": True}
OBSERVED = Observed(networkd=Unit("loaded"), links={"eth0": Link(False)})


class Workshop:
    """A host without networks; its handlers write down what they do."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.failing: Action | None = None

    def handlers(self) -> Handlers[NetworksJob, Action]:
        """The table."""
        return Handlers(Action, {action: self._handler(action) for action in Action})

    def _handler(self, action: Action) -> Any:
        def handle(_job: NetworksJob, target: str) -> None:
            if action is self.failing:
                raise HostError("networkd is broken")
            self.log.append(f"{action.words} {target}")

        return handle


@pytest.fixture
def workshop(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Workshop:
    """A fake host instead of this one."""

    @contextlib.contextmanager
    def locked(_names: Sequence[str]) -> Iterator[None]:
        fake.log.append("lock")
        yield

    fake = Workshop()
    up = {"microvm0": Link(True, ("10.66.1.1/24",))}
    monkeypatch.setattr(networks, "HANDLERS", fake.handlers())
    monkeypatch.setattr(networks, "observe", lambda _networks: OBSERVED)
    monkeypatch.setattr(networks, "observe_links", lambda: up)
    monkeypatch.setattr(networks, "locked", locked)
    monkeypatch.setattr(networks, "MARK", str(tmp_path / "mark"))
    monkeypatch.setattr(observe_names, "NAME_SERVER_PROGRAM", sys.executable)
    return fake


def test_a_run_does_the_steps_that_check_mode_shows(workshop: Workshop) -> None:
    shown = networks.reconcile_networks([NAT], check_mode=True)
    assert workshop.log == []
    assert networks.reconcile_networks([NAT], check_mode=False) == shown
    assert workshop.log == ["lock", *shown["actions"]]


def test_the_diff_has_files_and_the_other_steps(workshop: Workshop) -> None:
    *of_files, steps = networks.reconcile_networks([NAT], check_mode=True)["diff"]
    assert "/etc/systemd/network/50-microvm-microvm0.netdev" in [entry["after_header"] for entry in of_files]
    assert all(entry["before"] == "" and entry["after"] for entry in of_files)
    assert "systemctl start systemd-networkd.service\n" in steps["after"]
    assert workshop.log == []


def test_an_error_ends_the_run(workshop: Workshop) -> None:
    workshop.failing = Action.START_NETWORKD
    with pytest.raises(HostError, match="networkd is broken"):
        networks.reconcile_networks([NAT], check_mode=False)
    assert workshop.log[-1] == f"systemctl restart {NETWORK_WATCH_UNIT}"


@pytest.mark.parametrize("check_mode", [True, False])
def test_uplinks_that_the_host_does_not_have_are_a_warning(workshop: Workshop, check_mode: bool) -> None:
    result = networks.reconcile_networks([{**NAT, "uplinks": ["eth0", "wg7", "wg8"]}], check_mode)
    assert result["missing_uplinks"] == {"microvm0": ["wg7", "wg8"]}
    (warning,) = network_warnings(result)
    assert "no interface wg7, wg8, which network microvm0 names in uplinks" in warning


def test_a_network_that_gets_another_address_is_a_warning(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    files = plan(Observed(), parse_networks([NAT])).files
    link = Link(True, ("10.66.1.1/24",), ("mv-a",), taps=frozenset({"mv-a"}))
    observed = Observed(networkd=Unit("loaded"), files=files, links={"microvm0": link})
    monkeypatch.setattr(networks, "observe", lambda _networks: observed)
    result = networks.reconcile_networks([{**NAT, "address": "10.66.7.1/24"}], check_mode=True)
    (warning,) = network_warnings(result)
    assert "network microvm0 gets another address while MicroVMs run on it (mv-a)" in warning


def test_networks_as_declared_are_no_warning(workshop: Workshop) -> None:
    result = networks.reconcile_networks([{**NAT, "uplinks": ["eth0"]}], check_mode=True)
    assert result["missing_uplinks"] == {} and list(network_warnings(result)) == []
    assert result["link_rules"] == result["unread_leases"] == []
    said = {**result, "link_rules": ["name lan0 as well"], "unread_leases": ["not understood"]}
    assert list(network_warnings(cast(networks.NetworksResult, said))) == ["name lan0 as well", "not understood"]


def test_a_run_names_the_microvms_of_a_network_that_goes(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Observed(networkd=Unit("loaded"), files=plan(Observed(), parse_networks([NAT])).files)
    monkeypatch.setattr(networks, "observe", lambda _networks: before)
    vms = [{"name": "web", "interfaces": [{"id": "mv-web", "bridge": "microvm0"}]}]
    monkeypatch.setattr(network_users, "recorded_beside", lambda places, names: vms)
    outcome = networks.reconcile_networks([{**NAT, "name": "new0"}], check_mode=True)
    assert (outcome["former"], outcome["renamed"]) == ({"microvm0": ["web"]}, {"microvm0": "new0"})


def test_a_run_does_not_wait_for_a_link_that_has_gone(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    lan = {"name": "lan0", "link": "eth0"}
    spare = LanInterface("52:54:00:00:00:08")
    before = Observed(networkd=Unit("loaded"), links={"eth0": Link(False)}, lan_interfaces={"eth0": spare})
    files = plan(before, parse_networks([lan])).files
    gone = Observed(networkd=Unit("loaded", "active"), files=files, links={"lan0": Link(True)})
    monkeypatch.setattr(networks, "observe", lambda _networks: gone)
    monkeypatch.setattr(
        networks, "observe_links", lambda: {"lan0": Link(True), "microvm0": Link(True, ("10.66.1.1/24",))}
    )
    monkeypatch.setattr(networks, "WAIT_SECONDS", 0)
    outcome = networks.reconcile_networks([lan, NAT], check_mode=False)
    assert outcome["missing_links"] == {"lan0": "eth0"} and outcome["changed"]
    warning = next(network_warnings(outcome))
    assert "no interface eth0 any more, which is the link of network lan0" in warning
    assert two_runs("lan0") in warning
    # Their macvtaps have gone with it.
    assert "those of mode macvtap not before their MicroVMs are started again" in warning


NAMED = {**NAT, "dns_names": {}}


def test_a_run_waits_until_names_are_resolved(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def resolves(*question: object) -> bool:
        asked.append(question)
        return len(asked) > 1

    monkeypatch.setattr(networks, "resolves", resolves)
    networks.reconcile_networks([NAMED], check_mode=True)
    assert asked == []
    networks.reconcile_networks([NAMED], check_mode=False)
    assert asked == 2 * [("10.66.1.1", "host.microvm0.internal", "10.66.1.1", 1)]


def test_a_server_of_names_that_does_not_answer_is_an_error(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "resolves", lambda *_question: False)
    monkeypatch.setattr(networks, "WAIT_SECONDS", 0)
    monkeypatch.setattr(systemd, "explain", lambda unit, problem: HostError(f"{unit}: {problem}"))
    with pytest.raises(HostError, match=r"^microvm-fleet-names-microvm0\.service: names of guests are not resolved at"):
        networks.reconcile_networks([NAMED], check_mode=False)


def test_names_of_guests_are_refused_where_no_program_can_serve_them(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Check mode only warns, since role host may have installed it by then."""
    assert networks.reconcile_networks([NAMED], check_mode=True)["unserved"] == []
    monkeypatch.setattr(observe_names, "NAME_SERVER_PROGRAM", str(tmp_path / "dnsmasq"))
    shown = networks.reconcile_networks([NAT, {**NAMED, "name": "b0", "address": "10.66.2.1/24"}], check_mode=True)
    assert shown["unserved"] == ["b0"]
    (warning,) = network_warnings(shown)
    assert "a run refuses dns_names of network b0, unless role host" in warning and "install dnsmasq" in warning
    with pytest.raises(DeclarationError, match="install dnsmasq") as refusal:
        networks.reconcile_networks([NAT, {**NAMED, "name": "b0", "address": "10.66.2.1/24"}], check_mode=False)
    assert refusal.value.path == "networks[1].dns_names"
    assert workshop.log == ["lock"]


@pytest.mark.parametrize("check_mode", [True, False])
def test_guests_by_name_are_refused_where_no_microvms_are_known(workshop: Workshop, check_mode: bool) -> None:
    other = {"name": "b0", "address": "10.66.2.1/24", "nat": True}
    allowing = {**NAT, "allow": [{"from": "microvm:web", "ports": ["tcp/1"]}]}
    with pytest.raises(DeclarationError, match="with_guest_addresses"):
        networks.reconcile_networks([allowing, other], check_mode)
    assert workshop.log == []


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_forwarded_port_at_which_the_host_listens_is_refused_before_anything_changes(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, check_mode: bool
) -> None:
    monkeypatch.setattr(networks, "listening_sockets", lambda: [ListeningSocket("tcp", "0.0.0.0", 22)])
    monkeypatch.setattr(networks, "describe_owner", lambda _socket: "sshd (process 7 of ssh.service)")
    forward = {"host": {"port": 22}, "guest": {"address": "10.66.1.7"}}
    with pytest.raises(DeclarationError, match=r"sshd \(process 7 of ssh.service\) listens at tcp/22") as refusal:
        networks.reconcile_networks([{**NAT, "forward_ports": [forward]}], check_mode)
    assert refusal.value.path == "networks[0].forward_ports[0].host.port"
    assert workshop.log in ([], ["lock"])


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_forwarded_port_at_which_somebody_is_connected_is_refused_before_anything_changes(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, check_mode: bool
) -> None:
    monkeypatch.setattr(networks, "listening_sockets", list)
    monkeypatch.setattr(networks, "connections_to_host", lambda: [Connection("192.0.2.5", 22, "192.0.2.9", 50007, 5)])
    monkeypatch.setattr(networks, "describe_owner", lambda inode: f"sshd with socket {inode}")
    forward = {"host": {"port": 22}, "guest": {"address": "10.66.1.7"}}
    message = r"192\.0\.2\.9 is connected, from its port 50007, to tcp/22 .*sshd with socket 5"
    with pytest.raises(DeclarationError, match=message) as refusal:
        networks.reconcile_networks([{**NAT, "forward_ports": [forward]}], check_mode)
    assert refusal.value.path == "networks[0].forward_ports[0].host.port"
    assert workshop.log in ([], ["lock"])


def test_sockets_are_not_looked_at_without_new_forwarded_ports(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for function in ("listening_sockets", "connections_to_host"):
        monkeypatch.setattr(networks, function, lambda: pytest.fail("looked at"))
    networks.reconcile_networks([NAT], True)
    assert workshop.log == []


@pytest.mark.parametrize(
    ("has_nft", "works", "is_refused"), [(True, True, False), (True, False, True), (False, False, False)]
)
def test_a_host_that_cannot_filter_macvtaps_gets_no_network_of_them(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, has_nft: bool, works: bool, is_refused: bool
) -> None:
    def run(_argv: Sequence[str]) -> str:
        if not works:
            raise HostError("Operation not supported")
        return ""

    monkeypatch.setattr(observe_macvtaps, "run", run)
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/sbin/nft" if has_nft else None)
    monkeypatch.setattr(networks, "observe", lambda _networks: Observed(links={"eth0": Link(False)}))
    declared = [NAT, {"name": "wire0", "mode": "macvtap", "link": "eth0"}]
    if not is_refused:
        networks.reconcile_networks(declared, True)
        return
    with pytest.raises(DeclarationError, match=r"Linux 5\.16") as refusal:
        networks.reconcile_networks(declared, True)
    assert refusal.value.path == "networks[1].mode"
