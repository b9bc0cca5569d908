# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Steps, which plans are made of: a change each, with the order in which changes are made and how they are made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Generic, Iterable, Tuple, TypeVar

from ..schema.quoting import printable


class Phase(Enum):
    """Way in which the executor carries out the steps of an action, over all subjects of a run."""

    ALONE = "alone"
    """The steps one after another."""
    TOGETHER = "together"
    """All steps of the action in one call."""
    PARALLEL = "parallel"
    """A bounded number of subjects at a time."""


class Cost(Enum):
    """Cost of a change to a MicroVM that runs."""

    NOTHING = "nothing"
    LIVE = "live"
    """The guest goes on, with the change."""
    RESTART = "restart"
    """The guest is started anew, or ends."""


class BaseAction(Enum):
    """Base of the actions of a kind of resource. Members stand in the order in which they are carried out and shown.

    ``words`` are how a step reads, before its target.
    """

    def __init__(self, words: str, phase: Phase = Phase.ALONE, cost: Cost = Cost.NOTHING) -> None:
        self.words = words
        self.phase = phase
        self.cost = cost


ActionType = TypeVar("ActionType", bound=BaseAction)


@dataclass(frozen=True)
class Step(Generic[ActionType]):
    """Change of a host: an action, and what is changed."""

    action: ActionType
    target: str

    def __str__(self) -> str:
        # Some targets are entries of a directory of somebody else's, who gives them any name.
        return f"{self.action.words} {printable(self.target)}"


def in_order(steps: Iterable[Step[ActionType]]) -> Tuple[Step[ActionType], ...]:
    """Return steps in the order of their actions; those of one action stay as they are."""
    listed = list(steps)
    order = {action: index for step in listed[:1] for index, action in enumerate(type(step.action))}
    return tuple(sorted(listed, key=lambda step: order[step.action]))
