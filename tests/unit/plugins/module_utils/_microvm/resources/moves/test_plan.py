# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The planner of moves: each side of a move, by what is there, becomes steps or a refusal."""

from __future__ import annotations

from typing import Callable

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.holds import Hold
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.moves.plan import (
    Plan,
    plan_accepted,
    plan_discarded,
    plan_finished,
    plan_held,
    plan_incoming,
    plan_released,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.moves.state import Observed, VolumeFile

Planner = Callable[[Observed], Plan]

UNIT, OWN_KEY = "microvm@db.service", "ssh-ed25519 OWN"
DATA, LOG = VolumeFile("data.img", 100, 10), VolumeFile("logs/log.img", 100, 10)
LEAVING = Hold("source", "b", enabled=True, running=True)
COMING = Hold("target", "a")
RUNS = Observed("db", is_installed=True, is_up=True, is_running=True, is_enabled=True, volumes=(DATA,))
HELD = Observed("db", hold=LEAVING, is_installed=True, volumes=(DATA,))
EXPECTED = Observed("db", hold=COMING, has_incoming=True, incoming=(DATA, LOG))
ARRIVED = Observed("db", receipt=COMING, is_installed=True, is_up=True, is_running=True, volumes=(DATA,))


def held(observed: Observed) -> Plan:
    return plan_held(observed, "b")


def incoming(observed: Observed) -> Plan:
    return plan_incoming(observed, "a")


def accepted(observed: Observed) -> Plan:
    keys = [OWN_KEY] if observed.incoming_key or observed.recorded_keys else []
    return plan_accepted(observed, "a", ["data.img", "logs/log.img"], keys)


def released(observed: Observed) -> Plan:
    return plan_released(observed, "b")


def discarded(observed: Observed) -> Plan:
    return plan_discarded(observed, "a")


def left(observed: Observed) -> Plan:
    return plan_finished(observed, "b")


def come(observed: Observed) -> Plan:
    return plan_finished(observed, "a")


def with_changes(observed: Observed, **changes: object) -> Observed:
    return Observed(**{**vars(observed), **changes})


STEPS: dict[str, tuple[Planner, Observed, list[str]]] = {
    "a source that runs": (
        held,
        RUNS,
        [
            "keep from starting: db",
            f"systemctl disable {UNIT}",
            f"systemctl stop {UNIT}",
            f"systemctl daemon-reload for {UNIT}",
        ],
    ),
    "a source that may start until it is held": (
        held,
        with_changes(RUNS, is_up=False, is_running=False, is_enabled=False),
        ["keep from starting: db", f"systemctl stop {UNIT}"],
    ),
    "a source that is held": (held, HELD, []),
    "a source that has lost its power": (held, with_changes(HELD, is_up=True), [f"systemctl stop {UNIT}"]),
    "a fresh target": (
        incoming,
        Observed("db"),
        ["keep from starting: db", "create the directory for the volumes of db"],
    ),
    "a target that waits": (incoming, EXPECTED, []),
    "a target whose guest did not come up": (
        incoming,
        ARRIVED,
        [
            "keep from starting: db",
            f"systemctl stop {UNIT}",
            "create the directory for the volumes of db",
            "take out volume data.img",
            "delete the receipt of db",
        ],
    ),
    "copies that are whole": (
        accepted,
        with_changes(EXPECTED, is_installed=True),
        [
            "put into place volume data.img",
            "put into place volume logs/log.img",
            "remove the directory for the volumes of db",
            "let start, with the volumes in place: db",
        ],
    ),
    "copies of which one is in place": (
        accepted,
        with_changes(EXPECTED, is_installed=True, incoming=(LOG,), volumes=(DATA,)),
        [
            "put into place volume logs/log.img",
            "remove the directory for the volumes of db",
            "let start, with the volumes in place: db",
        ],
    ),
    "a host key that has arrived": (
        accepted,
        with_changes(EXPECTED, is_installed=True, incoming=(), volumes=(DATA, LOG), incoming_key="/run/db"),
        [
            "put into place the SSH host key of db",
            "record the SSH host key ssh-ed25519 OWN",
            "remove the directory for the volumes of db",
            "let start, with the volumes in place: db",
        ],
    ),
    "a host key that is recorded": (
        accepted,
        with_changes(EXPECTED, is_installed=True, incoming=(), volumes=(DATA, LOG), recorded_keys=(OWN_KEY,)),
        ["remove the directory for the volumes of db", "let start, with the volumes in place: db"],
    ),
    "a target that has accepted": (accepted, ARRIVED, []),
    "back on the source": (
        released,
        HELD,
        [
            f"systemctl enable {UNIT}",
            f"systemctl daemon-reload for {UNIT}",
            "let start again: db",
            f"systemctl start {UNIT}",
            "delete the receipt of db",
        ],
    ),
    "back on a source that was stopped": (
        released,
        with_changes(HELD, hold=Hold("source", "b")),
        ["let start again: db", "delete the receipt of db"],
    ),
    "back on a source that has not started yet": (
        released,
        with_changes(HELD, hold=None, receipt=LEAVING, is_enabled=True),
        [f"systemctl start {UNIT}", "delete the receipt of db"],
    ),
    "held again before it has started": (
        held,
        with_changes(HELD, hold=None, receipt=LEAVING),
        ["keep from starting: db", f"systemctl stop {UNIT}", "delete the receipt of db"],
    ),
    "back on a source that was never held": (released, RUNS, []),
    "a target that is given up": (
        discarded,
        EXPECTED,
        ["remove the directory for the volumes of db", "delete the hold of db"],
    ),
    "a source without the MicroVM": (left, Observed("db", hold=LEAVING), ["delete the hold of db"]),
    "a target at the end": (come, ARRIVED, ["delete the receipt of db"]),
}


@pytest.mark.parametrize(("planner", "observed", "steps"), STEPS.values(), ids=STEPS.keys())
def test_each_side_has_its_steps_in_order(planner: Planner, observed: Observed, steps: list[str]) -> None:
    assert [str(step) for step in planner(observed).steps] == steps


REFUSALS: dict[str, tuple[Planner, Observed, str]] = {
    "nothing to leave": (held, Observed("db"), "there is no MicroVM 'db'"),
    "a volume elsewhere": (held, with_changes(RUNS, outside=("/srv/db.img",)), "writes to /srv/db.img"),
    "units of an earlier version": (held, with_changes(RUNS, knows_holds=False), "run the role microvm.fleet.host"),
    "a volume behind a link": (held, with_changes(RUNS, irregular=("logs/log.img",)), "regular files: logs/log.img"),
    "a take-back of what has been removed here": (released, Observed("db", hold=LEAVING), "has been removed from this"),
    "a take-back after the end": (released, Observed("db"), "run the move again"),
    "another target": (held, with_changes(HELD, hold=Hold("source", "c")), "being moved to c"),
    "the other direction": (held, with_changes(EXPECTED, is_installed=True), "being moved from a"),
    "a source that is a target": (held, ARRIVED, "being moved from a"),
    "a target that is a source": (incoming, HELD, "being moved to b"),
    "volumes of its own": (incoming, with_changes(RUNS, is_up=False), "of its own with the volumes data.img"),
    "a MicroVM that runs": (incoming, with_changes(RUNS, volumes=()), "a MicroVM 'db' of its own; remove"),
    "a MicroVM that is only installed": (incoming, Observed("db", is_installed=True), "a MicroVM 'db' of its own;"),
    "a MicroVM of the former name": (incoming, Observed("db", replaced="pg"), "'pg' of its own, whose place db would"),
    "a copy that is missing": (
        accepted,
        with_changes(EXPECTED, is_installed=True, incoming=(DATA,)),
        "not arrived: logs/log.img",
    ),
    "no package yet": (accepted, EXPECTED, "is not installed"),
    "nobody expects it": (accepted, with_changes(EXPECTED, hold=None, is_installed=True), "is not expected"),
    "a source that still has it": (left, HELD, "still installed on the source"),
    "a target that still has it": (discarded, with_changes(EXPECTED, is_installed=True), "still installed"),
    "a target that waits": (come, EXPECTED, "has not arrived"),
}


@pytest.mark.parametrize(("planner", "observed", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals_come_before_any_step(planner: Planner, observed: Observed, words: str) -> None:
    with pytest.raises(HostError, match=words):
        planner(observed)


def test_a_hold_remembers_how_the_source_was() -> None:
    assert held(RUNS).hold == LEAVING
    assert held(HELD).hold == LEAVING
    assert held(with_changes(RUNS, is_enabled=False)).hold == Hold("source", "b", running=True)
