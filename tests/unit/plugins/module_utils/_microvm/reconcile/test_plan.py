# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The planner: what is and what is wanted become steps."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.errors import DeclarationError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.interface import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.reconcile.plan import plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.reconcile.state import Observed, Wanted
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render

from ..examples import SMALL, parse

DECLARATION = parse(SMALL)[0]
PACKAGE = render(DECLARATION, HostFacts(accel="tcg"))
NEW = PACKAGE.directory_name
OLDER, OLDEST = "0" * 32 + "-small", "1" * 32 + "-small"
UP = Unit("loaded", "active", "running", "enabled")
DOWN = Unit("loaded", "inactive", "dead", "enabled")
LINKS = ("booted", "current")
RUNNING: dict[str, Any] = {
    "exists": True,
    "current": NEW,
    "booted": NEW,
    "packages": (NEW,),
    "unit": UP,
    "entries": LINKS,
}
OUTDATED: dict[str, Any] = {
    "exists": True,
    "current": OLDER,
    "booted": OLDER,
    "packages": (OLDER,),
    "unit": UP,
    "entries": LINKS,
}
UNIT = "microvm@small.service"

CASES: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "a fresh host": (
        {},
        "started",
        [
            f"install package {NEW}",
            "create state directory small",
            f"link current {NEW}",
            f"systemctl enable {UNIT}",
            f"systemctl start {UNIT}",
        ],
    ),
    "nothing to do": (RUNNING, "started", []),
    "stopped again": ({**RUNNING, "booted": None, "unit": DOWN}, "stopped", []),
    "stopped by the loss of power": ({**RUNNING, "unit": DOWN}, "stopped", [f"systemctl stop {UNIT}"]),
    "settings that systemd has not read": (
        {**RUNNING, "unit": Unit("loaded", "active", "running", "enabled", stale=True)},
        "started",
        [f"read unit settings {UNIT}"],
    ),
    "stop": (RUNNING, "stopped", [f"systemctl stop {UNIT}"]),
    "start": ({**RUNNING, "booted": None, "unit": DOWN}, "started", [f"systemctl start {UNIT}"]),
    "start after a failure": (
        {**RUNNING, "booted": None, "unit": Unit("loaded", "failed", "failed", "enabled", "exit-code")},
        "started",
        [f"systemctl start {UNIT}"],
    ),
    "restart": (RUNNING, "restarted", [f"systemctl restart {UNIT}"]),
    "a changed package": (
        OUTDATED,
        "started",
        [f"install package {NEW}", f"link old {OLDER}", f"link current {NEW}", f"systemctl restart {UNIT}"],
    ),
    "a changed package that waits": (
        OUTDATED,
        "present",
        [f"install package {NEW}", f"link old {OLDER}", f"link current {NEW}"],
    ),
    "a run that was killed before its restart": (
        {**RUNNING, "booted": OLDER, "old": OLDER, "packages": (OLDER, NEW)},
        "started",
        [f"systemctl restart {UNIT}"],
    ),
    "packages that nothing refers to": (
        {**RUNNING, "old": OLDER, "packages": (OLDER, OLDEST, NEW)},
        "started",
        [f"remove package {OLDEST}"],
    ),
    "removal": (
        {
            **RUNNING,
            "entries": ("booted", "current", "data.img", "small.sock", "x.img.partial"),
            "sockets": ("small.sock",),
        },
        "absent",
        [
            f"systemctl disable {UNIT}",
            f"systemctl stop {UNIT}",
            "remove small/booted",
            "remove small/current",
            "remove small/small.sock",
            "remove small/x.img.partial",
            f"remove package {NEW}",
        ],
    ),
    "removal of one without data": (
        {**RUNNING, "booted": None, "unit": DOWN, "entries": ("current",)},
        "absent",
        [f"systemctl disable {UNIT}", "remove small/current", "remove state directory small", f"remove package {NEW}"],
    ),
    "removal of what is not there": ({}, "absent", []),
}


def wanted(state: str) -> Wanted:
    return Wanted(DECLARATION, state, None if state == "absent" else PACKAGE, None)


@pytest.mark.parametrize(("observed", "state", "steps"), CASES.values(), ids=CASES.keys())
def test_steps(observed: dict[str, Any], state: str, steps: list[str]) -> None:
    assert [str(step) for step in plan(Observed("small", **observed), wanted(state), "vms[0]").steps] == steps


def test_volumes_are_kept_and_named() -> None:
    observed = Observed("small", **{**RUNNING, "entries": ("current", "data.img")})
    assert plan(observed, wanted("absent"), "vms[0]").kept == ("data.img",)


def test_a_pending_restart_is_told() -> None:
    assert plan(Observed("small", **OUTDATED), wanted("present"), "vms[0]").restart_pending
    assert not plan(Observed("small", **OUTDATED), wanted("started"), "vms[0]").restart_pending


@pytest.mark.parametrize("state", ["started", "absent"])
def test_somebody_else_s_microvm_is_left_alone(state: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        plan(Observed("small", exists=True, foreign="/nix/store/x-small"), wanted(state), "vms[4]")
    assert refusal.value.path == "vms[4].name"
    assert "/nix/store/x-small" in refusal.value.message
