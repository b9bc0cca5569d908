# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries plans out, through ``host/``."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence

from ..declaration.names import BOOTED_LINK, CURRENT_LINK, GROUP, OLD_LINK, USER, unit_name, unit_names
from ..host import files, readiness, systemd
from ..host.commands import HostError
from .plan import Action, Plan
from .state import Places, Wanted
from .steps import Step

STATE_DIRECTORY_MODE = 0o1775
"""The hypervisor, in group kvm, may make files but, by the sticky bit, not replace the links, which are root's."""

DIRECTORY_MODE = 0o775


@dataclass
class Outcome:
    """What came of one plan."""

    error: Optional[str] = None
    ready_after: Optional[float] = None
    """Seconds until the guest was up; ``None`` where nobody waited."""


@dataclass(frozen=True)
class Job:
    """A MicroVM's plan and what it was made for."""

    wanted: Wanted
    plan: Plan


def apply(jobs: Sequence[Job], places: Places, parallel: int) -> Dict[str, Outcome]:
    """Install all, tell systemd once, then stop, start and wait, ``parallel`` MicroVMs at a time, then clear up.

    The trouble of one MicroVM does not keep the others from their state.
    """
    outcomes = {job.plan.name: Outcome() for job in jobs}

    def attempt(job: Job, work: Callable[[Job], None]) -> None:
        outcome = outcomes[job.plan.name]
        if outcome.error is None:
            try:
                work(job)
            except (HostError, OSError) as error:
                outcome.error = str(error)

    for job in jobs:
        attempt(job, lambda one: _install(one, places))
    _tell_systemd([job for job in jobs if outcomes[job.plan.name].error is None])
    with concurrent.futures.ThreadPoolExecutor(max_workers=parallel) as pool:
        list(pool.map(lambda job: attempt(job, lambda one: _run(one, places, outcomes)), jobs))
    for job in jobs:
        attempt(job, lambda one: _clear(one, places))
    return outcomes


def _steps(plan: Plan, *actions: Action) -> List[Step[Action]]:
    return [step for step in plan.steps if step.action in actions]


def _install(job: Job, places: Places) -> None:
    name, package, store = job.plan.name, job.wanted.package, places.store
    for step in job.plan.steps:
        if step.action is Action.INSTALL and package is not None:
            store.install(package)
        elif step.action is Action.CREATE_STATE:
            _create_directory(places.state(name), "root", STATE_DIRECTORY_MODE)
        elif step.action is Action.CREATE_DIRECTORY:
            _create_directory(step.target, USER, DIRECTORY_MODE)
        elif step.action is Action.LINK_OLD:
            files.replace_link(places.state(name, OLD_LINK), store.path(step.target))
        elif step.action is Action.LINK_CURRENT:
            files.replace_link(places.state(name, CURRENT_LINK), store.path(step.target))
        elif step.action is Action.WRITE_DROP_IN:
            os.makedirs(os.path.dirname(places.drop_in(name)), exist_ok=True)
            files.replace_file(places.drop_in(name), (job.wanted.drop_in or "").encode())
        elif step.action is Action.REMOVE_DROP_IN:
            files.remove(os.path.dirname(places.drop_in(name)))


def _create_directory(path: str, user: str, mode: int) -> None:
    """With its owner and mode at once: a directory that is there counts as right."""
    aside = f"{path}.partial"
    if os.path.isdir(aside):
        # What a killed run left is empty; anything else is not from here, and not taken.
        os.rmdir(aside)
    os.makedirs(aside)
    shutil.chown(aside, user, GROUP)
    os.chmod(aside, mode)
    os.rename(aside, path)
    files.sync_directory(os.path.dirname(path))


def _tell_systemd(jobs: Sequence[Job]) -> None:
    def units(action: Action) -> List[str]:
        return [step.target for job in jobs for step in _steps(job.plan, action)]

    systemd.enable(units(Action.ENABLE), True)
    systemd.enable(units(Action.DISABLE), False)
    reasons = (Action.ENABLE, Action.DISABLE, Action.WRITE_DROP_IN, Action.REMOVE_DROP_IN, Action.READ_SETTINGS)
    if any(job.plan.has(*reasons) for job in jobs):
        systemd.daemon_reload()


def _run(job: Job, places: Places, outcomes: Dict[str, Outcome]) -> None:
    work: Dict[Action, Callable[[str], None]] = {
        Action.START: systemd.start,
        Action.STOP: lambda _unit: _stop(job.plan.name, places),
        Action.RESTART: systemd.restart,
    }
    for step in _steps(job.plan, *work):
        work[step.action](step.target)
    if job.wanted.state in ("started", "restarted"):
        # Also where nothing was to be done: a run that was killed while it waited is completed by this one.
        outcomes[job.plan.name].ready_after = readiness.wait(_readiness(job.wanted, places))


def _stop(name: str, places: Places) -> None:
    """With the helpers: what they have made, and the links that they still need, may be taken away next."""
    systemd.stop(unit_names(name))
    # Of a host that lost its power.
    files.remove(places.state(name, BOOTED_LINK))


def _readiness(wanted: Wanted, places: Places) -> readiness.Readiness:
    ready = wanted.declaration["ready"]
    return readiness.Readiness(
        unit=unit_name(wanted.name),
        check=ready["check"],
        address=ready["address"],
        port=ready["port"],
        timeout=ready["timeout"],
        control_socket=places.state(wanted.name, wanted.declaration["socket"] or ""),
    )


def _clear(job: Job, places: Places) -> None:
    for step in job.plan.steps:
        if step.action is Action.REMOVE_ENTRY:
            files.remove(places.state(step.target))
        elif step.action is Action.REMOVE_STATE:
            os.rmdir(places.state(step.target))
        elif step.action is Action.REMOVE_PACKAGE:
            places.store.remove(step.target)
