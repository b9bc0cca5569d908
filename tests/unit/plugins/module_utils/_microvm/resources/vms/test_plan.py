# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The planner: what is and what is wanted become steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.guest_store import closure_name
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.guest_shell import GuestLogin
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Generation, Record, Switched
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.actions import Action, Plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.plan import Clock, plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.plan_removal import (
    Removal,
    plan_removal,
    plan_stop,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.switches import Switch
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ...examples import SMALL
from .model import carried_out, want

WANTED = want(SMALL)
assert WANTED.package is not None
NEW = WANTED.package.directory_name
OLDER, OLDEST = "0" * 32 + "-small", "1" * 32 + "-small"
UP = Unit("loaded", "active", "running", "enabled")
DOWN = Unit("loaded", "inactive", "dead", "enabled")
UNIT = "microvm@small.service"
WAIT = "microvm-wait@small.service"
FRESH = Observed("small", state_directory="/s", has_account=False)
RUNNING = carried_out(FRESH, WANTED, plan(FRESH, WANTED, ""))
OLD_RECORD = replace(RUNNING.record or Record("small", "/s"), generations=(Generation(1, OLDER),))
OUTDATED = replace(
    RUNNING, current=OLDER, booted=OLDER, packages=(OLDER,), record=OLD_RECORD, declared=None, booted_declared=None
)
LINKED_LATER = OLD_RECORD.with_generation(NEW).with_ready(NEW, WANTED.declaration["ready"])

CASES: dict[str, tuple[Observed, str, list[str]]] = {
    "a fresh host": (
        FRESH,
        "started",
        [
            "record small",
            "create user microvm-small",
            f"install package {NEW}",
            "create state directory small",
            f"link current {NEW}",
            "write settings small",
            f"write unit settings {WAIT}",
            f"write unit settings {UNIT}",
            f"systemctl enable {UNIT}",
            f"systemctl daemon-reload for {UNIT}",
            f"systemctl start {UNIT}",
        ],
    ),
    "nothing to do": (RUNNING, "started", []),
    "stopped again": (
        replace(RUNNING, booted=None, unit=replace(DOWN, unit_file_state="disabled")),
        "stopped",
        ["record small"],
    ),
    "stopped by the loss of power": (
        replace(RUNNING, unit=replace(DOWN, unit_file_state="disabled")),
        "stopped",
        ["record small", f"systemctl stop {UNIT}"],
    ),
    "stopped by hand": (
        replace(RUNNING, booted=None, unit=DOWN),
        "stopped",
        ["record small", f"systemctl disable {UNIT}", f"systemctl daemon-reload for {UNIT}"],
    ),
    "settings that systemd has not read": (
        replace(RUNNING, unit=replace(UP, stale=True)),
        "started",
        [f"systemctl daemon-reload for {UNIT}"],
    ),
    "stop": (
        RUNNING,
        "stopped",
        ["record small", f"systemctl disable {UNIT}", f"systemctl stop {UNIT}", f"systemctl daemon-reload for {UNIT}"],
    ),
    "start of what was declared stopped": (
        replace(RUNNING, booted=None, unit=replace(DOWN, unit_file_state="disabled")),
        "started",
        [f"systemctl enable {UNIT}", f"systemctl daemon-reload for {UNIT}", f"systemctl start {UNIT}"],
    ),
    "start": (replace(RUNNING, booted=None, unit=DOWN), "started", [f"systemctl start {UNIT}"]),
    "start after a failure": (
        replace(RUNNING, booted=None, unit=Unit("loaded", "failed", "failed", "enabled", "exit-code")),
        "started",
        [f"systemctl start {UNIT}"],
    ),
    "restart": (RUNNING, "restarted", [f"systemctl restart {UNIT}"]),
    "a changed package": (
        OUTDATED,
        "started",
        [
            "record small",
            f"install package {NEW}",
            f"link old {OLDER}",
            f"link current {NEW}",
            f"systemctl restart {UNIT}",
        ],
    ),
    "a changed package that waits": (
        OUTDATED,
        "present",
        ["record small", f"install package {NEW}", f"link old {OLDER}", f"link current {NEW}"],
    ),
    "a run that was killed before its restart": (
        replace(RUNNING, booted=OLDER, old=OLDER, packages=(OLDER, NEW), booted_declared=None),
        "started",
        [f"systemctl restart {UNIT}"],
    ),
    "a run that was killed before it linked": (
        replace(OUTDATED, packages=(OLDER, NEW), record=replace(LINKED_LATER, state="present")),
        "present",
        [f"link old {OLDER}", f"link current {NEW}"],
    ),
    "packages that nothing refers to": (
        replace(RUNNING, old=OLDER, packages=(OLDER, OLDEST, NEW)),
        "started",
        [f"remove package {OLDEST}"],
    ),
    "a state directory of another account": (
        replace(RUNNING, group="kvm"),
        "started",
        ["change the owner of the state directory to microvm-small"],
    ),
}


@pytest.mark.parametrize(("observed", "state", "steps"), CASES.values(), ids=CASES.keys())
def test_each_state_has_these_steps(observed: Observed, state: str, steps: list[str]) -> None:
    assert [str(step) for step in plan(observed, replace(WANTED, state=state), "vms[0]").steps] == steps


REMOVALS: dict[str, tuple[Observed, Removal, list[str]]] = {
    "with a volume and what was half made": (
        replace(
            RUNNING,
            entries=(
                "booted",
                "current",
                *(f"work/{name}" for name in ("data.img", "data.img.partial", "n.partial", "s.sock")),
            ),
            sockets=("work/s.sock",),
            volumes=("data.img",),
            record=replace(RUNNING.record or Record("small", "/s"), volumes=("data.img",)),
        ),
        Removal(),
        [
            f"systemctl disable {UNIT}",
            f"systemctl stop {UNIT}",
            f"remove unit settings {WAIT}",
            f"remove unit settings {UNIT}",
            f"systemctl daemon-reload for {UNIT}",
            "remove small/booted",
            "remove small/current",
            "remove small/work/data.img.partial",
            "remove small/work/s.sock",
            "remove settings small",
            f"remove package {NEW}",
            "record kept volumes of small",
        ],
    ),
    "without data": (
        replace(RUNNING, booted=None, unit=DOWN, entries=("current",), drop_ins={}),
        Removal(),
        [
            f"systemctl disable {UNIT}",
            f"systemctl daemon-reload for {UNIT}",
            "remove small/current",
            "remove state directory small",
            "remove settings small",
            f"remove package {NEW}",
            "remove user microvm-small",
            "delete the record of small",
        ],
    ),
    "with a volume that may be deleted": (
        replace(
            RUNNING, booted=None, unit=DOWN, entries=("current", "work/data.img"), drop_ins={}, volumes=("data.img",)
        ),
        Removal("delete", ("data.img",)),
        [
            f"systemctl disable {UNIT}",
            f"systemctl daemon-reload for {UNIT}",
            "delete volume data.img",
            "remove small/current",
            "remove state directory small",
            "remove settings small",
            f"remove package {NEW}",
            "remove user microvm-small",
            "delete the record of small",
        ],
    ),
    "with somebody else's file beside a volume that is archived": (
        replace(
            RUNNING,
            booted=None,
            unit=DOWN,
            entries=("work/data.img", "work/notes"),
            environment=None,
            volumes=("data.img",),
        ),
        Removal("archive"),
        [
            f"systemctl disable {UNIT}",
            f"remove unit settings {WAIT}",
            f"remove unit settings {UNIT}",
            f"systemctl daemon-reload for {UNIT}",
            "archive volume data.img",
            f"remove package {NEW}",
            "record kept volumes of small",
        ],
    ),
    "of what is not there": (Observed("small"), Removal(), []),
}


@pytest.mark.parametrize(("observed", "removal", "steps"), REMOVALS.values(), ids=REMOVALS.keys())
def test_removals_have_these_steps(observed: Observed, removal: Removal, steps: list[str]) -> None:
    assert [str(step) for step in plan_removal(observed, removal).steps] == steps


@pytest.mark.parametrize("confirm", [(), ("other.img",)])
def test_no_volume_is_deleted_that_is_not_named(confirm: tuple[str, ...]) -> None:
    observed = replace(RUNNING, entries=("data.img",), volumes=("data.img",))
    with pytest.raises(DeclarationError) as refusal:
        plan_removal(observed, Removal("delete", confirm), "vms[2]")
    assert refusal.value.path == "vms[2].on_absent.confirm"
    assert "data.img" in refusal.value.message


def test_a_deletion_that_was_killed_is_completed() -> None:
    record = Record("small", "/s", volumes=("data.img", "more.img"))
    observed = replace(RUNNING, record=record, entries=("more.img",), volumes=("more.img",))
    planned = plan_removal(observed, Removal("delete", ("data.img", "more.img")))
    assert "delete volume more.img" in [str(step) for step in planned.steps]


def test_what_a_hypervisor_leaves_goes_with_the_microvm() -> None:
    entries = ("work/.lkvm", "work/data.txt", "work/small.sock.lock", "work/small.sock.pid")
    planned = plan_removal(replace(RUNNING, entries=entries))
    assert planned.kept == ("work/data.txt", "user microvm-small")
    volume = replace(RUNNING.record or Record("small", "/s"), volumes=("small.sock.lock",))
    observed = replace(RUNNING, entries=entries, record=volume, volumes=("small.sock.lock",))
    assert "work/small.sock.lock" in plan_removal(observed).kept


def test_a_volume_elsewhere_keeps_its_user() -> None:
    planned = plan_removal(replace(RUNNING, volumes=("/srv/data.img",)))
    assert "remove user microvm-small" not in [str(step) for step in planned.steps]
    assert planned.record == Record("small", "/s", user="microvm-small", volumes=("/srv/data.img",))


def test_volumes_kept_by_a_removal_can_be_deleted_later() -> None:
    kept = Record("small", "/s", user="microvm-small", volumes=("data.img",))
    observed = Observed(
        "small", exists=True, entries=("work/data.img",), volumes=("data.img",), record=kept, state_directory="/s"
    )
    assert not plan_removal(observed).changed
    steps = [str(step) for step in plan_removal(observed, Removal("delete", ("data.img",))).steps]
    assert steps == [
        "delete volume data.img",
        "remove state directory small",
        "remove user microvm-small",
        "delete the record of small",
    ]


@pytest.mark.parametrize("removes", [False, True])
def test_another_state_directory_is_refused(removes: bool) -> None:
    elsewhere = replace(RUNNING, state_directory="/elsewhere")
    with pytest.raises(DeclarationError, match="state_dir: /s") as refusal:
        plan_removal(elsewhere, Removal(), "vms[1]") if removes else plan(elsewhere, WANTED, "vms[1]")
    assert refusal.value.path == "vms[1].name"


def test_a_microvm_that_changes_its_user_is_stopped_first() -> None:
    planned = changed(RUNNING, isolation="shared")
    actions = [step.action.name for step in planned.steps]
    assert actions.index("STOP") < actions.index("OWN_STATE") < actions.index("LINK_CURRENT")
    assert (actions[-1], planned.consequence) == ("START", "restart")
    with pytest.raises(DeclarationError, match="requires a restart") as refusal:
        changed(RUNNING, isolation="shared", restart_policy="never")
    assert refusal.value.path == "vms[0].isolation"


def test_a_pending_package_does_not_reduce_the_memory_of_the_running_one() -> None:
    large = want({**SMALL, "mem": 4096})
    before = carried_out(FRESH, large, plan(FRESH, large, ""))
    waiting = want({**SMALL, "restart_policy": "never"})
    planned = plan(before, waiting, "")
    assert planned.drop_ins["microvm@.service"].endswith("MemoryMax=6144M\n")
    assert not plan(carried_out(before, waiting, planned), waiting, "").changed
    # After somebody's restart.
    started = replace(carried_out(before, waiting, planned), booted=planned.package)
    assert not plan(started, waiting, "").drop_ins["microvm@.service"].endswith("MemoryMax=6144M\n")


def test_an_account_that_was_there_is_somebody_else_s() -> None:
    planned = plan(replace(FRESH, has_account=True), WANTED, "")
    assert planned.record
    assert planned.record.user is None


def test_volumes_are_kept_and_named() -> None:
    observed = replace(RUNNING, entries=("current", "data.img"), volumes=("data.img",))
    assert plan_removal(observed).kept == ("data.img", "user microvm-small")


@pytest.mark.parametrize(
    ("what", "full", "kept"),
    [
        ("archive", (), ()),
        ("archive", ("/srv/a/b",), ("/srv/a", "/srv/a/b", "user microvm-small")),
        ("keep", (), ("/srv/a/b/data.img", "/srv/a", "/srv/a/b", "user microvm-small")),
    ],
)
def test_what_a_removal_leaves_elsewhere_is_named(what: str, full: tuple[str, ...], kept: tuple[str, ...]) -> None:
    record = replace(RUNNING.record or Record("small", "/s"), directories=("/srv/a", "/srv/a/b", "/srv/c"))
    observed = replace(RUNNING, record=record, volumes=("/srv/a/b/data.img",), full_directories=full)
    planned = plan_removal(observed, Removal(what))
    assert planned.kept == kept
    steps = [str(step) for step in planned.steps]
    assert "remove directory /srv/c" in steps
    assert ("remove directory /srv/a/b" in steps) is ("remove user microvm-small" in steps) is (not kept)


def test_undeclared_microvms_can_be_stopped() -> None:
    assert [str(step) for step in plan_stop(RUNNING).steps] == [
        "record small",
        f"systemctl disable {UNIT}",
        f"systemctl stop {UNIT}",
        f"systemctl daemon-reload for {UNIT}",
    ]
    stopped = replace(RUNNING, unit=Unit(), booted=None, record=plan_stop(RUNNING).record)
    assert not plan_stop(stopped).changed


@pytest.mark.parametrize(
    ("before", "state", "after"),
    [
        (None, "started", "started"),
        ("stopped", "restarted", "started"),
        ("started", "stopped", "stopped"),
        ("started", "present", "present"),
        (None, "present", "present"),
        ("present", "started", "started"),
    ],
)
def test_the_record_knows_whether_the_microvm_is_to_run(before: str | None, state: str, after: str | None) -> None:
    observed = replace(RUNNING, record=replace(RUNNING.record or Record("small", "/s"), state=before))
    record = plan(observed, replace(WANTED, state=state), "").record
    assert record and record.state == after


@pytest.mark.parametrize(
    ("before", "state", "after"),
    [("started", "present", "started"), (None, "present", None), ("present", "started", "started")],
)
def test_who_only_installs_leaves_the_recorded_state(before: str | None, state: str, after: str | None) -> None:
    observed = replace(RUNNING, record=replace(RUNNING.record or Record("small", "/s"), state=before))
    record = plan(observed, replace(WANTED, state=state, keeps_state=True), "").record
    assert record and record.state == after


def test_a_pending_restart_is_reported() -> None:
    assert plan(OUTDATED, replace(WANTED, state="present"), "vms[0]").restart_pending
    assert not plan(OUTDATED, WANTED, "vms[0]").restart_pending


POLICIES: dict[str, tuple[dict[str, Any], int, bool]] = {
    "never": ({"restart_policy": "never"}, 0, False),
    "if_changed": ({"restart_policy": "if_changed"}, 0, True),
    "in the window": ({"restart_policy": "window", "restart_window": "02:00-04:00"}, 3 * 60, True),
    "before the window": ({"restart_policy": "window", "restart_window": "02:00-04:00"}, 60, False),
    "in a window over midnight": ({"restart_policy": "window", "restart_window": "22:00-04:00"}, 10, True),
    "after a window over midnight": ({"restart_policy": "window", "restart_window": "22:00-04:00"}, 4 * 60, False),
}


def changed(observed: Observed, minute: int = 0, **options: Any) -> Plan:
    return plan(observed, want({**SMALL, **options}), "vms[0]", Clock(minute))


@pytest.mark.parametrize(("options", "minute", "restarts"), POLICIES.values(), ids=POLICIES.keys())
def test_a_change_restarts_according_to_the_policy(options: dict[str, Any], minute: int, restarts: bool) -> None:
    planned = changed(RUNNING, minute, mem=777, **options)
    assert (planned.consequence == "restart", planned.restart_pending) == (restarts, not restarts)
    assert [str(change) for change in planned.changes] == ["mem (restart)"]


def test_always_restarts_without_a_change() -> None:
    assert [str(step) for step in changed(RUNNING, restart_policy="always").steps] == [f"systemctl restart {UNIT}"]


def test_newer_scripts_around_the_same_restart_nothing() -> None:
    command = WANTED.package.files["share/microvm/command-line"].content.decode() if WANTED.package else ""
    before = replace(RUNNING, current=OLDER, booted=OLDER, booted_command_line=command)
    planned = plan(before, WANTED, "vms[0]")
    assert planned.consequence == "restart pending"
    assert plan(replace(before, booted_command_line="other"), WANTED, "vms[0]").consequence == "restart"


@pytest.mark.parametrize("hypervisor", ["qemu", "cloud-hypervisor", "firecracker", "crosvm"])
def test_a_balloon_is_changed_while_the_guest_runs(hypervisor: str) -> None:
    raw = {**SMALL, "hypervisor": hypervisor, "balloon": True}
    first = want(raw, facts=HostFacts())
    before = carried_out(FRESH, first, plan(FRESH, first, ""))
    second = want({**raw, "initial_balloon_mem": 64}, facts=HostFacts())
    planned = plan(before, second, "")
    assert planned.consequence == "live"
    assert "change live initial_balloon_mem" in [str(step) for step in planned.steps]
    after = carried_out(before, second, planned)
    assert not plan(after, second, "").changed
    assert not plan(after, second, "").restart_pending


@pytest.mark.parametrize(("package", "consequence"), [("other", "restart"), (None, "live")])
def test_nothing_is_changed_live_in_a_guest_that_was_switched_to_another_system(
    package: str | None, consequence: str
) -> None:
    raw = {**SMALL, "balloon": True}
    first = want(raw, facts=HostFacts())
    before = carried_out(FRESH, first, plan(FRESH, first, ""))
    switched = Switched("1" * 32, package or before.booted or "", profile=before.booted)
    record = replace(before.record or Record("small", "/s"), switched=switched)
    before = replace(before, record=record, unit=replace(before.unit, invocation="1" * 32))
    planned = plan(before, want({**raw, "initial_balloon_mem": 64}, facts=HostFacts()), "")
    assert planned.consequence == consequence and not planned.restart_pending


@pytest.mark.parametrize("hypervisor", ["cloud-hypervisor", "crosvm"])
def test_another_argument_beside_the_balloon_s_size_takes_a_restart(hypervisor: str) -> None:
    raw = {**SMALL, "hypervisor": hypervisor, "balloon": True}
    first = want(raw, facts=HostFacts())
    before = carried_out(FRESH, first, plan(FRESH, first, ""))
    before = replace(before, booted_command_line=before.booted_command_line + "--other\n")
    second = want({**raw, "initial_balloon_mem": 64}, facts=HostFacts())
    assert plan(before, second, "").consequence == "restart"


def test_no_volume_shrinks() -> None:
    volume = {"image": "data.img", "size": 100}
    before = carried_out(FRESH, want({**SMALL, "volumes": [volume]}), plan(FRESH, want(SMALL), ""))
    before = replace(before, declared=want({**SMALL, "volumes": [volume]}).declaration)
    with pytest.raises(DeclarationError) as refusal:
        changed(before, volumes=[{**volume, "size": 99}])
    assert refusal.value.path == "vms[0].volumes[0].size"
    assert "set 100 or more" in refusal.value.message
    assert changed(before, volumes=[{**volume, "size": 101}]).consequence == "restart"


def test_changes_that_only_new_volumes_get_are_reported() -> None:
    volume = {"image": "data.img", "size": 100}
    before = replace(RUNNING, booted_declared=want({**SMALL, "volumes": [volume]}).declaration)
    assert changed(before, volumes=[{**volume, "label": "data"}]).recreate == ("volumes[0].label",)


def test_generations_are_numbered_and_the_last_ones_are_kept() -> None:
    observed = RUNNING
    for mem in (600, 601, 602, 603):
        wanted = want({**SMALL, "mem": mem, "keep_generations": 2})
        observed = carried_out(observed, wanted, plan(observed, wanted, ""))
    assert observed.record
    assert [one.number for one in observed.record.generations] == [4, 5]
    assert set(observed.packages) == {one.package for one in observed.record.generations}


def test_a_package_that_is_installed_again_keeps_one_generation() -> None:
    observed = RUNNING
    for mem in (600, 512, 600):
        wanted = want({**SMALL, "mem": mem})
        observed = carried_out(observed, wanted, plan(observed, wanted, ""))
    assert observed.record
    assert [one.number for one in observed.record.generations] == [3, 4]


def test_a_package_that_was_rolled_back_is_not_installed_again() -> None:
    bad = want({**SMALL, "mem": 700})
    assert bad.package
    assert RUNNING.record
    name = bad.package.directory_name
    record = RUNNING.record.with_generation(name).rolled_back_from(name)
    observed = replace(RUNNING, record=record, packages=(*RUNNING.packages, name))
    planned = plan(observed, bad, "")
    assert (planned.steps, planned.refused, planned.restart_pending) == ((), name, False)
    assert plan(observed, want({**SMALL, "mem": 701}), "").consequence == "restart"


def test_the_record_knows_what_is_refused_until_something_else_is_declared_or_it_is_allowed_again() -> None:
    bad = want({**SMALL, "mem": 700})
    assert bad.package and RUNNING.record
    name = bad.package.directory_name
    # Marked by hand: the first run that wants it knows that it is refused.
    record = RUNNING.record.with_generation(name).marked(name, True)
    planned = plan(replace(RUNNING, record=record), bad, "")
    assert [str(step) for step in planned.steps] == ["record small"] and planned.record
    assert planned.record.refused == name and planned.record.refused_generation == Generation(2, name, bad=True)
    back = plan(replace(RUNNING, record=planned.record), WANTED, "").record
    assert back and back.refused is None
    assert planned.record.marked(name, False).refused is None
    assert planned.record.with_generation("another").refused is None


@pytest.mark.parametrize("removes", [False, True])
def test_somebody_else_s_microvm_is_left_alone(removes: bool) -> None:
    observed = Observed("small", exists=True, foreign="/nix/store/x-small")
    with pytest.raises(DeclarationError) as refusal:
        plan_removal(observed, Removal(), "vms[4]") if removes else plan(observed, WANTED, "vms[4]")
    assert refusal.value.path == "vms[4].name"
    assert "/nix/store/x-small" in refusal.value.message


def test_a_closure_is_kept_before_its_guest_starts_and_goes_with_it() -> None:
    path = f"/nix/store/{'0' * 32}-tool"
    share = {"tag": "store", "source": "/nix/store", "mount_point": "/nix/.ro-store"}
    wanted = want({"name": "small", "image": "/images/1", "shares": [share], "store_paths": [path]})
    first = plan(FRESH, wanted, "")
    steps = [str(step) for step in first.steps]
    assert steps.index(f"make GC root of the closure of {path}") < steps.index(f"systemctl start {UNIT}")
    running = carried_out(FRESH, wanted, first)
    assert plan(running, wanted, "").steps == ()
    [closure] = running.closures
    assert f"remove the link of {closure}" in map(str, plan_removal(running, Removal()).steps)


def test_a_closure_goes_with_the_last_package_that_needs_it() -> None:
    paths = [f"/nix/store/{digit * 32}-tool" for digit in "012"]
    share = {"tag": "store", "source": "/nix/store", "mount_point": "/nix/.ro-store"}
    guest = {"name": "small", "image": "/images/1", "shares": [share], "keep_generations": 1}
    now, needed = FRESH, {}
    for path in paths[:2]:
        wanted = want({**guest, "store_paths": [path]})
        planned = plan(now, wanted, "")
        # The package before is what `old` leads to.
        assert not [step for step in planned.steps if step.action is Action.RELEASE_CLOSURE]
        now = carried_out(now, wanted, planned)
        needed[str(now.current)] = frozenset([closure_name([path])])
        now = replace(now, closures_of=needed)
    last = want({**guest, "store_paths": [paths[2]]})
    assert f"remove the link of {closure_name(paths[:1])}" in map(str, plan(now, last, "").steps)
    after = carried_out(now, last, plan(now, last, ""))
    assert after.closures == {closure_name([path]) for path in paths[1:]}
    # Of a package that is damaged, nobody knows what it needs.
    unknown = replace(now, closures_of={})
    assert not [step for step in plan(unknown, last, "").steps if step.action is Action.RELEASE_CLOSURE]


@pytest.mark.parametrize(("group", "consequence"), [("microvm-small", "switch"), ("kvm", "restart")])
def test_a_guest_is_switched_in_place_of_a_restart_unless_its_user_changes(group: str, consequence: str) -> None:
    switch = Switch("switch", "/nix/store/x-system", GuestLogin("192.0.2.1"), waits=False)
    planned = plan(replace(OUTDATED, group=group), replace(WANTED, switch=switch), "")
    assert planned.consequence == consequence and not planned.restart_pending
    impossible = plan(OUTDATED, replace(WANTED, switch=replace(switch, problem="why")), "")
    assert impossible.consequence == "restart"
