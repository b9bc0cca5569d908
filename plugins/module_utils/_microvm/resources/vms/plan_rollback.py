# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the way back to a generation that is kept: by request, or since a new package did not come up. Pure."""

from __future__ import annotations

from typing import Iterable, List, Mapping, Optional

from ...declaration.names import unit_name
from ...host.commands import HostError
from ...host.records import Generation, Record
from ..steps import Step
from . import settings
from .actions import Action, Plan, closure_steps, host_key_steps, link_steps, ordered, unit_steps
from .state import Installed, Observed

Packages = Mapping[str, Installed]
"""Packages of generations that are there, by name."""


def plan_rollback(
    observed: Observed, packages: Packages, number: Optional[int], keep: bool, has_failed: bool = False
) -> Plan:
    """Plan the way to generation ``number``, or to the newest older one that is not bad.

    The generation that is left is marked bad, unless ``keep``. A MicroVM that runs is restarted, and one of whose units
    any ``has_failed`` is started; one that was stopped stays so. Raises HostError for what cannot be.
    """
    begin = Action.RESTART if observed.unit.running else Action.START if has_failed else None
    record, current = require_record(observed), observed.current
    present = record.generation(current) if current else None
    if present is not None and number in (None, present.number) and _is_half_done(observed, record):
        _refuse_gone(record, present, packages)
        return _plan(observed, record, packages, present.package, [], begin)
    target = _newest_before(record, present, packages) if number is None else numbered(record, number)
    _refuse(record, target, packages, current)
    if packages[target.package].account.group != observed.group:
        raise HostError(
            f"{record.name}: generation {target.number} runs as another user (isolation); change the declaration"
        )
    # A way forward says nothing of the generation that is left.
    is_back = present is not None and target.number < present.number
    if present is None or present.bad or keep or not is_back:
        return _plan(observed, record, packages, target.package, [], begin)
    marked = record.rolled_back_from(present.package)
    return _plan(observed, marked, packages, target.package, [_mark(Action.MARK_BAD, present)], begin)


def plan_fallback(observed: Observed, failed: Plan, packages: Packages) -> Optional[Plan]:
    """Plan the way back from a package that did not come up to the one before; ``None`` where there is none that the
    same account runs."""
    # A package that waited for its start, or whose run was killed after the link, is current already.
    previous = failed.booted if failed.previous == failed.package else failed.previous
    record = failed.record
    if record is None or failed.package is None or previous in (None, failed.package) or previous not in packages:
        return None
    if record.is_bad(previous):
        return None
    if packages[previous].account.group != observed.group or packages[previous].problem:
        return None
    generation = record.generation(failed.package)
    marks = [_mark(Action.MARK_FAILED, generation)] if generation else []
    return _plan(observed, record.rolled_back_from(failed.package), packages, previous, marks, Action.RESTART)


def plan_marking(observed: Observed, number: int, bad: bool) -> Plan:
    """Plan that a generation is marked bad, or good again. Raises HostError for one that is not there."""
    record = require_record(observed)
    generation = numbered(record, number)
    steps = [] if generation.bad == bad else [_mark(Action.MARK_BAD if bad else Action.MARK_GOOD, generation)]
    marked = record.marked(generation.package, bad)
    return Plan(observed.name, ordered(steps), observed.current, observed.current, record=marked)


def _plan(
    observed: Observed,
    record: Record,
    packages: Packages,
    package: str,
    marks: List[Step[Action]],
    begin: Optional[Action],
) -> Plan:
    installed = packages[package]
    drop_ins = settings.drop_ins(installed.drop_ins, record.unit_settings, record.dependencies, installed.needs)
    gifts = [*host_key_steps(observed, installed.gives_host_key), *closure_steps(observed, installed.store_paths)]
    marks = [*marks, *gifts]
    steps = [*marks, *link_steps(observed, package), *unit_steps(observed, drop_ins)]
    if begin is not None:
        steps.append(Step(begin, unit_name(observed.name)))
    return Plan(observed.name, ordered(steps), package, observed.current, record=record, drop_ins=drop_ins)


def _mark(action: Action, generation: Generation) -> Step[Action]:
    return Step(action, f"generation {generation.number}")


def _refuse(record: Record, target: Generation, packages: Packages, current: Optional[str]) -> None:
    if target.package == current:
        raise HostError(f"{record.name}: generation {target.number} is already current")
    if target.bad:
        raise HostError(
            f"{record.name}: generation {target.number} is marked bad; to return to it anyway, mark it good first: "
            f"microvm generations {record.name} --good {target.number}"
        )
    _refuse_gone(record, target, packages)


def _refuse_gone(record: Record, generation: Generation, packages: Packages) -> None:
    number, package = generation.number, generation.package
    if package not in packages:
        raise HostError(
            f"{record.name}: the package {package} of generation {number} no longer exists, or is damaged "
            "(microvm gc --verify)"
        )
    if packages[package].problem:
        raise HostError(f"{record.name}: generation {number}: {packages[package].problem}")


def _is_half_done(observed: Observed, record: Record) -> bool:
    """Return whether the MicroVM still runs a package that a killed rollback was to leave."""
    package = observed.guest.package if observed.guest is not None else None
    running = record.generation(package) if package is not None else None
    return observed.unit.running and package != observed.current and running is not None and running.bad


def require_record(observed: Observed) -> Record:
    """Return the record of a MicroVM. Raises HostError for one that is not there, or not ours."""
    if observed.record is None:
        if observed.foreign or observed.current:
            raise HostError(
                f"{observed.name} was not installed by this collection, so its generations are not known; "
                "roll it back with the tool that installed it"
            )
        raise HostError(f"there is no MicroVM {observed.name!r} on this host; see: microvm list")
    return observed.record


def numbered(record: Record, number: int) -> Generation:
    """Return a generation by its number. Raises HostError for a number that none has."""
    generation = record.numbered(number)
    if generation is None:
        numbers = ", ".join(str(generation.number) for generation in record.generations) or "none"
        raise HostError(f"{record.name} has no generation {number}; its generations are: {numbers}")
    return generation


def _newest_before(record: Record, present: Optional[Generation], packages: Iterable[str]) -> Generation:
    names = set(packages)
    older = [
        generation
        for generation in record.generations
        if not generation.bad
        and generation.package in names
        and (present is None or generation.number < present.number)
    ]
    if not older:
        raise HostError(
            f"{record.name} has no older generation that is installed and not bad; "
            f"see: microvm generations {record.name}"
        )
    return max(older, key=lambda generation: generation.number)
