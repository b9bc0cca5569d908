# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the start, stop and restart of a MicroVM that is on the host, without its declaration. Pure."""

from __future__ import annotations

from typing import List

from ...declaration.names import unit_name
from ..steps import Step
from .actions import Action, Plan, ordered
from .state import Observed
from .switches import Switch


def plan_start(observed: Observed) -> Plan:
    """Plan that it runs."""
    return _plan(observed, [] if observed.unit.running else [Action.START])


def plan_restart(observed: Observed) -> Plan:
    """Plan that it runs its current package from now on."""
    return _plan(observed, [Action.RESTART])


def plan_end(observed: Observed) -> Plan:
    """Plan that it runs no more; it still starts with the host."""
    unit = unit_name(observed.name)
    return Plan(observed.name, (Step(Action.STOP, unit),), observed.current, observed.current, record=observed.record)


def _plan(observed: Observed, actions: List[Action]) -> Plan:
    # A run may have been killed before it could reload systemd.
    is_stale = observed.unit.stale and actions
    steps = [Step(action, unit_name(observed.name)) for action in actions]
    steps += [Step(Action.READ_UNIT_SETTINGS, unit_name(observed.name))] if is_stale else []
    return Plan(
        observed.name,
        ordered(steps),
        observed.current,
        observed.current,
        booted=observed.booted,
        restart_pending=not actions and observed.waits_with(observed.current),
        guest=None if actions else observed.guest_after(observed.current),
        record=observed.record,
    )


def plan_switch(observed: Observed, switch: Switch) -> Plan:
    """Plan that the running guest is switched to the system of its current package."""
    return Plan(
        observed.name,
        (Step(Action.SWITCH, switch.system),),
        observed.current,
        observed.current,
        booted=observed.booted,
        restart_pending=observed.waits_with(observed.current, switch),
        guest=observed.guest_after(observed.current, switch),
        record=observed.record,
        switch=switch,
    )
