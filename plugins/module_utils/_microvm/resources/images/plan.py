# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the way of an image from its state to the one that is wanted. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Tuple

from ..steps import BaseAction, Step, in_order
from .state import Observed, State, Wanted


class Action(BaseAction):
    """Action on an image, in the order in which steps are carried out."""

    REMOVE_LEFTOVER = "remove leftover"
    REMOVE = "remove image"
    BUILD = "build image"
    INSTALL = "install image"


PROVIDING = {State.BUILT: Action.BUILD, State.INSTALLED: Action.INSTALL}
"""The action that brings an image into a store, by the wanted state."""


@dataclass(frozen=True)
class Plan:
    """Steps for an image."""

    steps: Tuple[Step[Action], ...]

    @property
    def builds(self) -> bool:
        """Return whether the image is to be built."""
        return any(step.action is Action.BUILD for step in self.steps)


def plan(observed: Observed, wanted: Wanted) -> Plan:
    """Return the steps that bring an image into its wanted state."""
    return Plan(in_order(_absent(observed, wanted) if wanted.state is State.ABSENT else _present(observed, wanted)))


def _absent(observed: Observed, wanted: Wanted) -> Iterator[Step[Action]]:
    for leftover in (observed.partial, observed.staging):
        if leftover is not None:
            yield Step(Action.REMOVE_LEFTOVER, leftover)
    if observed.exists:
        yield Step(Action.REMOVE, wanted.digest)


def _present(observed: Observed, wanted: Wanted) -> Iterator[Step[Action]]:
    if observed.is_whole:
        return
    if observed.partial is not None:
        yield Step(Action.REMOVE_LEFTOVER, observed.partial)
    if observed.exists:
        # The installed image is incomplete, and no MicroVM can be started from it.
        yield Step(Action.REMOVE, wanted.digest)
    yield Step(PROVIDING[wanted.state], wanted.digest)
