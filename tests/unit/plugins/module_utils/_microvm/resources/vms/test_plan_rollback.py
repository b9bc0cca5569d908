# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the generation that a rollback selects, and of its refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Generation, Record
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.actions import Plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.plan_rollback import (
    plan_fallback,
    plan_marking,
    plan_rollback,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import Installed, Observed

RECORD = Record("web", "/s", (Generation(1, "a"), Generation(2, "b", bad=True), Generation(3, "c"), Generation(4, "d")))
OBSERVED = Observed(
    "web",
    record=RECORD,
    current="d",
    booted="d",
    group="microvm",
    unit=Unit(active_state="active"),
    state_directory="/s",
)


def packages(names: str) -> dict[str, Installed]:
    """Packages that are there."""
    return {name: Installed(name) for name in names}


ALL = packages("abcd")


def planned_actions(plan: Plan) -> list[str]:
    return [step.action.name for step in plan.steps]


def test_a_rollback_goes_to_the_newest_older_generation_that_is_not_bad() -> None:
    plan = plan_rollback(OBSERVED, ALL, None, False)
    assert plan.generation == 3
    assert plan.record and [one.number for one in plan.record.generations if one.bad] == [2, 4]
    assert [str(step) for step in plan.steps] == [
        "mark bad generation 4",
        "link old d",
        "link current c",
        "systemctl restart microvm@web.service",
    ]
    # The bad one is left out, and so is one that is gone.
    assert plan_rollback(replace(OBSERVED, current="c"), ALL, None, False).generation == 1
    assert plan_rollback(OBSERVED, packages("ad"), None, False).generation == 1


def test_drop_ins_of_the_package_are_part_of_the_plan() -> None:
    older = {**ALL, "c": Installed("c", drop_ins={"microvm@.service": "[Service]\nMemoryMax=1M\n"})}
    observed = replace(OBSERVED, drop_ins={"microvm@.service": "x", "microvm-virtiofsd@.service": "y"})
    plan = plan_rollback(observed, older, None, False)
    assert [str(step) for step in plan.steps][3:] == [
        "write unit settings microvm@web.service",
        "remove unit settings microvm-virtiofsd@web.service",
        "systemctl daemon-reload for microvm@web.service",
        "systemctl restart microvm@web.service",
    ]
    assert plan.drop_ins == {"microvm@.service": "[Service]\nMemoryMax=1M\n"}


def test_a_rollback_by_number_can_leave_the_generation_unmarked() -> None:
    plan = plan_rollback(replace(OBSERVED, unit=Unit()), ALL, 1, True)
    assert plan.generation == 1 and plan.record == RECORD
    assert planned_actions(plan) == ["LINK_OLD", "LINK_CURRENT"]


def test_a_way_forward_marks_nothing() -> None:
    plan = plan_rollback(replace(OBSERVED, current="a"), ALL, 4, False)
    assert plan.generation == 4 and plan.record == RECORD


def test_a_killed_rollback_is_completed_and_goes_back_no_further() -> None:
    """The record and the link are there, and what was left still runs."""
    killed = replace(OBSERVED, current="c", record=RECORD.marked("d", True))
    for number in (None, 3):
        plan = plan_rollback(killed, ALL, number, False)
        assert plan.generation == 3
        assert planned_actions(plan) == ["RESTART"]
    assert plan_rollback(replace(killed, booted="c"), ALL, None, False).generation == 1


def test_a_killed_rollback_whose_package_is_gone_is_refused() -> None:
    killed = replace(OBSERVED, current="c", record=RECORD.marked("d", True))
    with pytest.raises(HostError, match="the package c of generation 3 no longer exists"):
        plan_rollback(killed, packages("abd"), None, False)


def test_a_generation_of_another_user_is_refused() -> None:
    with pytest.raises(HostError, match="another user"):
        plan_rollback(replace(OBSERVED, group="microvm-web"), ALL, None, False)


def failed_plan(package: str, previous: str | None) -> Plan:
    return Plan("web", (), package, previous, record=RECORD)


def test_a_fallback_marks_the_failed_package_after_the_links() -> None:
    plan = plan_fallback(OBSERVED, failed_plan("d", "c"), ALL)
    assert plan and planned_actions(plan) == ["LINK_OLD", "LINK_CURRENT", "MARK_FAILED", "RESTART"]
    assert plan.record and plan.record.is_bad("d")
    down = plan_fallback(replace(OBSERVED, unit=Unit()), failed_plan("d", "c"), ALL)
    assert down and planned_actions(down)[-1] == "RESTART"


@pytest.mark.parametrize(
    ("failed", "installed", "group"),
    [
        (failed_plan("d", None), ALL, "microvm"),
        (failed_plan("d", "d"), ALL, "microvm"),
        (replace(failed_plan("d", "d"), booted="d"), ALL, "microvm"),
        (replace(failed_plan("d", "d"), booted="c", record=RECORD.marked("c", True)), ALL, "microvm"),
        (failed_plan("d", "c"), packages("abd"), "microvm"),
        (failed_plan("d", "c"), ALL, "microvm-web"),
    ],
    ids=[
        "no package before",
        "the same package",
        "the same package runs",
        "a bad package runs",
        "a package that is gone",
        "another user",
    ],
)
def test_no_fallback_is_planned_without_an_earlier_package(
    failed: Plan, installed: dict[str, Installed], group: str
) -> None:
    assert plan_fallback(replace(OBSERVED, group=group), failed, installed) is None


def test_marking_is_a_plan_of_one_step_or_none() -> None:
    assert [str(step) for step in plan_marking(OBSERVED, 4, True).steps] == ["mark bad generation 4"]
    assert [str(step) for step in plan_marking(OBSERVED, 2, False).steps] == ["mark good generation 2"]
    assert not plan_marking(OBSERVED, 2, True).changed
    with pytest.raises(HostError, match="no generation 9"):
        plan_marking(OBSERVED, 9, True)


@pytest.mark.parametrize(
    ("observed", "installed", "number", "message"),
    [
        (OBSERVED, ALL, 9, "has no generation 9; its generations are: 1, 2, 3, 4"),
        (OBSERVED, ALL, 4, "generation 4 is already current"),
        (OBSERVED, ALL, 2, "generation 2 is marked bad; .*generations web --good 2"),
        (OBSERVED, packages("d"), 3, "the package c of generation 3 no longer exists"),
        (OBSERVED, packages("d"), None, "no older generation"),
        (replace(OBSERVED, current="a"), ALL, None, "no older generation"),
        (Observed("web"), {}, None, "there is no MicroVM 'web'"),
        (Observed("web", foreign="/nix/store/x"), {}, None, "was not installed by this collection"),
    ],
)
def test_refusals_name_the_reason(
    observed: Observed, installed: dict[str, Installed], number: int | None, message: str
) -> None:
    with pytest.raises(HostError, match=message):
        plan_rollback(observed, installed, number, False)


def test_no_way_leads_to_a_package_that_the_host_does_not_accept() -> None:
    closed = {**ALL, "c": Installed("c", problem="it may not")}
    for number in (None, 3):
        with pytest.raises(HostError, match="web: generation 3: it may not"):
            plan_rollback(OBSERVED, closed, number, False)
    half_done = replace(OBSERVED, current="c", record=RECORD.marked("d", True))
    with pytest.raises(HostError, match="it may not"):
        plan_rollback(half_done, closed, None, False)
    failed = Plan("web", (), package="d", previous="c", record=RECORD)
    assert plan_fallback(OBSERVED, failed, ALL) is not None
    assert plan_fallback(OBSERVED, failed, closed) is None
