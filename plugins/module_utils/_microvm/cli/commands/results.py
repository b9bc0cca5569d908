# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Print results of runs."""

from __future__ import annotations

from difflib import unified_diff
from typing import Iterator, Optional

from ...operations.report import VmResult, VmsResult
from ...resources.diffs import Diff
from ...resources.vms.actions import Plan
from ..output import complain, say


def print_outcome(outcome: VmsResult, check: bool, diff: bool = False) -> int:
    """Say what was done, or with ``check`` would be, of each MicroVM; returns the exit status."""
    if diff:
        for difference in outcome["diff"]:
            say("".join(_diff(difference)).rstrip("\n"))
    for warning in outcome["warnings"]:
        complain(f"microvm: {warning}")
    status = 0
    for vm in outcome["vms"]:
        for line in _lines(vm, check):
            say(line)
        if vm["failed"]:
            complain(f"microvm: {vm['name']}: {vm['msg']}")
            status = 1
    return status


def print_plan(plan: Plan, what: str, check: bool, diff: Optional[Diff] = None) -> None:
    """Say what was done with a MicroVM, or with ``check`` would be, and its steps; ``what`` is a participle."""
    if diff is not None and plan.changed:
        say("".join(_diff(diff)).rstrip("\n"))
    if not plan.changed:
        say(f"{plan.name}: unchanged")
        return
    say(f"{plan.name}: {'would be ' if check else ''}{what}, {plural(len(plan.steps), 'step')}")
    for step in plan.steps:
        say(f"  {step}")


def _diff(difference: Diff) -> Iterator[str]:
    before, after = (text.splitlines(keepends=True) for text in (difference["before"], difference["after"]))
    return unified_diff(before, after, difference["before_header"], difference["after_header"])


def _lines(vm: VmResult, check: bool) -> Iterator[str]:
    generation = f", generation {vm['generation']}" if vm["generation"] else ""
    ready = f", up after {vm['ready_after']} s" if vm["changed"] and vm["ready_after"] is not None else ""
    yield f"{vm['name']}: {_word(vm, check)}{generation}{ready}"
    for action in vm["actions"]:
        yield f"  {action}"
    if vm["changed"]:
        yield f"  for the guest: {vm['consequence']}"
    if vm["restart_pending"]:
        yield f"  a restart is pending: microvm restart {vm['name']}"
    if vm["refused_package"]:
        yield f"  {vm['refused_package']} is marked bad and not installed; see: microvm generations {vm['name']}"
    if vm["kept"]:
        yield f"  kept: {', '.join(vm['kept'])}"


def _word(vm: VmResult, check: bool) -> str:
    if vm["failed"]:
        return "rolled back" if vm["rolled_back"] else "failed"
    if not vm["changed"]:
        return "unchanged"
    return "would be changed" if check else "changed"


def plural(count: int, word: str) -> str:
    """A number of things."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
