# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start, stop and restart MicroVMs that are on the host, without their declarations: by what is recorded."""

from __future__ import annotations

import os
from typing import Callable, Optional

from ..declaration.names import BOOTED_LINK, CURRENT_LINK, unit_name
from ..host import files, holds, readiness, systemd
from ..host.commands import HostError
from ..host.locks import locked
from ..host.places import Places
from ..host.records import is_pending
from ..resources.executor import execute
from ..resources.vms.actions import Action, Plan
from ..resources.vms.handlers import HANDLERS
from ..resources.vms.handlers_job import Job
from ..resources.vms.observe import observe_name
from ..resources.vms.observe_guests import recorded_readiness
from ..resources.vms.plan_lifecycle import plan_end, plan_restart, plan_start
from ..resources.vms.state import Observed
from .info import check_access


def require(name: str, places: Places) -> None:
    """Raises HostError for a MicroVM that is not there, or that whoever asks may not see."""
    check_access(places.state(name))
    if not os.path.exists(places.state(name, CURRENT_LINK, "bin/microvm-run")):
        raise HostError(f"there is no MicroVM {name!r} in {places.state_directory}; see: microvm list")


def is_running(name: str) -> bool:
    """Return whether its unit runs, or is on its way up or down."""
    return systemd.show([unit_name(name)])[unit_name(name)].running


def is_current(name: str, places: Places) -> bool:
    """Return whether it runs the package that is current, by its boot or by a switch since."""
    booted, current = (files.link_target(places.state(name, link)) for link in (BOOTED_LINK, CURRENT_LINK))
    booted, current = (target and (places.store.owns(target) or target) for target in (booted, current))
    invocation = systemd.show([unit_name(name)])[unit_name(name)].invocation
    return not is_pending(places.records.read(name), invocation, booted, current)


def start_vm(name: str, places: Places, wait: bool = True) -> Optional[float]:
    """Start a MicroVM. Returns the seconds until its guest was up; ``None`` without ``wait``. Raises HostError."""
    return _begin(name, places, plan_start, wait)


def restart_vm(name: str, places: Places, wait: bool = True) -> Optional[float]:
    """Stop a MicroVM and start it with the package that is current by then; see start."""
    return _begin(name, places, plan_restart, wait)


def _begin(name: str, places: Places, planned: Callable[[Observed], Plan], wait: bool) -> Optional[float]:
    require(name, places)
    with locked([name]):
        plan = planned(observe_name(places, name))
        ready = recorded_readiness(plan, places) if wait else None
        job = Job(plan, places, ready, is_waited_for=wait)
        _refuse_held(job)
        carry_out(job)
        if ready is not None and not job.plan.has(Action.START, Action.RESTART):
            job.ready_after = readiness.wait(ready)
        return job.ready_after


def _refuse_held(job: Job) -> None:
    """Raises HostError for a MicroVM that would start while it is moved to another host."""
    reason = holds.reason(job.name) if job.plan.has(Action.START, Action.RESTART) else None
    if reason is not None:
        raise HostError(reason)


def stop_vm(name: str, places: Places, wait: bool = True) -> None:
    """Stop a MicroVM with all helpers. Raises HostError."""
    require(name, places)
    with locked([name]):
        carry_out(Job(plan_end(observe_name(places, name)), places, is_waited_for=wait))


def carry_out(job: Job) -> None:
    """Carry out the plan of one MicroVM. Raises HostError with what went wrong."""
    error = execute([job], HANDLERS)[job.name].error
    if error is not None:
        raise HostError(error)
