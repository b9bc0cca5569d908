# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The executor: order, phases, and what an error of one job means for the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.executor import Handlers, execute
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.steps import (
    BaseAction,
    Phase,
    Step,
    in_order,
)


class Action(BaseAction):
    """Actions of a toy."""

    PREPARE = "prepare"
    REGISTER = "register", Phase.TOGETHER
    PAINT = "paint"
    STOP = "stop", Phase.PARALLEL
    START = "start", Phase.PARALLEL
    CLEAN = "clean"


@dataclass
class Toy:
    """A job that remembers nothing."""

    name: str
    steps: Sequence[Step[Action]]


@dataclass
class Workshop:
    """Handlers that write down what they do, and fail where they are told to."""

    failing: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(1))
    """Barrier at which the steps of a parallel action wait for each other."""

    def do(self, action: Action, job: Toy, target: str) -> None:
        """Carry out one step."""
        with self.lock:
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            self.log.append(f"{job.name}: {action.words} {target}")
        if action.phase is Phase.PARALLEL:
            self.meeting.wait(60)
            # Others that are carried out too begin meanwhile.
            time.sleep(0.01)
        with self.lock:
            self.at_once -= 1
        if f"{job.name}: {action.words}" in self.failing:
            raise HostError(f"{action.words} is broken")

    def register(self, pairs: Sequence[tuple[Toy, str]]) -> None:
        """Carry out all steps of one action."""
        self.log.append("register " + " ".join(job.name for job, _target in pairs))
        if "register" in self.failing:
            raise OSError("no room")

    @property
    def handlers(self) -> Handlers[Toy, Action]:
        """The table."""

        def single(action: Action) -> object:
            return lambda job, target: self.do(action, job, target)

        alone = {action: single(action) for action in Action if action.phase is not Phase.TOGETHER}
        return Handlers(Action, alone, {Action.REGISTER: self.register})  # type: ignore[arg-type]


def toy(name: str, *actions: Action) -> Toy:
    return Toy(name, [Step(action, "it") for action in actions])


def test_steps_are_carried_out_action_by_action_over_all_jobs() -> None:
    workshop = Workshop()
    jobs = [
        toy("a", Action.PREPARE, Action.REGISTER, Action.START),
        toy("b", Action.PREPARE, Action.REGISTER, Action.STOP),
    ]
    execute(jobs, workshop.handlers)
    assert workshop.log == ["a: prepare it", "b: prepare it", "register a b", "a: start it", "b: stop it"]


def test_steps_are_carried_out_in_the_order_shown() -> None:
    shown = in_order([Step(action, "it") for action in reversed(Action)])
    outcomes = execute([Toy("a", shown)], Workshop().handlers)
    assert [step.action for step in shown] == list(Action)
    assert outcomes["a"].done == list(shown)
    assert in_order([]) == ()


def test_an_error_of_a_job_skips_only_its_remaining_steps() -> None:
    workshop = Workshop(failing={"a: paint"})
    jobs = [toy(name, Action.PREPARE, Action.PAINT, Action.START, Action.CLEAN) for name in "ab"]
    outcomes = execute(jobs, workshop.handlers)
    assert outcomes["a"].error == "paint is broken"
    assert [step.action for step in outcomes["a"].done] == [Action.PREPARE]
    assert outcomes["b"].error is None
    assert len(outcomes["b"].done) == 4


def test_an_error_of_a_common_call_is_that_of_all_jobs_in_it() -> None:
    workshop = Workshop(failing={"register"})
    outcomes = execute([toy("a", Action.REGISTER, Action.START), toy("b", Action.START)], workshop.handlers)
    assert outcomes["a"].error == "no room"
    assert outcomes["b"].error is None
    assert workshop.log == ["register a", "b: start it"]


def test_a_common_call_that_can_be_separated_fails_only_the_jobs_whose_fault_it_is() -> None:
    workshop = Workshop()

    def register(pairs: Sequence[tuple[Toy, str]]) -> None:
        workshop.register(pairs)
        if any(job.name == "b" for job, _target in pairs):
            raise HostError("b is masked")

    handlers = replace(workshop.handlers, together={Action.REGISTER: register}, separable=frozenset({Action.REGISTER}))
    outcomes = execute([toy(name, Action.REGISTER, Action.START) for name in "abc"], handlers)
    assert {name: outcome.error for name, outcome in outcomes.items()} == {"a": None, "b": "b is masked", "c": None}
    assert workshop.log == ["register a b c", "register a", "register b", "register c", "a: start it", "c: start it"]


def test_parallel_jobs_are_bounded() -> None:
    workshop = Workshop(meeting=threading.Barrier(3))
    execute([toy(str(number), Action.STOP, Action.START) for number in range(21)], workshop.handlers, parallel=3)
    assert workshop.most_at_once == 3
    assert len(workshop.log) == 42


def test_a_run_of_many_jobs_has_few_threads() -> None:
    before, most = threading.active_count(), []
    workshop = Workshop()
    handlers = workshop.handlers
    watching = Handlers(
        Action,
        {**handlers.single, Action.STOP: lambda _job, _target: most.append(threading.active_count())},
        handlers.together,
    )
    execute([toy(str(number), Action.STOP) for number in range(500)], watching, parallel=4)
    assert max(most) <= before + 4


@pytest.mark.parametrize(
    ("single", "together"),
    [
        ({action: print for action in Action if action is not Action.REGISTER and action is not Action.PAINT}, True),
        ({action: print for action in Action if action is not Action.REGISTER}, False),
        (dict.fromkeys(Action, print), True),
    ],
    ids=["an action without a handler", "no common handler", "a common action with a single handler too"],
)
def test_an_action_without_the_right_handler_is_refused(single: dict[Action, object], together: bool) -> None:
    handlers = {Action.REGISTER: print} if together else {}
    if set(single) >= set(Action):
        handlers = {}
    with pytest.raises(ValueError, match="no handler"):
        Handlers(Action, single, handlers)  # type: ignore[arg-type]
