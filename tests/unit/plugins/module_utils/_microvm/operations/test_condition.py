# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conditions of MicroVMs by what systemd and the records say."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.lost_shares import LostShares
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Generation, Record
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.condition import condition, worst

UP = Unit("loaded", "active", "running", "enabled")
DOWN = Unit("loaded", "inactive", "dead", "enabled")
MANUAL = Unit("loaded", "inactive", "dead", "disabled")
BROKEN = Unit("loaded", "failed", "failed", "enabled", "start-limit-hit")
HELPER = {"microvm-pci-devices@db.service": Unit("loaded", "failed", "failed", "static", "exit-code")}
NONE: dict[str, Unit] = {}
GENERATIONS = (Generation(4, "0-db"), Generation(9, "1-db", bad=True))


def record(**values: Any) -> Record:
    return Record("db", "/s", GENERATIONS, **values)


REFUSING = record(state="started", refused="1-db")

CASES: dict[str, tuple[Unit, dict[str, Unit], Record | None, bool, str, list[str]]] = {
    "runs as declared": (UP, NONE, record(state="started"), False, "ok", []),
    "stopped as declared": (DOWN, NONE, record(state="stopped"), False, "ok", []),
    "on its way": (Unit("loaded", "activating", "auto-restart"), NONE, record(state="started"), False, "ok", []),
    "nobody says that it runs": (MANUAL, NONE, record(), False, "ok", []),
    "only installed": (DOWN, NONE, record(state="present"), False, "ok", []),
    "only installed, and started by hand": (UP, NONE, record(state="present"), False, "ok", []),
    "only installed, and has failed": (BROKEN, NONE, record(state="present"), False, "failed", ["microvm@db.service"]),
    "of somebody else, stopped": (MANUAL, NONE, None, False, "ok", []),
    "a restart is pending": (UP, NONE, record(state="started"), True, "pending", ["microvm restart db"]),
    "a package is refused": (UP, NONE, REFUSING, False, "refused", ["microvm generations db --good 9"]),
    "refused and pending": (UP, NONE, REFUSING, True, "refused", ["--good 9", "microvm restart db"]),
    "should run": (MANUAL, NONE, record(state="started"), False, "down", ["microvm start db"]),
    "should run, and is refused": (DOWN, NONE, REFUSING, False, "down", ["microvm start db", "--good 9"]),
    "starts with the host": (DOWN, NONE, None, False, "down", ["microvm start db"]),
    "has failed": (BROKEN, NONE, record(state="started"), False, "failed", ["microvm@db.service", "start-limit-hit"]),
    "has failed, and should not run": (BROKEN, NONE, record(state="stopped"), False, "failed", ["microvm@db.service"]),
    "a helper has failed": (DOWN, HELPER, record(state="started"), False, "failed", ["microvm-pci-devices@db.service"]),
}


def test_lost_shares_are_the_cause_of_a_failure() -> None:
    lost = LostShares("0123", "signal")
    failed = condition("db", BROKEN, NONE, record(state="started"), False, lost)
    result = "start-limit-hit, since virtiofsd, which serves its shares, has ended (signal)"
    assert failed.reasons == [f"microvm@db.service has failed ({result}); see: microvm logs db"]
    assert condition("db", UP, NONE, record(state="started"), False, lost).reasons == []


@pytest.mark.parametrize(
    ("unit", "helpers", "recorded", "is_pending", "word", "words"), CASES.values(), ids=CASES.keys()
)
def test_each_condition_has_its_reasons(
    unit: Unit, helpers: dict[str, Unit], recorded: Record | None, is_pending: bool, word: str, words: list[str]
) -> None:
    state = condition("db", unit, helpers, recorded, is_pending)
    assert state.word == word
    text = "\n".join(state.reasons)
    assert [text.find(part) for part in words] == sorted(text.index(part) for part in words)
    assert bool(state.reasons) == bool(words)


def test_the_worst_condition_counts() -> None:
    assert worst([]) == "ok" and worst(["ok", "refused", "pending"]) == "refused"
    assert worst(["down", "ok"]) == "down" and worst(["failed", "down"]) == "failed"
