# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans of images: from what a store has and what is wanted to steps."""

from __future__ import annotations

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.plan import Action, plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.state import (
    Observed,
    State,
    Wanted,
)

NOTHING = Observed()
WHOLE = Observed(exists=True, is_whole=True)
HALF = Observed(exists=True, is_whole=False)
LEFTOVERS = Observed(partial=".partial-1", staging=".staging-1")


@pytest.mark.parametrize(
    ("state", "observed", "steps"),
    [
        (State.BUILT, NOTHING, ["build image 1"]),
        (State.BUILT, WHOLE, []),
        (State.BUILT, HALF, ["remove image 1", "build image 1"]),
        (State.BUILT, LEFTOVERS, ["remove leftover .partial-1", "build image 1"]),
        (State.INSTALLED, NOTHING, ["install image 1"]),
        (State.INSTALLED, WHOLE, []),
        (State.INSTALLED, HALF, ["remove image 1", "install image 1"]),
        # The copy that is to be installed.
        (State.INSTALLED, LEFTOVERS, ["remove leftover .partial-1", "install image 1"]),
        (State.ABSENT, NOTHING, []),
        (State.ABSENT, WHOLE, ["remove image 1"]),
        (State.ABSENT, HALF, ["remove image 1"]),
        (State.ABSENT, LEFTOVERS, ["remove leftover .partial-1", "remove leftover .staging-1"]),
    ],
)
def test_each_state_has_these_steps(state: State, observed: Observed, steps: list[str]) -> None:
    planned = plan(observed, Wanted("1", state))
    assert [str(step) for step in planned.steps] == steps
    assert planned.builds == ("build image 1" in steps)


def test_every_step_is_in_the_order_of_the_actions() -> None:
    observed = Observed(exists=True, partial=".partial-1", staging=".staging-1")
    for state in State:
        actions = [step.action for step in plan(observed, Wanted("1", state)).steps]
        assert actions == sorted(actions, key=list(Action).index)
