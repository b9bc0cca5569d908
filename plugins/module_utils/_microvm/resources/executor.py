# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The executor: carries out the steps of plans, of any kind, by a table from action to handler.

Nothing else changes a host on behalf of a plan. So what check mode shows, what a diff shows and what is done are the
same steps in the same order.
"""

from __future__ import annotations

import concurrent.futures
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import (
    Any,
    Callable,
    Dict,
    FrozenSet,
    Generic,
    List,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    Type,
    TypeVar,
)

from ..host.commands import HostError
from .steps import ActionType, Phase, Step


class Job(Protocol):
    """A plan to carry out, and its subject."""

    @property
    def name(self) -> str:
        """Name of the subject, for outcomes."""

    @property
    def steps(self) -> Sequence[Step[Any]]:
        """Steps of the plan, in the order of their actions."""


JobType = TypeVar("JobType", bound=Job)

Handler = Callable[[JobType, str], object]
"""Carries out one step of a job, given the step's target."""

GroupHandler = Callable[[Sequence[Tuple[JobType, str]]], object]
"""Carries out all steps of an action at once, given the jobs and the targets."""


@dataclass(frozen=True)
class Handlers(Generic[JobType, ActionType]):
    """Table from action to handler. Raises ValueError for an action that has no handler, or one of the wrong phase."""

    actions: Type[ActionType]
    single: Mapping[ActionType, Handler[JobType]]
    """Handlers of the actions that are carried out alone or in parallel."""
    together: Mapping[ActionType, GroupHandler[JobType]] = field(default_factory=dict)
    separable: FrozenSet[ActionType] = frozenset()
    """Actions that are tried for each job alone where the call for all fails, which may be the fault of one of them."""

    def __post_init__(self) -> None:
        expected = {action: action.phase is Phase.TOGETHER for action in self.actions}
        actual = {**dict.fromkeys(self.single, False), **dict.fromkeys(self.together, True)}
        if actual != expected:
            wrong = sorted(str(action) for action in self.actions if actual.get(action) != expected[action])
            raise ValueError(f"no handler, or one of the wrong phase: {', '.join(wrong)}")


@dataclass
class Outcome(Generic[ActionType]):
    """Result of one job."""

    error: Optional[str] = None
    """Reason why the rest of its steps was left out."""
    done: List[Step[ActionType]] = field(default_factory=list)
    """Steps that were carried out, in this order."""


Outcomes = Dict[str, Outcome[ActionType]]


def execute(
    jobs: Sequence[JobType], handlers: Handlers[JobType, ActionType], parallel: int = 1
) -> Outcomes[ActionType]:
    """Carry out the steps of all jobs, action by action, ``parallel`` jobs at a time where an action allows that.

    The error of one job keeps no other one from its state. Returns the outcomes by the names of jobs.
    """
    run = _Run(jobs, handlers, parallel)
    for phase, actions in groupby(handlers.actions, key=lambda action: action.phase):
        run.carry_out(phase, list(actions))
    return run.outcomes


class _Run(Generic[JobType, ActionType]):
    """State of a call of ``execute``."""

    def __init__(self, jobs: Sequence[JobType], handlers: Handlers[JobType, ActionType], parallel: int) -> None:
        self._jobs, self._handlers, self._parallel = jobs, handlers, parallel
        self.outcomes: Outcomes[ActionType] = {job.name: Outcome() for job in jobs}

    def carry_out(self, phase: Phase, actions: List[ActionType]) -> None:
        """Carry out consecutive actions of one phase."""
        if phase is Phase.TOGETHER:
            for action in actions:
                self._together(action)
            return
        jobs = [job for job in self._jobs if self._steps(job, actions)]
        if phase is Phase.ALONE:
            for job in jobs:
                self._one_by_one(job, actions)
        elif jobs:
            with concurrent.futures.ThreadPoolExecutor(max_workers=min(self._parallel, len(jobs))) as pool:
                list(pool.map(lambda job: self._one_by_one(job, actions), jobs))

    def _steps(self, job: JobType, actions: Sequence[ActionType]) -> List[Step[ActionType]]:
        """Return the steps of a job that are of one of the actions; none of a job that has failed."""
        failed = self.outcomes[job.name].error is not None
        return [] if failed else [step for step in job.steps if step.action in actions]

    def _one_by_one(self, job: JobType, actions: Sequence[ActionType]) -> None:
        outcome = self.outcomes[job.name]
        for step in self._steps(job, actions):
            handler = self._handlers.single[step.action]
            outcome.error = _error_of(partial(handler, job, step.target))
            if outcome.error is not None:
                return
            outcome.done.append(step)

    def _together(self, action: ActionType) -> None:
        pairs = [(job, step) for job in self._jobs for step in self._steps(job, [action])]
        if not pairs:
            return
        error = self._call(action, pairs)
        is_tried_again = error is not None and len(pairs) > 1 and action in self._handlers.separable
        for job, step in pairs:
            # Otherwise the one call has one result for all of them.
            own_error = self._call(action, [(job, step)]) if is_tried_again else error
            self.outcomes[job.name].error = own_error
            if own_error is None:
                self.outcomes[job.name].done.append(step)

    def _call(self, action: ActionType, pairs: Sequence[Tuple[JobType, Step[ActionType]]]) -> Optional[str]:
        """Carry out steps of an action in one call; returns what went wrong."""
        return _error_of(partial(self._handlers.together[action], [(job, step.target) for job, step in pairs]))


def _error_of(work: Callable[[], object]) -> Optional[str]:
    """Run something; returns what went wrong with it."""
    try:
        work()
    except (HostError, OSError, LookupError) as error:
        return str(error) or type(error).__name__
    return None
