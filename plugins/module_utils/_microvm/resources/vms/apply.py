# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries plans out, through ``host/``."""

from __future__ import annotations

import concurrent.futures
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence

from ...declaration.accounts import SHARED, account
from ...declaration.names import BOOTED_LINK, unit_name, unit_names
from ...declaration.vms.parse import Declaration
from ...host import accounts, files, readiness, systemd
from ...host.commands import HostError, run
from ..steps import Step
from .install import fits, install, link
from .plan import Action, Plan
from .remove import clear
from .state import Places, Wanted, declared

BALLOON_SCRIPT = f"{BOOTED_LINK}/bin/microvm-balloon"

VSOCK_SOCKET_FILE = "share/microvm/vsock-socket"
"""Of a package: names the Unix socket that the guest's vsock is behind, where it is behind one."""


@dataclass
class Outcome:
    """What came of one plan."""

    error: Optional[str] = None
    ready_after: Optional[float] = None
    """Seconds until the guest was up; ``None`` where nobody waited."""
    rolled_back: bool = False
    """Whether the package before runs again, since the new one did not come up."""


@dataclass(frozen=True)
class Job:
    """A MicroVM's plan and what it was made for."""

    wanted: Wanted
    plan: Plan


def apply(jobs: Sequence[Job], places: Places, parallel: int) -> Dict[str, Outcome]:
    """Record and install all, tell systemd once, then stop, start and wait, ``parallel`` MicroVMs at a time, then clear
    up.

    The trouble of one MicroVM does not keep the others from their state.
    """
    outcomes = {job.plan.name: Outcome() for job in jobs}

    def attempt(job: Job, work: Callable[[Job], None]) -> None:
        outcome = outcomes[job.plan.name]
        if outcome.error is None:
            try:
                work(job)
            except (HostError, OSError, LookupError) as error:
                outcome.error = str(error)

    for job in jobs:
        attempt(job, lambda one: _record(one, places))
    _create_accounts(jobs, places, outcomes)
    for job in jobs:
        attempt(job, lambda one: _stop_first(one, places))
        attempt(job, lambda one: install(one.plan, one.wanted, places))
    _tell_systemd([job for job in jobs if outcomes[job.plan.name].error is None], outcomes)
    with concurrent.futures.ThreadPoolExecutor(max_workers=parallel) as pool:
        list(pool.map(lambda job: attempt(job, lambda one: _run(one, places, outcomes)), jobs))
    # All at once: whether a unit stays takes time, but no processor.
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(jobs) or 1) as pool:
        settling = [job for job in jobs if _only_settles(job)]
        list(pool.map(lambda job: attempt(job, lambda one: _await(one, places, outcomes)), settling))
    for job in jobs:
        attempt(job, lambda one: clear(one.plan, places))
    removed = [job for job in jobs if job.wanted.package is None and job.plan.has(Action.REMOVE_DROP_IN)]
    if removed:
        attempt(removed[0], lambda _one: systemd.daemon_reload())
    return outcomes


def _steps(plan: Plan, *actions: Action) -> List[Step[Action]]:
    return [step for step in plan.steps if step.action in actions]


def _record(job: Job, places: Places) -> None:
    if job.plan.has(Action.RECORD) and job.plan.record is not None:
        places.records.write(job.plan.record)


def _create_accounts(jobs: Sequence[Job], places: Places, outcomes: Dict[str, Outcome]) -> None:
    """All at once."""
    homes = {
        step.target: places.state(job.plan.name)
        for job in jobs
        if outcomes[job.plan.name].error is None
        for step in _steps(job.plan, Action.CREATE_ACCOUNT)
    }
    try:
        accounts.create(homes)
    except HostError as error:
        for job in jobs:
            if job.plan.has(Action.CREATE_ACCOUNT):
                outcomes[job.plan.name].error = str(error)


def _stop_first(job: Job, places: Places) -> None:
    if job.plan.has(Action.STOP_FIRST):
        stop(job.plan.name, places)


def _tell_systemd(jobs: Sequence[Job], outcomes: Dict[str, Outcome]) -> None:
    try:
        _reload(jobs)
    except HostError as error:
        # It was one call for all of them.
        for job in jobs:
            outcomes[job.plan.name].error = str(error)


def _reload(jobs: Sequence[Job]) -> None:
    def units(action: Action) -> List[str]:
        return [step.target for job in jobs for step in _steps(job.plan, action)]

    systemd.enable(units(Action.ENABLE), True)
    systemd.enable(units(Action.DISABLE), False)
    reasons = (Action.ENABLE, Action.DISABLE, Action.WRITE_DROP_IN, Action.READ_SETTINGS)
    # Those of a MicroVM that is removed go later.
    gone = [job for job in jobs if job.wanted.package is not None and job.plan.has(Action.REMOVE_DROP_IN)]
    if gone or any(job.plan.has(*reasons) for job in jobs):
        systemd.daemon_reload()


def _run(job: Job, places: Places, outcomes: Dict[str, Outcome]) -> None:
    work: Dict[Action, Callable[[str], None]] = {
        Action.CHANGE_LIVE: lambda _options: _change_live(job, places),
        Action.START: systemd.start,
        Action.STOP: lambda _unit: stop(job.plan.name, places),
        Action.RESTART: systemd.restart,
    }
    steps = _steps(job.plan, *work)
    try:
        for step in steps:
            work[step.action](step.target)
        if job.wanted.state in ("started", "restarted") and not _only_settles(job):
            _await(job, places, outcomes)
    except readiness.Abandoned:
        # It says nothing of the package.
        raise
    except HostError as error:
        if job.plan.has(Action.START, Action.RESTART) and job.wanted.declaration["rollback_on_failure"]:
            outcomes[job.plan.name].rolled_back = _roll_back(job, places)
            before = "; the package before runs again" if outcomes[job.plan.name].rolled_back else ""
            raise HostError(f"{error}{before}") from error
        raise


def _await(job: Job, places: Places, outcomes: Dict[str, Outcome]) -> None:
    """Also where nothing was to be done: a run that was killed while it waited is completed by this one."""
    ready, begun = readiness_of(job.wanted.declaration, places), job.plan.has(Action.START, Action.RESTART)
    outcomes[job.plan.name].ready_after = readiness.wait(ready, begun)


def _only_settles(job: Job) -> bool:
    """Whether nothing is asked of the guest, and nothing would follow from it."""
    declaration = job.wanted.declaration
    is_begun = job.plan.has(Action.START, Action.RESTART)
    return is_begun and declaration["ready"]["check"] == "none" and not declaration["rollback_on_failure"]


def _change_live(job: Job, places: Places) -> None:
    """Tell the hypervisor; then what runs is what the new package says."""
    if job.plan.package is None:
        return
    tell_balloon(job.plan.name, str(job.wanted.declaration["initial_balloon_mem"]), places)
    files.replace_link(places.state(job.plan.name, BOOTED_LINK), places.store.path(job.plan.package))


def tell_balloon(name: str, size: str, places: Places) -> str:
    """Set the balloon's size in MiB, as the MicroVM's user: where its socket is, that one could have put a link to
    another's. Returns what the script says. Raises HostError."""
    known = declared(places.store, files.link_target(places.state(name, BOOTED_LINK)))
    owner = account(known) if known else SHARED
    identity = [f"--reuid={owner.user}", f"--regid={owner.group}", "--clear-groups"]
    return run(["setpriv", *identity, places.state(name, BALLOON_SCRIPT), size], directory=places.state(name))


def _roll_back(job: Job, places: Places) -> bool:
    """Start the package before again and mark the new one bad; ``False`` where there is none, or it fails too."""
    plan, previous = job.plan, job.plan.previous
    if plan.record is None or plan.package is None or previous is None or previous == plan.package:
        return False
    if not fits(plan.name, previous, places):
        return False
    # In this order: one that was killed between the two is tried once more, not for ever.
    link(plan.name, previous, plan.record.unit_settings, places)
    places.records.write(plan.record.marked(plan.package, True))
    systemd.daemon_reload()
    try:
        systemd.restart(unit_name(plan.name))
        readiness.wait(readiness_of(job.wanted.declaration, places), True)
    except HostError:
        return False
    return True


def stop(name: str, places: Places) -> None:
    """With the helpers: what they have made, and the links that they still need, may be taken away next."""
    systemd.stop(unit_names(name))
    # Of a host that lost its power.
    files.remove(places.state(name, BOOTED_LINK))


def readiness_of(declaration: Declaration, places: Places) -> readiness.Readiness:
    """How it is seen that the MicroVM is up."""
    name, ready, vsock = declaration["name"], declaration["ready"], declaration["vsock"]
    return readiness.Readiness(
        unit=unit_name(name),
        check=ready["check"],
        address=ready["address"],
        port=ready["port"],
        timeout=ready["timeout"],
        control_socket=places.state(name, declaration["socket"] or ""),
        context_identifier=vsock["cid"],
        vsock_socket=places.state(name, BOOTED_LINK, VSOCK_SOCKET_FILE),
    )
