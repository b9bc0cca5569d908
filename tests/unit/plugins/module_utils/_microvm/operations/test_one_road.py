# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every change of a host: what check mode shows is what is done, and the trouble of one MicroVM is its own.

On a fake of ``host/``, so that the real plans, executor and handlers run without root.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import readiness, systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Switched
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import reconcile as reconcile_operation
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.adopt import adopt
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.info import inform
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.lifecycle import (
    restart_vm,
    start_vm,
    stop_vm,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request, reconcile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.report import VmsResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.rollback import mark, roll_back
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources import executor
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.steps import Step
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms import handlers
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..fake_host import FakeHost

Vm = dict[str, Any]


def vm(name: str = "web", **options: Any) -> Vm:
    return {"name": name, "kernel": "/k", "accel": "tcg", "ready": {"check": "none"}, **options}


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Steps that the executor has carried out, in this order."""
    steps: list[str] = []
    original = executor.Outcome

    class Watched(original):  # type: ignore[misc, valid-type]
        """An outcome whose steps are seen by the test."""

        def __init__(self) -> None:
            super().__init__()
            self.done = Log(steps)

    monkeypatch.setattr(executor, "Outcome", Watched)
    yield steps


class Log(list[Step[Any]]):
    """A list that writes its elements down elsewhere too."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self._log = log

    def append(self, step: Step[Any]) -> None:
        super().append(step)
        self._log.append(str(step))


def run(*vms: Vm, check: bool = False, **options: Any) -> VmsResult:
    return reconcile(Request(vms=vms, check_mode=check, state_dir="/unused", **options))


def actions(outcome: VmsResult) -> list[str]:
    return [action for one in outcome["vms"] for action in one["actions"]]


SEQUENCES: dict[str, list[Vm]] = {
    "installation": [vm()],
    "a change that restarts": [vm(), vm(mem=600)],
    "a change that waits": [vm(), vm(mem=600, state="present")],
    "a limit": [vm(), vm(limits={"cpu_quota": 50})],
    "another user": [vm(), vm(isolation="shared")],
    "no start with the host": [vm(), vm(autostart=False)],
    "stop": [vm(), vm(state="stopped")],
    "restart": [vm(), vm(state="restarted")],
    "removal": [vm(), vm(state="absent")],
    "removal and a new installation": [vm(), vm(state="absent"), vm()],
    "many packages": [vm(mem=600 + number) for number in range(6)],
    "a balloon": [vm(balloon=True), vm(balloon=True, initial_balloon_mem=64)],
}


@pytest.mark.parametrize("sequence", SEQUENCES.values(), ids=SEQUENCES.keys())
def test_a_run_carries_out_the_steps_of_check_mode_in_order(
    host: FakeHost, done: list[str], sequence: list[Vm]
) -> None:
    for wanted in sequence:
        shown = run(wanted, check=True)
        assert done == []
        actual = run(wanted)
        assert [one["msg"] for one in actual["vms"]] == [""]
        assert actions(shown) == actions(actual) == done
        assert shown["diff"] == actual["diff"]
        assert shown["changed"] == actual["changed"] == bool(done)
        done.clear()
        again = run(wanted)
        assert wanted.get("state") == "restarted" or not again["changed"]
        done.clear()


def test_after_a_live_change_a_guest_runs_the_new_package_whatever_it_was_asked_for_before(host: FakeHost) -> None:
    before = run(vm(balloon=True))["vms"][0]["package"] or ""
    record = host.places.records.read("web")
    assert record is not None
    switched = Switched(host.units["microvm@web.service"].invocation, before, profile=before)
    host.places.records.write(dataclasses.replace(record, switched=switched))
    result = run(vm(balloon=True, initial_balloon_mem=64))["vms"][0]
    assert (result["consequence"], result["restart_pending"]) == ("live", False)
    assert not inform(host.places)[0]["restart_pending"]
    assert not run(vm(balloon=True, initial_balloon_mem=64), check=True)["changed"]


def test_the_steps_of_two_microvms_are_each_as_shown(host: FakeHost, done: list[str]) -> None:
    run(vm("old"), vm("same"))
    done.clear()
    wanted = (vm("old", state="absent"), vm("same", mem=600), vm("new"))
    shown = run(*wanted, check=True)
    run(*wanted)
    for one in shown["vms"]:
        expected = [action for action in one["actions"] if one["name"] in action or "package" in action]
        assert [step for step in done if step in expected] == expected
    stops, starts = (host.calls.index(call) for call in ("stop microvm@old.service", "start microvm@new.service"))
    assert stops < starts


def test_a_removal_leaves_only_foreign_files(host: FakeHost) -> None:
    run(vm(volumes=[{"image": "data.img", "size": 10}]))
    state = Path(host.places.state("web"))
    (state / "work/data.img").write_bytes(b"data")
    (state / "work/notes").write_text("mine")
    (outcome,) = run(vm(state="absent"))["vms"]
    assert outcome["kept"] == ["work/data.img", "work/notes", "user microvm-web"]
    assert sorted(os.listdir(state)) == ["sockets", "work"]
    assert sorted(os.listdir(state / "work")) == ["data.img", "notes"]
    assert host.places.store.contents() == {}
    on_absent = {"volumes": "archive"}
    run(vm(state="absent", on_absent=on_absent))
    assert (host.root / "archive" / "web" / "data.img.1").read_bytes() == b"data"


def test_an_error_of_a_microvm_does_not_affect_others(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    store = type(host.places.store)
    original = store.install

    def failing(self: Any, package: Any, group: int) -> None:
        if package.name == "b":
            raise OSError("no space left on device")
        original(self, package, group)

    monkeypatch.setattr(store, "install", failing)
    outcome = run(vm("a"), vm("b"), vm("c"))
    assert [(one["name"], one["failed"]) for one in outcome["vms"]] == [("a", False), ("b", True), ("c", False)]
    assert "no space" in outcome["vms"][1]["msg"]
    assert {name for name, unit in host.units.items() if unit.running} == {"microvm@a.service", "microvm@c.service"}
    assert not os.path.exists(host.places.state("b", "current"))


def test_a_microvm_whose_unit_is_masked_keeps_no_other_from_its_start(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def enable(names: list[str], wanted: bool) -> None:
        if "microvm@b.service" in names:
            raise HostError("Unit microvm@b.service is masked.")
        host.enable(names, wanted)

    monkeypatch.setattr(systemd, "enable", enable)
    outcome = run(vm("a"), vm("b"), vm("c"))
    assert [(one["name"], one["failed"]) for one in outcome["vms"]] == [("a", False), ("b", True), ("c", False)]


def test_results_are_reported_though_systemd_does_not_answer_at_last(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def settle(_timeouts: dict[str, float]) -> dict[str, HostError]:
        raise HostError("Connection timed out")

    monkeypatch.setattr(readiness, "settle", settle)
    (one,) = run(vm())["vms"]
    assert one["failed"] and one["msg"] == "Connection timed out" and one["actions"]


def current(host: FakeHost, name: str = "web") -> str:
    return os.path.basename(os.readlink(host.places.state(name, "current")))


def fail(host: FakeHost, *wanted: Vm) -> None:
    """Let the packages of declarations not come up."""
    host.failing_packages.update(str(run(one, check=True)["vms"][0]["package"]) for one in wanted)


def test_a_package_that_does_not_come_up_is_rolled_back_from(host: FakeHost, done: list[str]) -> None:
    run(vm())
    before, new = current(host), vm(mem=600, rollback_on_failure=True)
    fail(host, new)
    (bad,) = host.failing_packages
    (one,) = run(new)["vms"]
    assert one["failed"] and one["rolled_back"] and "the previous package is running again" in one["msg"]
    assert current(host) == before and host.units["microvm@web.service"].running
    # What is there after the run.
    assert (one["package"], one["generation"], one["refused_package"]) == (before, 1, bad)
    assert not one["restart_pending"]
    assert one["rollback_actions"] == [
        f"link old {bad}",
        f"link current {before}",
        "write unit settings microvm@web.service",
        "mark bad after a failed start: generation 2",
        "systemctl daemon-reload for microvm@web.service",
        "systemctl restart microvm@web.service",
    ]
    assert done[-6:] == one["rollback_actions"]


@pytest.mark.parametrize("check", [False, True])
def test_a_refused_package_fails_its_microvm_each_time_with_the_way_out(host: FakeHost, check: bool) -> None:
    run(vm(), vm("db"))
    before, new = current(host), vm(mem=620, rollback_on_failure=True)
    fail(host, new)
    run(new, vm("db"))
    for _time in range(2):
        one, other = run(new, vm("db"), check=check)["vms"]
        assert one["failed"] and not one["changed"] and one["package"] == before and one["generation"] == 1
        assert "microvm generations web --good 2" in one["msg"]
        assert not other["failed"]
    warned = run({**new, "on_refused": "warn"}, vm("db"), check=check)
    assert not any(one["failed"] for one in warned["vms"])
    (warning,) = warned["warnings"]
    assert warning.startswith("web: ") and "microvm generations web --good 2" in warning
    # The way out.
    host.failing_packages.clear()
    mark("web", 2, False, False, host.places)
    (one,) = run(new)["vms"]
    assert not one["failed"] and one["changed"] and one["generation"] == 2 and one["refused_package"] is None


def test_a_removal_that_fails_reports_the_package_that_is_still_there(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_names: object, _wait: bool = True) -> None:
        raise HostError("systemd does not answer")

    run(vm())
    before = current(host)
    monkeypatch.setattr(systemd, "stop", stop)
    (one,) = run(vm(state="absent"))["vms"]
    assert one["failed"] and one["package"] == before and one["generation"] == 1


def test_a_fallback_that_cannot_look_at_the_host_leaves_the_first_error(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def observe_name(*_arguments: object) -> None:
        raise HostError("systemd does not answer")

    run(vm())
    new = vm(mem=600, rollback_on_failure=True)
    fail(host, new)
    monkeypatch.setattr(handlers, "observe_name", observe_name)
    (one,) = run(new)["vms"]
    assert one["msg"] == "microvm@web.service does not come up" and not one["rolled_back"]


def test_a_package_that_waited_for_its_start_is_rolled_back_from(host: FakeHost) -> None:
    run(vm())
    before, new = current(host), vm(mem=600, rollback_on_failure=True)
    run({**new, "state": "present"})
    fail(host, new)
    (one,) = run(new)["vms"]
    assert one["failed"] and one["rolled_back"]
    assert current(host) == before and host.units["microvm@web.service"].running


def test_a_package_whose_fallback_fails_too_is_not_rolled_back(host: FakeHost) -> None:
    run(vm())
    new = vm(mem=600, rollback_on_failure=True)
    fail(host, vm(), new)
    (one,) = run(new)["vms"]
    assert one["failed"] and not one["rolled_back"] and "is running again" not in one["msg"]
    # What was done is reported all the same: all but the restart.
    assert one["rollback_actions"][-1] == "systemctl daemon-reload for microvm@web.service"


def test_a_rollback_carries_out_the_steps_of_check_mode(host: FakeHost, done: list[str]) -> None:
    run(vm())
    run(vm(mem=600, limits={"memory_max": "4G"}))
    done.clear()
    shown = roll_back("web", None, False, True, True, host.places)
    assert done == []
    actual = roll_back("web", None, False, False, True, host.places)
    assert [str(step) for step in shown.steps] == [str(step) for step in actual.steps] == done
    assert shown.generation == 1 and "write unit settings microvm@web.service" in done


def test_a_rollback_waits_as_the_older_package_says(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    run(vm(socket="older.sock"))
    run(vm(socket="newer.sock"))
    sockets: list[str] = []

    def wait(ready: readiness.Readiness, begun: bool = True) -> float:
        sockets.append(ready.control_socket)
        return 0.0

    monkeypatch.setattr(readiness, "wait", wait)
    roll_back("web", None, False, False, True, host.places)
    assert sockets == [host.places.work("web", "older.sock")]


def test_drop_ins_of_operators_stay(host: FakeHost) -> None:
    run(vm())
    own = Path(host.places.drop_in("microvm@.service", "web"))
    other = own.with_name("override.conf")
    other.write_text("[Service]\nNice=5\n")
    run(vm(state="absent"))
    assert other.exists() and not own.exists()
    other.unlink()
    run(vm())
    run(vm(state="absent"))
    assert not own.parent.exists()


def test_marking_carries_out_the_steps_of_check_mode(host: FakeHost, done: list[str]) -> None:
    run(vm())
    done.clear()
    shown = mark("web", 1, True, True, host.places)
    assert done == [] and not host.places.records.read("web").is_bad(current(host))  # type: ignore[union-attr]
    mark("web", 1, True, False, host.places)
    assert done == [str(step) for step in shown.steps] == ["mark bad generation 1"]
    assert not mark("web", 1, True, False, host.places).changed
    assert mark("web", 1, False, False, host.places).changed


@pytest.fixture
def package(tmp_path: Path) -> str:
    """A package that somebody made by hand."""
    script = tmp_path / "package" / "bin" / "microvm-run"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    return str(tmp_path / "package")


def test_an_adoption_carries_out_the_steps_of_check_mode(host: FakeHost, done: list[str], package: str) -> None:
    shown = adopt("hand", package, host.places, check=True)
    assert done == [] and not os.path.exists(host.places.state("hand"))
    actual = adopt("hand", package, host.places)
    assert [str(step) for step in shown.steps] == [str(step) for step in actual.steps] == done
    assert current(host, "hand") == shown.package
    assert not adopt("hand", package, host.places).changed
    done.clear()
    flake = adopt("hand", package, host.places, "github:a/b")
    assert [str(step) for step in flake.steps] == done == ["record the flake github:a/b"]
    assert not adopt("hand", package, host.places, "github:a/b").changed
    assert [str(step) for step in adopt("hand", package, host.places).steps] == ["forget the flake of hand"]


def test_an_adopted_package_replaces_a_declared_one_and_its_settings(
    host: FakeHost, done: list[str], package: str
) -> None:
    run(vm("hand", isolation="shared", limits={"cpu_quota": 50}))
    done.clear()
    plan = adopt("hand", package, host.places)
    assert "write unit settings microvm@hand.service" in done and plan.restart_pending
    assert "CPUQuota=50%" in Path(host.places.drop_in("microvm@.service", "hand")).read_text()


def test_start_stop_and_restart_are_plans_too(host: FakeHost, done: list[str]) -> None:
    run(vm(state="present"))
    done.clear()
    assert start_vm("web", host.places) is not None
    assert start_vm("web", host.places, wait=False) is None
    restart_vm("web", host.places)
    stop_vm("web", host.places)
    assert done == [f"systemctl {verb} microvm@web.service" for verb in ("start", "restart", "stop")]
    assert not os.path.exists(host.places.state("web", "booted"))
    with pytest.raises(HostError, match="there is no MicroVM"):
        start_vm("other", host.places)


def test_a_start_reads_settings_that_systemd_has_not_read(host: FakeHost, done: list[str]) -> None:
    run(vm(state="present"))
    host.read_settings.clear()
    done.clear()
    start_vm("web", host.places)
    assert done == ["systemctl daemon-reload for microvm@web.service", "systemctl start microvm@web.service"]


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """Limit open files to 64 more than are open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 64, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_nothing_but_memory_grows_with_the_number_of_microvms(
    host: FakeHost, few_descriptors: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = threading.active_count()
    most: list[int] = []
    original = host.start

    def watched(name: str, wait: bool = True) -> None:
        most.append(threading.active_count())
        original(name, wait)

    monkeypatch.setattr(systemd, "start", watched)
    outcome = run(*(vm(f"vm{number}") for number in range(150)), parallel=4)
    assert not [one["msg"] for one in outcome["vms"] if one["failed"]]
    assert max(most, default=threads) <= threads + 4
    # One look at all units before, one after all have been started.
    assert [call for call in host.calls if call.startswith("show")] == ["show 150", "show 150"]
    assert host.calls.count("daemon-reload") == 1


def test_settings_of_a_helper_unit_that_systemd_has_not_read_are_read(host: FakeHost, done: list[str]) -> None:
    share = {"proto": "virtiofs", "tag": "t", "source": str(host.root / "share")}
    run(vm(shares=[share]))
    del host.read_settings["microvm-virtiofsd@web.service"]
    done.clear()
    assert run(vm(shares=[share]))["changed"]
    assert done == ["systemctl daemon-reload for microvm@web.service"]
    assert not run(vm(shares=[share]))["changed"]


def diff_of(outcome: VmsResult) -> tuple[set[str], set[str]]:
    """Return the lines that only one side of the only diff has."""
    (diff,) = outcome["diff"]
    before, after = (set(diff["before"].splitlines()), set(diff["after"].splitlines()))
    return before - after, after - before


def test_a_diff_shows_what_was_set_and_what_follows(host: FakeHost) -> None:
    _before, new = diff_of(run(vm(interfaces=[{"bridge": "br5"}]), check=True))
    assert {"interfaces[0].bridge: br5", "step: systemctl start microvm@web.service"} <= new and len(new) < 15
    run(vm())
    before, after = diff_of(run(vm(mem=930, vcpu=3), check=True))
    packages = {line for line in after | before if line.startswith("package: ")}
    assert before < packages
    assert after - packages == {
        "mem: 930",
        "vcpu: 3",
        "changes: mem (restart)",
        "changes: vcpu (restart)",
        *(f"step: {action}" for action in ("install package " + max(after & packages)[9:],)),
        "step: systemctl restart microvm@web.service",
    }
    _before, full = diff_of(run(vm(mem=930, vcpu=3), check=True, full_diff=True))
    assert {"-m 930M", "-smp 3"} <= full


def test_a_package_that_differs_only_in_its_command_line_has_a_diff_of_that(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(vm())
    original = reconcile_operation._facts
    monkeypatch.setattr(
        reconcile_operation,
        "_facts",
        lambda *arguments: dataclasses.replace(original(*arguments), architecture="aarch64"),
    )
    _before, after = diff_of(run(vm(), check=True))
    assert any(line.startswith("-M virt") for line in after)


def test_a_change_of_tags_changes_the_record_alone(host: FakeHost, done: list[str]) -> None:
    run(vm())
    done.clear()
    outcome = run(vm(tags=["frontend", "site-a", "frontend"]), check=True)
    assert diff_of(outcome) == (set(), {"tags: frontend, site-a", "step: record web"})
    (result,) = run(vm(tags=["frontend", "site-a"]))["vms"]
    assert done == ["record web"] and result["package"] == result["previous_package"]
    assert not result["restart_pending"] and result["changes"] == []
    assert not run(vm(tags=["frontend", "site-a"]))["changed"]
    (entry,) = inform(host.places)
    assert entry["tags"] == ["frontend", "site-a"]
    before, after = diff_of(run(vm()))
    assert before == {"tags: frontend, site-a"} and after == {"step: record web"}


@pytest.mark.parametrize("tag", ["", "a b", "-a", "a/b", "a" * 64, "a\n", "ä", "{{ a }}"])
def test_tags_are_short_words(host: FakeHost, tag: str) -> None:
    with pytest.raises(DeclarationError, match="is not a tag of a MicroVM"):
        run(vm(tags=[tag]))
