# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Switch running guests to the systems of other packages, in place of restarts."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
from dataclasses import replace
from typing import Dict, Mapping, Optional, Sequence

from ..declaration.names import NIX_STORE
from ..host.commands import HostError
from ..host.files import read_text
from ..host.guest_systems import ACTIVATION, boots_alike, host_name_of, refusal_of_guest
from ..host.locks import locked
from ..host.places import Places
from ..resources.vms.handlers_job import Job
from ..resources.vms.observe import observe_name
from ..resources.vms.plan_lifecycle import plan_switch
from ..resources.vms.state import Observed, Wanted
from ..resources.vms.switches import Files, Switch, needs_restart, shares_store, system_of
from ..runner.package import File
from .external_packages import package_files
from .guest_login import login_to
from .lifecycle import carry_out, require

NOT_SHARED = "its guest does not have the host's /nix/store as a share"
"""Reason why many guests cannot be switched."""


def with_switches(
    wanted: Sequence[Wanted], observed: Mapping[str, Observed], places: Places, parallel: int = 1
) -> Sequence[Wanted]:
    """Return wanted MicroVMs with the switches of those guests that are to be switched, and what prevents others.

    Up to ``parallel`` guests are asked at a time.
    """
    due = [vm for vm in wanted if _is_due(vm, observed)]
    if not due:
        return wanted
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(parallel, len(due))) as pool:
        found = pool.map(lambda vm: _declared_switch(vm, observed[vm.name], places), due)
        switches = dict(zip((vm.name for vm in due), found))
    return [replace(vm, switch=switches.get(vm.name)) for vm in wanted]


def _is_due(wanted: Wanted, observed: Mapping[str, Observed]) -> bool:
    """Return whether a guest was neither booted from the declared package nor switched to it as is declared."""
    if wanted.package is None or wanted.declaration["ssh_switch"] == "none" or wanted.name not in observed:
        return False
    now, package = observed[wanted.name], wanted.package.directory_name
    is_refused = now.record is not None and now.record.is_bad(package) and now.current != package
    is_switched = now.is_switched(package, wanted.declaration["ssh_switch"])
    is_up = now.unit.running and now.booted is not None
    is_restarted = wanted.declaration["restart_policy"] == "always"
    # What is left to updates on the host is not switched by a run.
    is_kept = is_refused or is_switched or is_restarted or wanted.origin.is_left
    return wanted.state == "started" and is_up and not is_kept


def _declared_switch(wanted: Wanted, observed: Observed, places: Places) -> Switch:
    action, files = wanted.declaration["ssh_switch"], wanted.package.files if wanted.package is not None else {}
    if wanted.origin.is_known:
        return _switch(observed, files, action, places)
    try:
        # What can be said of a package that nobody has built yet.
        if not shares_store(_package(observed.booted or "", places)):
            return Switch(action, problem=NOT_SHARED)
        return Switch(action, "the system that is built", login_to(observed.name, places), waits=False)
    except (HostError, OSError) as error:
        return Switch(action, problem=str(error))


def _switch(observed: Observed, files: Files, action: str, places: Places) -> Switch:
    """Return the switch of a running guest to the system of a package, with what prevents it."""
    system = system_of(files)
    if system is None:
        return Switch(action, problem="its package has no system in /nix/store (share/microvm/system)")
    if not os.access(os.path.join(system, ACTIVATION), os.X_OK):
        return Switch(action, problem=f"the system of its package has no {ACTIVATION}: {system}")
    try:
        before, after = _package(observed.booted or "", places), _with_linked_texts(files)
        if not shares_store(before):
            return Switch(action, problem=NOT_SHARED)
        login = login_to(observed.name, places)
        problem = refusal_of_guest(login, system, host_name_of(system, observed.name))
    except (HostError, OSError) as error:
        return Switch(action, problem=str(error))
    waits = needs_restart(before, after) or not boots_alike(system_of(before) or "", system)
    return Switch(action, system, login, waits, problem)


def _package(package: str, places: Places) -> Dict[str, File]:
    """Return the files of an installed package as they are compared. Raises HostError and OSError."""
    return _with_linked_texts(package_files(places.store.path(package)))


def _with_linked_texts(files: Files) -> Dict[str, File]:
    """Return the files of a package with texts in the store of Nix in place of the links that lead to them.

    The programs of microvm.nix are such scripts. Any other link stays one.
    """
    return {path: _linked_text(file) or file for path, file in files.items()}


def _linked_text(file: File) -> Optional[File]:
    target = os.path.realpath(os.fsdecode(file.content)) if file.is_link else ""
    if not target.startswith(f"{NIX_STORE}/"):
        return None
    try:
        text = read_text(target)
    except HostError:
        return None
    return File(text.encode()) if text is not None else None


def is_already_switched(name: str, action: str, places: Places) -> bool:
    """Return whether a running guest has already what a switch to its current package would give it."""
    observed = observe_name(places, name)
    if observed.guest is None or observed.current is None:
        # Between two starts nothing is booted, and the next one is on its way.
        return True
    return observed.guest.has(observed.current, action) and not observed.guest.waits_with(observed.current)


def may_be_switched(name: str, places: Places) -> bool:
    """Return whether the packages of a running MicroVM say that its guest can be switched; the guest is not asked."""
    observed = observe_name(places, name)
    if not observed.unit.running or observed.booted is None or observed.current is None:
        return False
    booted, current = (_package(package, places) for package in (observed.booted, observed.current))
    return system_of(current) is not None and shares_store(booted)


class CannotSwitch(HostError):
    """Guest that cannot be switched, and why; nothing has changed."""


def switch_guest(name: str, action: str, check: bool, places: Places) -> Job:
    """Switch a running guest to the system of its current package; ``check`` only plans. Raises HostError."""
    require(name, places)
    with contextlib.nullcontext() if check else locked([name]):
        observed = observe_name(places, name)
        if not observed.unit.running or observed.booted is None:
            raise HostError(f"{name} is not running; the next start boots its current package")
        if observed.record is None or observed.current is None:
            raise HostError(f"{name} was not installed by this collection; switch it with the tool that installed it")
        switch = _switch(observed, package_files(places.store.path(observed.current)), action, places)
        if not switch.is_possible:
            raise CannotSwitch(f"{name} cannot be switched: {switch.problem}")
        job = Job(plan_switch(observed, switch), places)
        if not check:
            carry_out(job)
    return job
