# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring MicroVMs back to generations that are kept, and mark these."""

from __future__ import annotations

import contextlib
from typing import Callable, Optional

from ..declaration.names import unit_names
from ..host import systemd
from ..host.locks import locked
from ..host.places import Places
from ..resources.vms.actions import Plan
from ..resources.vms.handlers_job import Job
from ..resources.vms.observe import installed_generations, observe_name
from ..resources.vms.observe_guests import recorded_readiness
from ..resources.vms.plan_rollback import plan_marking, plan_rollback
from ..resources.vms.state import Observed
from .lifecycle import carry_out


def roll_back(name: str, number: Optional[int], keep: bool, check: bool, wait: bool, places: Places) -> Plan:
    """Bring a MicroVM back to a generation, see plan_rollback; ``check`` only plans. Raises HostError."""

    def planned(observed: Observed) -> Plan:
        # A stop forgets failures, so whoever has failed was not stopped.
        has_failed = any(unit.active_state == "failed" for unit in systemd.show(unit_names(name)).values())
        return plan_rollback(observed, installed_generations(places, observed.record), number, keep, has_failed)

    return _change(name, planned, check, places, wait)


def mark(name: str, number: int, bad: bool, check: bool, places: Places) -> Plan:
    """Mark a generation bad, or good again; ``check`` only plans. Raises HostError."""
    return _change(name, lambda observed: plan_marking(observed, number, bad), check, places)


def _change(name: str, planned: Callable[[Observed], Plan], check: bool, places: Places, wait: bool = False) -> Plan:
    with contextlib.nullcontext() if check else locked([name]):
        plan = planned(observe_name(places, name))
        if not check:
            carry_out(Job(plan, places, recorded_readiness(plan, places) if wait else None))
    return plan
