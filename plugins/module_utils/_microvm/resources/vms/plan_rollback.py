# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Back to a generation that is kept: what that means. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Collection, Optional, Tuple

from ...declaration.names import unit_name
from ...host.commands import HostError
from ...host.records import Generation, Record
from ..steps import Step
from .plan import Action
from .state import Observed


@dataclass(frozen=True)
class Rollback:
    """All that changes."""

    target: Generation
    previous: Optional[str]
    """The package that ``current`` leads to before."""
    record: Record
    """What will be recorded."""
    restart: bool
    marked: Optional[Generation] = None
    """The generation that is marked bad, where one is."""
    completes: bool = False
    """Whether an earlier run was killed after the link, and only the rest is to be done."""

    @property
    def steps(self) -> Tuple[Step[Action], ...]:
        """In the order in which they are carried out."""
        name, marked = self.record.name, self.marked
        steps = [Step(Action.RECORD, f"generation {marked.number} of {name} as bad")] if marked else []
        if not self.completes:
            steps += [Step(Action.LINK_OLD, self.previous)] if self.previous else []
            steps += [Step(Action.LINK_CURRENT, self.target.package)]
        steps += [Step(Action.READ_SETTINGS, unit_name(name))]
        return (*steps, *([Step(Action.RESTART, unit_name(name))] if self.restart else []))


def plan_rollback(observed: Observed, installed: Collection[str], number: Optional[int], keep: bool) -> Rollback:
    """To generation ``number``, or to the newest older one that is not bad; ``keep`` leaves the present one unmarked.

    ``installed`` are the packages of generations that are there. Raises HostError for what cannot be.
    """
    record, current = recorded(observed), observed.current
    present = record.generation(current) if current else None
    if present is not None and number in (None, present.number) and _is_half_done(observed, record):
        return Rollback(present, current, record, observed.unit.running, completes=True)
    target = _newest_before(record, present, installed) if number is None else numbered(record, number)
    if target.package == current:
        raise HostError(f"{record.name}: generation {target.number} is the current one already")
    if target.bad:
        raise HostError(
            f"{record.name}: generation {target.number} is marked bad; if it is not, say so first: "
            f"microvm generations {record.name} --good {target.number}"
        )
    if target.package not in installed:
        raise HostError(f"{record.name}: the package {target.package} of generation {target.number} is gone")
    # Who goes forward again does not say that what is left is bad.
    is_back = present is not None and target.number < present.number
    marked = present if is_back and not keep and present and not present.bad else None
    after = record.marked(marked.package, True) if marked else record
    return Rollback(target, current, after, observed.unit.running, marked)


def _is_half_done(observed: Observed, record: Record) -> bool:
    """Whether what still runs was left by a rollback that was killed."""
    booted = record.generation(observed.booted) if observed.booted else None
    return observed.unit.running and observed.booted != observed.current and booted is not None and booted.bad


def recorded(observed: Observed) -> Record:
    """Its record. Raises HostError for a MicroVM that is not there, or not ours."""
    if observed.record is None:
        if observed.foreign or observed.current:
            raise HostError(
                f"{observed.name} was not installed by this collection, and no generations of it are known; "
                "go back in the way in which it was installed"
            )
        raise HostError(f"there is no MicroVM {observed.name!r} on this host; see: microvm list")
    return observed.record


def numbered(record: Record, number: int) -> Generation:
    """One of the generations. Raises HostError for a number that none has."""
    found = record.numbered(number)
    if found is None:
        known = ", ".join(str(one.number) for one in record.generations) or "none"
        raise HostError(f"{record.name} has no generation {number}; kept are: {known}")
    return found


def _newest_before(record: Record, present: Optional[Generation], installed: Collection[str]) -> Generation:
    older = [
        one
        for one in record.generations
        if not one.bad and one.package in installed and (present is None or one.number < present.number)
    ]
    if not older:
        raise HostError(
            f"{record.name} has no older generation that is installed and not bad; "
            f"see: microvm generations {record.name}"
        )
    return max(older, key=lambda one: one.number)
