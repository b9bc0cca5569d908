# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests are asked as the declaration of the package that they run says, which need not be the last one.

On a fake of ``host/``, whose guests answer at the address and the port that their packages' declarations had.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import BOOTED_LINK
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import known_hosts, readiness, systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.deadline import Deadline
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.readiness import Readiness
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.lifecycle import restart_vm, start_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.rollback import roll_back

from ..fake_host import FakeHost
from .test_one_road import Vm, run

OLD, NEW = "10.66.7.11", "10.66.7.12"
UNIT = "microvm@db.service"


def db(address: str = OLD, port: int = 22, **options: Any) -> Vm:
    """Return the declaration of a MicroVM with an address, of which nothing waits for longer than a second."""
    return {
        "name": "db",
        "kernel": "/k",
        "accel": "tcg",
        "interfaces": [{"bridge": "br0"}],
        "guest": {"enable": True, "networks": [{"addresses": [f"{address}/24"]}]},
        "ready": {"check": "tcp", "port": port, "timeout": 1},
        **options,
    }


class Guests:
    """Guests that answer where their packages say; a package that is not known here answers nowhere."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self.places: dict[str, tuple[str, int]] = {}
        self.asked: list[tuple[str | None, int]] = []

    def answer(self, ready: Readiness, _deadline: Deadline) -> str | None:
        """Stand for a look at a guest."""
        self.asked.append((ready.address, ready.port))
        package = os.path.basename(os.readlink(self._host.places.state("db", BOOTED_LINK)))
        return None if self.places.get(package) == (ready.address, ready.port) else "No route to host"

    def come_up(self, wanted: Vm) -> None:
        """Let the guest of a declaration answer where it says."""
        package = str(run(wanted, check=True)["vms"][0]["package"])
        self.places[package] = (wanted["guest"]["networks"][0]["addresses"][0][:-3], wanted["ready"]["port"])


@pytest.fixture
def guests(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> Guests:
    guests = Guests(host)
    monkeypatch.setattr(readiness, "check_readiness", guests.answer)
    monkeypatch.setattr(readiness, "POLL_SECONDS", 0.2)
    guests.come_up(db())
    (outcome,) = run(db())["vms"]
    assert not outcome["failed"]
    return guests


PENDING: dict[str, Vm] = {
    "an address": db(NEW, restart_policy="never"),
    "a port": db(port=2222, mem=700, restart_policy="never"),
    "an address outside of the window": db(
        NEW, restart_policy="window", restart_window="00:00-00:01", rollback_on_failure=True
    ),
    "a state that starts nothing": db(NEW, state="present"),
}


@pytest.mark.parametrize("change", PENDING.values(), ids=PENDING.keys())
def test_a_pending_change_is_not_asked_for(guests: Guests, change: Vm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.localtime", lambda: type("T", (), {"tm_hour": 12, "tm_min": 0}))
    for _time in range(2):
        guests.asked.clear()
        (outcome,) = run(change)["vms"]
        assert outcome["restart_pending"] and not outcome["failed"]
        assert change.get("state") == "present" or outcome["address"] == OLD
        assert guests.asked == ([] if change.get("state") else [(OLD, 22)])


def test_commands_ask_what_runs_and_what_they_start(guests: Guests, host: FakeHost) -> None:
    run(db(NEW, restart_policy="never"))
    guests.come_up(db(NEW))
    guests.asked.clear()
    start_vm("db", host.places)
    assert guests.asked == [(OLD, 22)]
    restart_vm("db", host.places)
    start_vm("db", host.places)
    roll_back("db", None, False, False, True, host.places)
    restart_vm("db", host.places)
    assert guests.asked == [(OLD, 22), (NEW, 22), (NEW, 22), (OLD, 22), (OLD, 22)]


@pytest.mark.parametrize("change", [db(NEW), db(port=2222, mem=700)], ids=["address", "port"])
def test_an_automatic_rollback_asks_the_package_before_as_it_was_declared(
    guests: Guests, host: FakeHost, change: Vm
) -> None:
    new = {**change, "rollback_on_failure": True}
    (outcome,) = run(new)["vms"]
    assert outcome["failed"] and outcome["rolled_back"] and "the previous package is running again" in outcome["msg"]
    assert host.units[UNIT].running
    guests.asked.clear()
    restart_vm("db", host.places)
    (again,) = run(new)["vms"]
    assert again["refused_package"] and "not up" not in again["msg"]
    assert set(guests.asked) == {(OLD, 22)}


def test_a_refused_package_is_not_asked_for_when_the_package_before_is_started(guests: Guests, host: FakeHost) -> None:
    new = db(NEW, rollback_on_failure=True)
    run(new)
    systemd.stop([UNIT])
    guests.asked.clear()
    (outcome,) = run(new)["vms"]
    assert host.units[UNIT].running and "not up" not in outcome["msg"]
    assert guests.asked == [(OLD, 22)]


def test_another_ready_of_the_same_package_is_asked_for(guests: Guests, host: FakeHost) -> None:
    change = db(port=2222)
    guests.come_up(change)
    (outcome,) = run(change)["vms"]
    assert not outcome["failed"] and outcome["actions"] == ["record db"]
    guests.asked.clear()
    restart_vm("db", host.places)
    assert guests.asked == [(OLD, 2222)]


def test_the_record_of_an_earlier_version_says_it_of_all_its_generations(guests: Guests, host: FakeHost) -> None:
    file = Path(host.places.records.directory) / "db.json"
    values = json.loads(file.read_text())
    for generation in values["generations"]:
        del generation["ready"]
    values["generations"].append({"number": 9, "package": "/nix/store/x", "external": True})
    file.write_text(json.dumps(values))
    record = host.places.records.read("db")
    assert record is not None and [generation.ready for generation in record.generations] == [record.ready, None]
    assert record.ready is not None and record.ready_of("/nix/store/x") == record.ready
    run(db(NEW, restart_policy="never"))
    guests.asked.clear()
    start_vm("db", host.places)
    assert guests.asked == [(OLD, 22)]


def fail_helper(host: FakeHost) -> None:
    """Let a helper unit fail: what depends on it is inactive."""
    systemd.stop([UNIT])
    host.units["microvm-tap-interfaces@db.service"] = systemd.Unit(active_state="failed")


ENDS: dict[str, tuple[Callable[[FakeHost], object], bool]] = {
    "failed": (lambda host: None, True),
    "a helper has failed": (fail_helper, True),
    "stopped": (lambda host: systemd.stop([UNIT]), False),
}


@pytest.mark.parametrize(("end", "is_started"), ENDS.values(), ids=ENDS.keys())
def test_a_rollback_starts_what_has_failed_and_not_what_was_stopped(
    guests: Guests, host: FakeHost, end: Callable[[FakeHost], object], is_started: bool
) -> None:
    change = db(mem=700)
    host.failing_packages = {str(run(change, check=True)["vms"][0]["package"])}
    assert run(change)["vms"][0]["failed"] and not host.units[UNIT].running
    end(host)
    shown = roll_back("db", None, False, True, True, host.places)
    plan = roll_back("db", None, False, False, True, host.places)
    assert shown.steps == plan.steps
    assert host.units[UNIT].running == is_started == any("systemctl start" in str(step) for step in plan.steps)


def test_a_rollback_whose_package_does_not_come_up_either_is_an_error(guests: Guests, host: FakeHost) -> None:
    change = db(mem=700)
    host.failing_packages = {str(run(wanted, check=True)["vms"][0]["package"]) for wanted in (db(), change)}
    run(change)
    with pytest.raises(HostError, match="does not come up"):
        roll_back("db", None, False, False, True, host.places)


REMOVALS: dict[str, tuple[str, bool, bool]] = {
    "a root that stays": ("keep", True, False),
    "a root that is archived": ("archive", True, True),
    "a guest without volumes": ("keep", False, True),
}
"""What happens to volumes, whether there is one, and whether the host key is forgotten."""


@pytest.mark.parametrize(("volumes", "has_volume", "is_forgotten"), REMOVALS.values(), ids=REMOVALS.keys())
def test_a_removal_forgets_the_host_key_of_a_guest_that_loses_it(
    guests: Guests,
    host: FakeHost,
    monkeypatch: pytest.MonkeyPatch,
    volumes: str,
    has_volume: bool,
    is_forgotten: bool,
) -> None:
    file = host.root / "known_hosts"
    file.write_text("db ssh-ed25519 AAAA\nweb ssh-ed25519 BBBB\n")
    monkeypatch.setattr(known_hosts, "KNOWN_HOSTS", str(file))
    image = {"image": "root.img", "size": 64, "mount_point": "/"}
    wanted = db(volumes=[image] if has_volume else [])
    guests.come_up(wanted)
    run(wanted)
    if has_volume:
        Path(host.places.work("db", "root.img")).write_bytes(b"root")
    removed = db(state="absent", on_absent={"volumes": volumes})
    shown = run(removed, check=True)["vms"][0]["actions"]
    assert run(removed)["vms"][0]["actions"] == shown
    assert ("forget the known host db" in shown) == is_forgotten == ("db" not in file.read_text())
    assert "web" in file.read_text() and not run(removed)["changed"]
