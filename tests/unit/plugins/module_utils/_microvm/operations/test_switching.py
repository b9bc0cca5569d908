# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Switches of running guests, on a fake of ``host/``: its ``ssh`` runs commands here, as if this were the guest."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.commands import install
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.commands import rebuild as rebuild_command
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.commands.switch import print_switch
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.main import main
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import flakes, known_hosts, nix, readiness
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import guest_login, switching
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.info import inform
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.lifecycle import is_current, restart_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request, reconcile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.report import VmResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms import switches
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.actions import Action
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.observe import observe_name
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.observe_guests import (
    recorded_readiness,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.plan_lifecycle import plan_start
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.plan_rollback import plan_rollback
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import (
    Installed,
    Origin,
    Wanted,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.package import Package
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..examples import parse
from ..fake_host import FakeHost

SSH = """\
#!/bin/sh
# The last word is the command. Options by which any guest could answer are errors.
case "$*" in
*StrictHostKeyChecking=yes*BatchMode=yes*"-l root -- 192.0.2.1 "*) ;;
*) echo "wrong: $*" >&2; exit 255 ;;
esac
[ ! -e {root}/unreachable ] || { echo 'connection refused' >&2; exit 255; }
for command; do :; done
PATH={root}/bin:/usr/bin:/bin exec sh -c "$command"
"""
ACTIVATION = """\
#!/bin/sh
echo "{system} $1" >>{root}/activated
echo "activating {system}"
[ ! -e {root}/failing ] || {{ echo 'a unit has failed' >&2; exit 4; }}
"""
TOOLS = {
    "nix-store": '#!/bin/sh\n[ "$1" = --load-db ] && cat >>{root}/loaded\n',
    "nix-env": '#!/bin/sh\necho "$*" >>{root}/profile\n',
    # The machine that runs the tests may have a systemd of its own.
    "systemd-run": '#!/bin/sh\nwhile [ "${1#--}" != "$1" ]; do shift; done\nexec "$@"\n',
}


class Guest:
    """Guest that is this machine, its host's store, and packages with systems in there."""

    def __init__(self, host: FakeHost) -> None:
        self.host, self.root, self.store = host, host.root, host.root / "store"

    def package(self, number: int, memory: int = 512, shares: bool = True, host_name: str = "") -> str:
        """Write the package of a system, both by number. Returns its directory."""
        system, directory = self.store / f"h{number}-system-{number}", self.root / "made" / "web"
        shutil.rmtree(directory, ignore_errors=True)
        (system / "bin").mkdir(parents=True, exist_ok=True)
        (system / "etc").mkdir(exist_ok=True)
        (system / "etc/hostname").write_text(f"{host_name or own_name()}\n")
        self.script(system / "bin/switch-to-configuration", ACTIVATION.format(system=number, root=self.root))
        # As with microvm.nix, another system makes it another script in the store.
        script = self.store / f"h{number}{memory}-microvm-run"
        registration = f"{self.store}/h{number}-closure-info/registration"
        self.script(script, f"#!/bin/sh\n# {memory} init={system}/init regInfo={registration}\n")
        (directory / "bin").mkdir(parents=True)
        (directory / "bin/microvm-run").symlink_to(script)
        (directory / "share/microvm/virtiofs/store").mkdir(parents=True)
        source = self.store if shares else "/srv"
        (directory / "share/microvm/virtiofs/store/source").write_text(f"{source}\n")
        (directory / "share/microvm/system").symlink_to(system)
        return str(directory)

    @staticmethod
    def script(path: Path, text: str) -> None:
        """Write a program."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def read(self, name: str) -> list[str]:
        """Return the lines of what a program has written."""
        file = self.root / name
        return file.read_text().splitlines() if file.exists() else []


def own_name() -> str:
    """Return the host name as the guest says it."""
    file = Path("/etc/hostname")
    return file.read_text().strip() if file.exists() else platform.node()


@pytest.fixture
def guest(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guest]:
    """Guest whose host key is known to its host."""
    before = os.umask(0o022)
    guest = Guest(host)
    for name, text in TOOLS.items():
        guest.script(host.root / "bin" / name, text.replace("{root}", str(host.root)))
    guest.script(host.root / "host-bin/ssh", SSH.replace("{root}", str(host.root)))
    dump = '#!/bin/sh\n[ "$1" = --dump-db ] && shift && echo "registration of $*" || echo "$3"\n'
    guest.script(host.root / "host-bin/nix-store", dump)
    (host.root / "known_hosts").write_text("web ssh-ed25519 AAAA\n")
    monkeypatch.setenv("PATH", f"{host.root}/host-bin:{os.environ['PATH']}")
    monkeypatch.setattr(nix, "store_program", lambda: str(host.root / "host-bin/nix-store"))
    for name in ("_SOURCE", "_REGISTRATION"):
        pattern = getattr(switches, name).pattern.replace("/nix/store", str(guest.store))
        monkeypatch.setattr(switches, name, re.compile(pattern))
    for module in (switches, switching):
        monkeypatch.setattr(module, "NIX_STORE", str(guest.store))
    monkeypatch.setattr(switching, "locked", lambda _names: contextlib.nullcontext())
    yield guest
    os.umask(before)


def run(runner: str, check: bool = False, **options: Any) -> tuple[VmResult, list[str]]:
    """Declare the MicroVM; return its result, and the warnings."""
    ready = {"check": "none", "address": "192.0.2.1"}
    vm = {"name": "web", "runner": runner, "ready": ready, "ssh_switch": "switch", **options}
    outcome = reconcile(Request(vms=[vm], check_mode=check, state_dir="/unused"))
    return outcome["vms"][0], outcome["warnings"]


def test_a_running_guest_is_switched_to_a_changed_package_once(guest: Guest) -> None:
    booted, _warnings = run(guest.package(1))
    two = guest.package(2)
    shown, warnings = run(two, check=True)
    assert (shown["consequence"], shown["restart_pending"], warnings) == ("switch", False, [])
    assert guest.read("activated") == []
    result, _warnings = run(two)
    assert result["actions"] == shown["actions"] and not result["failed"], result["msg"]
    assert f"switch the running guest to {guest.store}/h2-system-2" in result["actions"]
    assert (result["consequence"], result["restart_pending"]) == ("switch", False)
    assert "activating 2" in result["switch_output"]
    system = f"{guest.store}/h2-system-2"
    assert guest.read("activated") == ["2 switch"]
    assert guest.read("loaded") == [f"registration of {system}"]
    assert guest.read("profile") == [f"--profile /nix/var/nix/profiles/system --set {system}"]
    info = inform(guest.host.places)[0]
    assert (info["booted"], info["current"], info["switched"]) == (
        booted["package"],
        result["package"],
        info["current"],
    )
    assert (info["restart_pending"], info["condition"]) == (False, "ok")
    again, warnings = run(two)
    assert (again["changed"], warnings, guest.read("activated")) == (False, [], ["2 switch"])


def test_a_guest_is_switched_back_to_the_package_that_it_was_booted_from(guest: Guest) -> None:
    one, _warnings = run(guest.package(1))
    run(guest.package(2))
    back, warnings = run(guest.package(1), check=True)
    assert (back["consequence"], back["restart_pending"], warnings) == ("switch", False, [])
    back, _warnings = run(guest.package(1))
    assert back["package"] == one["package"] and guest.read("activated") == ["2 switch", "1 switch"]
    assert guest.read("profile")[-1].endswith("system-1")
    info = inform(guest.host.places)[0]
    assert (info["booted"], info["switched"], info["condition"]) == (info["current"], None, "ok")
    again, _warnings = run(guest.package(1))
    assert (again["changed"], again["restart_pending"]) == (False, False)


@pytest.mark.parametrize(("policy", "consequence"), [("never", "restart pending"), ("if_changed", "restart")])
def test_what_a_switched_guest_runs_is_not_the_package_that_it_was_booted_from(
    guest: Guest, policy: str, consequence: str
) -> None:
    run(guest.package(1))
    run(guest.package(2))
    assert is_current("web", guest.host.places)
    result, _warnings = run(guest.package(1), ssh_switch="none", restart_policy=policy)
    assert (result["consequence"], result["restart_pending"]) == (consequence, policy == "never")
    info = inform(guest.host.places)[0]
    assert info["booted"] == info["current"] and info["restart_pending"] is (policy == "never")
    assert is_current("web", guest.host.places) is (policy != "never")
    assert run(guest.package(1), check=True, restart_policy="never")[0]["changed"] is (policy == "never")


def test_a_rollback_that_was_killed_before_its_restart_goes_on_from_the_system_that_runs(guest: Guest) -> None:
    one, _warnings = run(guest.package(1))
    two, _warnings = run(guest.package(2))
    places, bad = guest.host.places, two["package"] or ""
    record = places.records.read("web")
    assert record is not None
    places.records.write(record.marked(bad, True))
    (Path(places.state("web")) / "current").unlink()
    (Path(places.state("web")) / "current").symlink_to(places.store.path(one["package"] or ""))
    packages = {name: Installed(name) for name in (one["package"] or "", bad)}
    planned = plan_rollback(observe_name(places, "web"), packages, None, False)
    assert planned.package == one["package"] and planned.has(Action.RESTART)


def test_a_switch_to_what_is_not_built_yet_is_predicted_as_far_as_it_is_known(guest: Guest) -> None:
    run(guest.package(1))
    observed = observe_name(guest.host.places, "web")
    declared = parse({"name": "web", "flake": "path:/f", "ssh_switch": "switch"})[0]
    wanted = Wanted(declared, "started", Package("web", {}, place="/nix/store/x"), origin=Origin(is_known=False))
    for change, problem in ((None, ""), ("known_hosts", "no host key of its guest is recorded")):
        if change is not None:
            (guest.root / change).unlink()
        (found,) = switching.with_switches([wanted], {"web": observed}, guest.host.places)
        assert found.switch is not None and problem in found.switch.problem
        assert found.switch.is_possible is (problem == "")
    left = replace(wanted, origin=Origin(is_left=True))
    assert switching.with_switches([left], {"web": observed}, guest.host.places) == [left]


def test_the_next_start_ends_a_switch(guest: Guest) -> None:
    run(guest.package(1))
    result, _warnings = run(guest.package(2))
    restart_vm("web", guest.host.places, wait=False)
    info = inform(guest.host.places)[0]
    assert (info["booted"], info["switched"]) == (result["package"], None)


def test_what_takes_effect_with_a_restart_only_stays_pending_and_is_not_restarted(guest: Guest) -> None:
    run(guest.package(1))
    two = guest.package(2, memory=1024)
    for expected in (True, False):
        result, _warnings = run(two)
        assert (result["changed"], result["restart_pending"]) == (expected, True)
    assert guest.read("activated") == ["2 switch"]
    assert inform(guest.host.places)[0]["condition"] == "pending"
    assert run(two, check=True, ssh_switch="none")[0]["consequence"] == "restart"
    always = run(two, check=True, restart_policy="window", restart_window="00:00-23:59")
    assert always[0]["consequence"] == "restart"


@pytest.mark.parametrize(("action", "is_new"), [("switch", True), ("test", True), ("boot", False)])
def test_a_guest_is_asked_as_the_system_that_it_runs_is_declared(
    guest: Guest, monkeypatch: pytest.MonkeyPatch, action: str, is_new: bool
) -> None:
    asked: list[tuple[str, int]] = []

    def up(guests: list[Any], _units: object, _parallel: int) -> set[str]:
        asked.extend((ready.check, ready.port) for ready in guests)
        return {ready.unit for ready in guests}

    monkeypatch.setattr(readiness, "running_guests_up", up)
    monkeypatch.setattr(readiness, "wait", lambda ready: float(bool(up([ready], None, 1))))
    run(guest.package(1))
    # Something of it takes effect with a restart only.
    two = guest.package(2, memory=1024)
    ready = {"check": "ssh", "address": "192.0.2.1", "port": 2222}
    for _run in range(2):
        result, _warnings = run(two, ready=ready, ssh_switch=action)
        assert result["restart_pending"] and not result["failed"], result["msg"]
    expected = ("ssh", 2222) if is_new else ("none", 22)
    assert asked[-2:] == [expected] * 2
    plan = plan_start(observe_name(guest.host.places, "web"))
    recorded = recorded_readiness(plan, guest.host.places)
    assert (recorded.check, recorded.port) == expected
    # The next start boots it.
    result, _warnings = run(two, ready=ready, ssh_switch="none", restart_policy="always")
    assert asked[-1] == ("ssh", 2222) and not result["restart_pending"]


def test_a_system_with_another_kernel_stays_pending(guest: Guest) -> None:
    run(guest.package(1))
    two = guest.package(2)
    (guest.store / "h2-system-2/kernel").symlink_to("/nix/store/x-linux")
    result, _warnings = run(two)
    assert (result["consequence"], result["restart_pending"]) == ("switch", True)


@pytest.mark.parametrize(("action", "is_profiled"), [("boot", True), ("dry-activate", False), ("test", False)])
def test_other_actions_are_those_of_nixos_rebuild(guest: Guest, action: str, is_profiled: bool) -> None:
    run(guest.package(1))
    two = guest.package(2)
    result, _warnings = run(two, ssh_switch=action)
    assert guest.read("activated") == [f"2 {action}"] and bool(guest.read("profile")) is is_profiled
    assert result["restart_pending"] is (action != "test")
    assert result["consequence"] == ("switch" if action == "test" else "restart pending")
    assert not run(two, ssh_switch=action)[0]["changed"]


@pytest.mark.parametrize("action", ["dry-activate", "boot", "test"])
def test_a_trial_is_no_switch(guest: Guest, action: str) -> None:
    run(guest.package(1))
    two = guest.package(2)
    run(two, ssh_switch=action)
    for changed, pending in ((True, False), (False, False)):
        result, warnings = run(two)
        assert (result["changed"], result["restart_pending"], warnings) == (changed, pending, [])
        assert result["consequence"] == ("switch" if changed else "nothing")
        assert guest.read("activated") == [f"2 {action}", "2 switch"]
    assert guest.read("profile")[-1].endswith("system-2")
    for done in ("test", "boot", "dry-activate"):
        assert not run(two, ssh_switch=done)[0]["changed"]


def test_what_a_guest_runs_and_its_profile_are_told_apart(guest: Guest) -> None:
    run(guest.package(1), keep_generations=1)
    two, _warnings = run(guest.package(2), keep_generations=1)
    three, _warnings = run(guest.package(3), ssh_switch="boot", keep_generations=1)
    info = inform(guest.host.places)[0]
    assert (info["switched"], info["restart_pending"]) == (two["package"], True)
    assert run(guest.package(2), check=True, ssh_switch="test")[0]["restart_pending"] is False
    run(guest.package(4), ssh_switch="none", restart_policy="never", keep_generations=1)
    run(guest.package(5), ssh_switch="none", restart_policy="never", keep_generations=1)
    for kept in (two, three):
        assert os.path.isdir(guest.host.places.store.path(kept["package"] or ""))
    # Its profile is that of 3.
    result, _warnings = run(guest.package(2))
    assert result["consequence"] == "switch" and guest.read("profile")[-1].endswith("system-2")


def test_nothing_is_done_to_a_guest_that_runs_a_package_and_cannot_be_given_its_profile(guest: Guest) -> None:
    run(guest.package(1))
    two = guest.package(2)
    run(two, ssh_switch="test")
    (guest.root / "unreachable").touch()
    result, warnings = run(two)
    assert not result["changed"] and "connection refused" in warnings[0]


def test_an_earlier_version_did_not_record_what_it_had_asked_for(guest: Guest) -> None:
    run(guest.package(1))
    two = guest.package(2)
    run(two)
    file = guest.root / "records/web.json"
    record = json.loads(file.read_text())
    for key in ("profile", "shown", "possible"):
        del record["switched"][key]
    file.write_text(json.dumps(record))
    assert not inform(guest.host.places)[0]["restart_pending"]
    assert [run(two)[0]["changed"] for _time in range(2)] == [True, False]


def test_a_guest_whose_activation_has_failed_is_switched_back(guest: Guest) -> None:
    run(guest.package(1))
    two = guest.package(2)
    (guest.root / "failing").touch()
    assert run(two)[0]["failed"]
    info = inform(guest.host.places)[0]
    assert (info["switched"], info["restart_pending"]) == (None, True)
    (guest.root / "failing").unlink()
    result, _warnings = run(guest.package(1))
    assert (result["consequence"], result["restart_pending"]) == ("switch", False)
    assert guest.read("activated") == ["2 switch", "1 switch"]


def test_a_failed_activation_is_an_error_and_tried_again(guest: Guest) -> None:
    run(guest.package(1))
    two = guest.package(2)
    (guest.root / "failing").touch()
    result, _warnings = run(two)
    assert result["failed"] and "status 4" in result["msg"] and "a unit has failed" in result["msg"]
    assert result["restart_pending"]
    (guest.root / "failing").unlink()
    assert run(two)[0]["consequence"] == "switch"
    assert guest.read("activated") == ["2 switch", "2 switch"]


def unreachable(guest: Guest) -> str:
    (guest.root / "unreachable").touch()
    return guest.package(2)


def unknown(guest: Guest) -> str:
    (guest.root / "known_hosts").unlink()
    return guest.package(2)


def without_activation(guest: Guest) -> str:
    package = guest.package(2)
    (guest.store / "h2-system-2/bin/switch-to-configuration").unlink()
    return package


def without_system(guest: Guest) -> str:
    package = guest.package(2)
    (Path(package) / "share/microvm/system").unlink()
    return package


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (unreachable, "connection refused"),
        (unknown, "microvm ssh web"),
        (lambda guest: guest.package(2, host_name="other"), "the system is for other"),
        (without_activation, "has no bin/switch-to-configuration"),
        (without_system, "has no system in /nix/store"),
    ],
    ids=["unreachable", "unknown", "other host name", "without activation", "without system"],
)
def test_a_guest_that_cannot_be_switched_is_restarted_with_a_warning(guest: Guest, change: Any, reason: str) -> None:
    run(guest.package(1))
    package = change(guest)
    shown, _warnings = run(package, check=True)
    result, warnings = run(package)
    assert result["consequence"] == shown["consequence"] == "restart" and not result["failed"]
    assert reason in warnings[0] and "restart_policy decides" in warnings[0] and guest.read("activated") == []


def test_a_guest_that_was_booted_without_the_share_waits_where_it_may_not_be_restarted(guest: Guest) -> None:
    run(guest.package(1, shares=False))
    result, warnings = run(guest.package(2), restart_policy="never")
    assert (result["consequence"], result["restart_pending"]) == ("restart pending", True)
    assert "does not have the host's /nix/store as a share" in warnings[0]


def test_the_system_that_a_guest_was_switched_to_is_no_garbage(guest: Guest) -> None:
    run(guest.package(1), keep_generations=1)
    switched, _warnings = run(guest.package(2), keep_generations=1)
    for number in (3, 4):
        run(guest.package(number), keep_generations=1, ssh_switch="none", restart_policy="never")
    assert os.path.isdir(guest.host.places.store.path(switched["package"] or ""))
    assert run(guest.package(4), check=True)[0]["consequence"] == "switch"


@pytest.mark.parametrize("action", ["dry-activate", "boot"])
def test_what_a_guest_runs_is_no_garbage_after_actions_that_activate_nothing(guest: Guest, action: str) -> None:
    run(guest.package(1), keep_generations=1)
    two, _warnings = run(guest.package(2), keep_generations=1)
    for number in (3, 4, 5):
        run(guest.package(number), keep_generations=1, ssh_switch=action)
    assert guest.read("activated") == ["2 switch", f"3 {action}", f"4 {action}", f"5 {action}"]
    assert has(guest, two) and inform(guest.host.places)[0]["switched"] == two["package"]


@pytest.mark.parametrize("action", ["switch", "test"])
def test_what_a_guest_may_run_after_failed_activations_is_no_garbage(guest: Guest, action: str) -> None:
    run(guest.package(1), keep_generations=1)
    two, _warnings = run(guest.package(2), keep_generations=1)
    (guest.root / "failing").touch()
    failed = [run(guest.package(number), keep_generations=1, ssh_switch=action)[0] for number in (3, 4)]
    (guest.root / "failing").unlink()
    for number in (5, 6):
        run(guest.package(number), keep_generations=1, ssh_switch="dry-activate")
    assert all(has(guest, result) for result in (two, *failed))
    for number in (7, 8):
        # What runs is known by now; the next run takes the others away.
        run(guest.package(number), keep_generations=1)
    assert not any(has(guest, result) for result in (two, *failed))


def test_a_profile_that_a_guest_may_have_is_no_garbage(guest: Guest) -> None:
    run(guest.package(1), keep_generations=1)
    (guest.root / "failing").touch()
    two, _warnings = run(guest.package(2), keep_generations=1, ssh_switch="boot")
    (guest.root / "failing").unlink()
    for number in (3, 4, 5):
        run(guest.package(number), keep_generations=1, ssh_switch="dry-activate")
    assert has(guest, two)


def has(guest: Guest, result: VmResult) -> bool:
    """Return whether the host still has the package of a result."""
    return os.path.isdir(guest.host.places.store.path(result["package"] or ""))


@pytest.mark.parametrize("action", ["dry-activate", "test"])
def test_nothing_is_pending_after_another_look_at_the_system_that_runs(
    guest: Guest, capsys: pytest.CaptureFixture[str], action: str
) -> None:
    run(guest.package(1))
    run(guest.package(2))
    for check in (True, False):
        print_switch(switching.switch_guest("web", action, check, guest.host.places), check)
    assert "a restart is pending" not in capsys.readouterr().out
    info = inform(guest.host.places)[0]
    assert (info["condition"], info["switched"]) == ("ok", info["current"])


def test_the_command_switches_to_the_current_package_or_says_why_not(
    guest: Guest, capsys: pytest.CaptureFixture[str]
) -> None:
    run(guest.package(1))
    run(guest.package(2), ssh_switch="none", restart_policy="never")
    print_switch(switching.switch_guest("web", "switch", True, guest.host.places), True)
    assert "web: would be switched (switch), 1 step" in capsys.readouterr().out and guest.read("activated") == []
    print_switch(switching.switch_guest("web", "switch", False, guest.host.places), False)
    assert "activating 2" in capsys.readouterr().out and not inform(guest.host.places)[0]["restart_pending"]
    (guest.root / "unreachable").touch()
    with pytest.raises(HostError, match="connection refused"):
        switching.switch_guest("web", "switch", False, guest.host.places)
    guest.host.stop(["microvm@web.service"])
    with pytest.raises(HostError, match="not running"):
        switching.switch_guest("web", "switch", False, guest.host.places)


@pytest.mark.parametrize(
    ("memory", "action", "said", "activated"),
    [
        (512, "switch", "web: switched (switch), 1 step", ["2 switch"]),
        (1024, "switch", "web: a restart is pending", ["2 switch"]),
        (512, "boot", "web: a restart is pending", ["2 boot"]),
    ],
)
def test_a_rebuild_builds_installs_and_switches(
    guest: Guest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    memory: int,
    action: str,
    said: str,
    activated: list[str],
) -> None:
    run(guest.package(1))
    rebuild(guest, monkeypatch, guest.package(2, memory), "--action", action)
    assert said in capsys.readouterr().out and guest.read("activated") == activated


@pytest.mark.parametrize(("action", "starts"), [("boot", False), ("dry-activate", False), ("test", True)])
def test_a_rebuild_starts_what_is_down_only_to_run_its_system(
    guest: Guest, monkeypatch: pytest.MonkeyPatch, action: str, starts: bool
) -> None:
    run(guest.package(1))
    guest.host.stop(["microvm@web.service"])
    rebuild(guest, monkeypatch, guest.package(2), "--action", action)
    assert guest.host.units["microvm@web.service"].running is starts and guest.read("activated") == []


@pytest.mark.parametrize("action", ["dry-activate", "boot", "test"])
def test_a_rebuild_switches_after_a_trial(guest: Guest, monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    run(guest.package(1))
    for words in (("--action", action), (), ()):
        rebuild(guest, monkeypatch, guest.package(2), *words)
    assert guest.read("activated") == [f"2 {action}", "2 switch"]


def test_a_rebuild_restarts_no_guest_that_runs_the_package_already(
    guest: Guest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(guest.package(1))
    rebuild(guest, monkeypatch, guest.package(2), "--action", "test")
    (guest.root / "unreachable").touch()
    rebuild(guest, monkeypatch, guest.package(2), status=1)
    assert "cannot be switched" in capsys.readouterr().err
    info = inform(guest.host.places)[0]
    assert info["switched"] == info["current"] != info["booted"]


def test_a_rebuild_starts_and_restarts_what_cannot_be_switched(
    guest: Guest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rebuild(guest, monkeypatch, guest.package(1))
    assert "web: is up" in capsys.readouterr().out
    (guest.root / "unreachable").touch()
    rebuild(guest, monkeypatch, guest.package(2))
    assert "web cannot be switched: " in (shown := capsys.readouterr().out) and "web: is up" in shown
    info = inform(guest.host.places)[0]
    assert info["booted"] == info["current"] and guest.read("activated") == []
    rebuild(guest, monkeypatch, guest.package(2))
    assert capsys.readouterr().out == "web: unchanged\n"
    rebuild(guest, monkeypatch, guest.package(3), "--check")
    assert "would be installed" in capsys.readouterr().out and inform(guest.host.places)[0] == info


@pytest.mark.parametrize(("shares", "has_system"), [(True, True), (False, True), (True, False)])
def test_an_update_names_the_switch_where_packages_permit_it(
    guest: Guest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shares: bool, has_system: bool
) -> None:
    monkeypatch.setattr(install, "require_root", lambda _arguments: None)
    run(guest.package(1, shares=shares))
    package = guest.package(2)
    if not has_system:
        (Path(package) / "share/microvm/system").unlink()
    rebuild(guest, monkeypatch, package, command="update")
    pending = "web: a restart is pending: microvm restart web"
    hint = "; without one: microvm switch web" if shares and has_system else ""
    assert capsys.readouterr().out.endswith(f"{pending}{hint}\n")


def rebuild(
    guest: Guest, monkeypatch: pytest.MonkeyPatch, package: str, *words: str, status: int = 0, command: str = "rebuild"
) -> None:
    """Carry out ``microvm rebuild``, or another command, of a flake that is built to a package."""
    for module in (rebuild_command, install):
        monkeypatch.setattr(module, "places", lambda _arguments: guest.host.places)
    monkeypatch.setattr(rebuild_command, "require_root", lambda _arguments: None)
    monkeypatch.setattr(flakes, "build_source", lambda _source, _name, _is_kept: package)
    monkeypatch.setattr(known_hosts, "has_key", lambda _name: True)
    monkeypatch.setattr(guest_login, "declared_address", lambda _vm, _places: "192.0.2.1")
    assert main([command, "web", "--flake", "path:/flake", *words]) == status


def test_guests_of_packages_that_are_rendered_here_cannot_be_switched() -> None:
    with pytest.raises(DeclarationError, match="requires a package with a system"):
        parse({"name": "web", "kernel": "/k", "ssh_switch": "switch"})
