# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that carries plans out at once and without error: what is observed after it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.guest_store import closure_name
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms import settings
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.actions import Action, Plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.changes import normal
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import Observed, Wanted
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.package import COMMAND_LINE_FILE
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render

from ...examples import parse

FACTS = HostFacts(accel="tcg")


def want(raw: dict[str, Any], state: str = "started", facts: HostFacts = FACTS) -> Wanted:
    """A declaration as the planner takes it."""
    declaration = parse(raw)[0]
    package = render(declaration, facts)
    return Wanted(
        declaration,
        state,
        package,
        settings.host_unit_settings(declaration),
        settings.environment(declaration),
        settings.host_dependencies(declaration),
    )


def carried_out(before: Observed, wanted: Wanted, planned: Plan) -> Observed:
    """Return what is observed when the steps of a plan have been carried out."""
    after = before
    for step in planned.steps:
        after = _one(after, wanted, planned, step.action, step.target)
    # Where nothing runs, the declaration to compare with is that of the current package.
    return after if after.booted else replace(after, booted_declared=after.declared, booted_command_line="")


def _one(now: Observed, wanted: Wanted, planned: Plan, action: Action, target: str) -> Observed:
    package = wanted.package
    assert package is not None
    command_line = package.files[COMMAND_LINE_FILE].content.decode()
    running = {"booted": now.current, "booted_declared": now.declared, "booted_command_line": command_line}
    packages = set(now.packages)
    template = target.replace(f"@{now.name}", "@")
    effects: dict[Action, dict[str, Any]] = {
        Action.RECORD: {"record": planned.record},
        Action.CREATE_ACCOUNT: {"has_account": True},
        Action.INSTALL_PACKAGE: {"packages": tuple(sorted({*packages, target}))},
        Action.KEEP_PACKAGE: {"roots": (*now.roots, target), "collectable": now.collectable - {target}},
        Action.RELEASE_PACKAGE: {"roots": tuple(root for root in now.roots if root != target)},
        Action.KEEP_CLOSURE: {"closures": now.closures | {closure_name(target.split(" "))}},
        Action.RELEASE_CLOSURE: {"closures": now.closures - {target}},
        Action.CREATE_STATE: {"exists": True, "group": wanted.account.group},
        Action.OWN_STATE: {"group": wanted.account.group},
        Action.CREATE_DIRECTORY: {"missing_directories": ()},
        Action.LINK_OLD: {"old": target},
        Action.LINK_CURRENT: {"current": target, "declared": normal(wanted.declaration)},
        Action.WRITE_ENVIRONMENT: {"environment": wanted.environment},
        Action.WRITE_BOOT_DIRECTORIES: {"boot_directories": planned.boot_directories},
        Action.REMOVE_BOOT_DIRECTORIES: {"boot_directories": None},
        Action.WRITE_UNIT_SETTINGS: {"drop_ins": {**now.drop_ins, template: planned.drop_ins.get(template, "")}},
        Action.REMOVE_UNIT_SETTINGS: {"drop_ins": {key: text for key, text in now.drop_ins.items() if key != template}},
        Action.READ_UNIT_SETTINGS: {"unit": replace(now.unit, stale=False)},
        Action.ENABLE: {"unit": replace(now.unit, unit_file_state="enabled")},
        Action.DISABLE: {"unit": replace(now.unit, unit_file_state="disabled")},
        Action.CHANGE_LIVE: running,
        Action.START: {**running, "unit": _up(now.unit)},
        Action.RESTART: running,
        Action.STOP: {"booted": None, "booted_declared": now.declared, "unit": _down(now.unit)},
        Action.REMOVE_PACKAGE: {"packages": tuple(sorted(packages - {target}))},
    }
    return replace(now, **effects[action])


def _up(unit: Unit) -> Unit:
    return replace(unit, active_state="active", sub_state="running")


def _down(unit: Unit) -> Unit:
    return replace(unit, active_state="inactive", sub_state="dead")
