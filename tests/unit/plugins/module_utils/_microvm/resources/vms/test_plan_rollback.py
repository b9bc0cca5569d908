# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which generation a rollback goes to, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Generation, Record
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.plan_rollback import plan_rollback
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import Observed

RECORD = Record("web", "/s", (Generation(1, "a"), Generation(2, "b", bad=True), Generation(3, "c"), Generation(4, "d")))
OBSERVED = Observed("web", record=RECORD, current="d", booted="d", unit=Unit(active_state="active"))
ALL = ("a", "b", "c", "d")


def test_to_the_newest_older_one_that_is_not_bad() -> None:
    done = plan_rollback(OBSERVED, ALL, None, False)
    assert done.target.number == 3 and done.restart
    assert [one.number for one in done.record.generations if one.bad] == [2, 4]
    assert [str(step) for step in done.steps] == [
        "record generation 4 of web as bad",
        "link old d",
        "link current c",
        "read unit settings microvm@web.service",
        "systemctl restart microvm@web.service",
    ]
    # The bad one is left out, and so is one that is gone.
    assert plan_rollback(replace(OBSERVED, current="c"), ALL, None, False).target.number == 1
    assert plan_rollback(OBSERVED, ("a", "d"), None, False).target.number == 1


def test_by_number_and_without_a_mark() -> None:
    done = plan_rollback(replace(OBSERVED, unit=Unit()), ALL, 1, True)
    assert done.target.number == 1 and done.marked is None and done.record == RECORD and not done.restart


def test_forward_again_marks_nothing() -> None:
    done = plan_rollback(replace(OBSERVED, current="a"), ALL, 4, False)
    assert done.target.number == 4 and done.marked is None


def test_one_that_was_killed_is_completed() -> None:
    """The record and the link are there, and what was left still runs: it does not go back further."""
    killed = replace(OBSERVED, current="c", record=RECORD.marked("d", True))
    for number in (None, 3):
        done = plan_rollback(killed, ALL, number, False)
        assert done.target.number == 3 and done.completes and done.restart
        assert [step.action.name for step in done.steps] == ["READ_SETTINGS", "RESTART"]
    assert plan_rollback(replace(killed, booted="c"), ALL, None, False).target.number == 1


@pytest.mark.parametrize(
    ("observed", "installed", "number", "message"),
    [
        (OBSERVED, ALL, 9, "has no generation 9; kept are: 1, 2, 3, 4"),
        (OBSERVED, ALL, 4, "generation 4 is the current one already"),
        (OBSERVED, ALL, 2, "generation 2 is marked bad; .*generations web --good 2"),
        (OBSERVED, ("d",), 3, "the package c of generation 3 is gone"),
        (OBSERVED, ("d",), None, "no older generation"),
        (replace(OBSERVED, current="a"), ALL, None, "no older generation"),
        (Observed("web"), (), None, "there is no MicroVM 'web'"),
        (Observed("web", foreign="/nix/store/x"), (), None, "was not installed by this collection"),
    ],
)
def test_refusals_say_why(observed: Observed, installed: tuple[str, ...], number: int | None, message: str) -> None:
    with pytest.raises(HostError, match=message):
        plan_rollback(observed, installed, number, False)
