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


def tell(outcome: VmsResult, check: bool, diff: bool = False) -> int:
    """Say what was done, or with ``check`` would be, of each MicroVM; returns the exit status."""
    if diff:
        for difference in outcome["diff"]:
            say("".join(_diff(difference)).rstrip("\n"))
    status = 0
    for one in outcome["vms"]:
        for line in _lines(one, check):
            say(line)
        if one["failed"]:
            complain(f"microvm: {one['name']}: {one['msg']}")
            status = 1
    return status


def show(plan: Plan, what: str, check: bool, diff: Optional[Diff] = None) -> None:
    """Say what was done with a MicroVM, or with ``check`` would be, and its steps; ``what`` is a participle."""
    if diff is not None and plan.changed:
        say("".join(_diff(diff)).rstrip("\n"))
    if not plan.changed:
        say(f"{plan.name}: unchanged")
        return
    say(f"{plan.name}: {'would be ' if check else ''}{what}, {plural(len(plan.steps), 'step')}")
    for step in plan.steps:
        say(f"  {step}")


def _diff(one: Diff) -> Iterator[str]:
    before, after = (text.splitlines(keepends=True) for text in (one["before"], one["after"]))
    return unified_diff(before, after, one["before_header"], one["after_header"])


def _lines(one: VmResult, check: bool) -> Iterator[str]:
    generation = f", generation {one['generation']}" if one["generation"] else ""
    ready = f", up after {one['ready_after']} s" if one["changed"] and one["ready_after"] is not None else ""
    yield f"{one['name']}: {_word(one, check)}{generation}{ready}"
    for action in one["actions"]:
        yield f"  {action}"
    if one["changed"]:
        yield f"  for the guest: {one['consequence']}"
    if one["restart_pending"]:
        yield f"  a restart is pending: microvm restart {one['name']}"
    if one["refused_package"]:
        yield f"  {one['refused_package']} is marked bad and not installed; see: microvm generations {one['name']}"
    if one["kept"]:
        yield f"  kept: {', '.join(one['kept'])}"


def _word(one: VmResult, check: bool) -> str:
    if one["failed"]:
        return "rolled back" if one["rolled_back"] else "failed"
    if not one["changed"]:
        return "unchanged"
    return "would be changed" if check else "changed"


def plural(count: int, word: str) -> str:
    """A number of things."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
