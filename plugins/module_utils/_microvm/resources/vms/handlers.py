# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carry out the steps of MicroVMs' plans: the table from action to handler, and what runs or stops guests."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from ...declaration.identity import account_name
from ...declaration.names import BOOTED_LINK, CURRENT_LINK, FLAKE_FILE, OLD_LINK, instance_of, unit_name, unit_names
from ...host import (
    accounts,
    closures,
    files,
    guest_keys,
    guest_systems,
    known_hosts,
    nix,
    readiness,
    state_directories,
    systemd,
)
from ...host.commands import HostError
from ...host.journal import with_remark
from ...host.places import Places
from ...host.records import Switched
from ...host.transient import run_script
from ..executor import GroupHandler, Handler, Handlers, execute
from . import handlers_files, handlers_rename
from .actions import Action
from .handlers_job import Job
from .observe import installed_generations, observe_name
from .observe_guests import recorded_readiness
from .plan_rollback import plan_fallback

BALLOON_SCRIPT = f"{BOOTED_LINK}/bin/microvm-balloon"

Pairs = Sequence[Tuple[Job, str]]
"""Jobs, and the targets of their steps."""


def _start(job: Job, unit: str) -> None:
    _begin(job, lambda: systemd.start(unit, job.is_waited_for))


def _restart(job: Job, unit: str) -> None:
    _begin(job, lambda: systemd.restart(unit, job.is_waited_for))


def _begin(job: Job, begin: Callable[[], None]) -> None:
    """Start a guest and wait until it is up. Where it does not come up, start the package before again."""
    _refuse_held(job)
    try:
        begin()
        if job.readiness is not None and not job.settles_later:
            job.ready_after = readiness.wait(job.readiness)
    except readiness.Abandoned:
        # An abandoned run says nothing about the package, so it is not marked as bad.
        raise
    except HostError as error:
        damage = damage_of(job)
        if damage is not None:
            # The failure tells nothing about the generation, which is not marked as bad.
            raise with_remark(error, damage) from error
        if job.falls_back and job.plan.successors:
            names = ", ".join(job.plan.successors)
            raise with_remark(error, f"the previous package is not started, since {names} has what it needs") from error
        if job.falls_back and _fall_back(job):
            raise with_remark(error, "the previous package is running again") from error
        raise


def _refuse_held(job: Job) -> None:
    """Refuse the start of a MicroVM that needs what another one still has: that could not be stopped."""
    for predecessor in job.plan.predecessors:
        unit = unit_name(predecessor.name)
        booted = files.link_target(job.places.state(predecessor.name, BOOTED_LINK))
        if booted == job.places.store.path(predecessor.package) and systemd.show([unit])[unit].running:
            raise HostError(f"not started, since {predecessor.name} could not be stopped and has {predecessor.thing}")


def damage_of(job: Job) -> Optional[str]:
    """Return what is wrong with the files of the package that did not start, and remember it for the next run."""
    package, store = job.plan.package, job.places.store
    if package is None or os.path.isabs(package):
        return None
    damage = store.damage(package)
    if damage is None:
        return None
    store.mark_damaged(package)
    return f"{damage}; {store.way_out(package)}"


def _fall_back(job: Job) -> bool:
    """Start the package before again. Returns whether that has come up."""
    try:
        observed = observe_name(job.places, job.name, job.plan.account)
    except (HostError, OSError):
        # The error to report is why the new package did not come up.
        return False
    plan = plan_fallback(observed, job.plan, installed_generations(job.places, job.plan.record))
    if plan is None:
        return False
    ready = recorded_readiness(plan, job.places) if job.readiness is not None else None
    outcome = execute([Job(plan, job.places, ready)], HANDLERS)[job.name]
    job.fallback, job.is_rolled_back = tuple(outcome.done), outcome.error is None
    return job.is_rolled_back


def _stop(job: Job, unit: str) -> None:
    """Stop with the helpers: what they have made, and the links that they still need, may be taken away next."""
    if not job.is_waited_for:
        systemd.stop([unit], wait=False)
        return
    name = instance_of(unit)
    systemd.stop(unit_names(name))
    if job.plan.record is not None:
        # A host that lost its power has left this link. Packages of others make and clear their links themselves.
        files.remove(job.places.state(name, BOOTED_LINK))


def _change_live(job: Job, _options: str) -> None:
    """Set the balloon's size; then what runs is what the new package says."""
    if job.plan.package is not None:
        set_balloon(job.name, str(job.plan.balloon), job.places)
        handlers_files.link(job, BOOTED_LINK, job.plan.package)
        record = job.plan.record
        if record is not None and record.switched is not None:
            # What was recorded of a switch is that of the package before.
            job.places.records.write(replace(record, switched=None))


def _switch(job: Job, system: str) -> None:
    """Switch a running guest, and record of which start it is, so that no later one is taken for it."""
    switch, record, package, booted = job.plan.switch, job.plan.record, job.plan.package, job.plan.booted
    if switch is None or record is None or package is None or booted is None:
        return
    unit = unit_name(job.name)
    invocation = systemd.show([unit])[unit].invocation
    before = Switched.of_running(record, invocation, booted)
    during = before.during(package, switch.action)
    if during != before:
        job.places.records.write(replace(record, switched=during))
    job.switch_output = guest_systems.activate(switch.login, system, switch.action)
    switched = before.after(package, switch.action, switch.waits)
    job.places.records.write(replace(record, switched=switched))


def set_balloon(name: str, size: str, places: Places) -> str:
    """Set the balloon's size in MiB. Returns the output of the package's script. Raises HostError."""
    return run_script(name, [places.state(name, BALLOON_SCRIPT), size])


def _install(job: Job, _package: str) -> None:
    if job.plan.content is not None:
        # The group of a MicroVM that is renamed keeps its number.
        groups = (job.plan.account.group, account_name(job.plan.former))
        number = next((number for number in map(accounts.group_number, groups) if number), 0)
        job.places.store.install(job.plan.content, number)


def _keep_built(job: Job, _installable: str) -> None:
    """Let a link keep the package, which was built before it could be planned what it changes."""
    if job.plan.package is not None:
        nix.keep(job.name, job.plan.package)


def _write_record(job: Job, _target: str) -> None:
    if job.plan.record is not None:
        job.places.records.write(job.plan.record)


def _record_flake(job: Job, flake: str) -> None:
    files.replace_file(job.places.state(job.name, FLAKE_FILE), flake.encode())


def _create_accounts(pairs: Pairs) -> None:
    accounts.create_users({user: job.places.state(job.name) for job, user in pairs})


def _forget_host_key(_job: Job, name: str) -> None:
    guest_keys.delete_made_key(name)
    known_hosts.forget(name)


def _units(pairs: Pairs) -> List[str]:
    return [unit for _job, unit in pairs]


_SINGLE: Dict[Action, Handler[Job]] = {
    Action.BUILD_PACKAGE: _keep_built,
    Action.COPY_PACKAGE: _keep_built,
    Action.RECORD: _write_record,
    Action.MARK_BAD: _write_record,
    Action.MARK_GOOD: _write_record,
    Action.INSTALL_PACKAGE: _install,
    Action.KEEP_PACKAGE: lambda job, package: nix.keep(job.name, package),
    Action.RELEASE_PACKAGE: lambda job, package: nix.release(job.name, package),
    Action.RELEASE_CLOSURE: lambda job, closure: closures.release_closure(job.name, closure),
    Action.RELEASE_FORMER: lambda _job, former: closures.release_all(former),
    Action.STOP: _stop,
    Action.RENAME_ACCOUNT: handlers_rename.rename_account,
    Action.RENAME_STATE: handlers_rename.rename_state,
    Action.RENAME_ARCHIVE: handlers_rename.rename_archive,
    Action.RENAME_HOST_KEY: handlers_rename.rename_host_key,
    Action.GIVE_HOST_KEY: lambda _job, name: guest_keys.give(name),
    Action.KEEP_CLOSURE: lambda job, store_paths: closures.keep_closure(job.name, store_paths.split(" ")),
    Action.CREATE_STATE: handlers_files.create_state,
    Action.OWN_STATE: handlers_files.own_state,
    Action.CREATE_DIRECTORY: handlers_files.create_external_directory,
    Action.RECORD_FLAKE: _record_flake,
    Action.FORGET_FLAKE: lambda job, name: files.remove(job.places.state(name, FLAKE_FILE)),
    Action.LINK_OLD: lambda job, package: handlers_files.link(job, OLD_LINK, package),
    Action.LINK_CURRENT: lambda job, package: handlers_files.link(job, CURRENT_LINK, package),
    Action.WRITE_ENVIRONMENT: handlers_files.write_environment,
    Action.WRITE_BOOT_DIRECTORIES: handlers_files.write_boot_directories,
    Action.WRITE_UNIT_SETTINGS: handlers_files.write_unit_settings,
    Action.REMOVE_UNIT_SETTINGS: handlers_files.remove_unit_settings,
    Action.MARK_FAILED: _write_record,
    Action.CHANGE_LIVE: _change_live,
    Action.SWITCH: _switch,
    Action.START: _start,
    Action.RESTART: _restart,
    Action.ARCHIVE_VOLUME: handlers_files.archive_volume,
    Action.DELETE_VOLUME: handlers_files.delete_volume,
    Action.KEEP_RECORD: _write_record,
    Action.REMOVE_ENTRY: lambda job, entry: files.remove(job.places.state(entry)),
    Action.REMOVE_STATE: lambda job, name: state_directories.remove(job.places.state(name)),
    Action.REMOVE_DIRECTORY: handlers_files.remove_empty_directory,
    Action.REMOVE_ENVIRONMENT: lambda job, name: files.remove(job.places.environment(name)),
    Action.REMOVE_BOOT_DIRECTORIES: lambda job, name: files.remove(job.places.boot_directories(name)),
    Action.REMOVE_PACKAGE: lambda job, package: job.places.store.remove(package),
    Action.REMOVE_ACCOUNT: lambda _job, user: accounts.remove_user(user),
    Action.FORGET_HOST_KEY: _forget_host_key,
    Action.FORGET: lambda job, name: job.places.records.remove(name),
}

_TOGETHER: Dict[Action, GroupHandler[Job]] = {
    Action.CREATE_ACCOUNT: _create_accounts,
    Action.DISABLE: lambda pairs: systemd.enable(_units(pairs), False),
    Action.ENABLE: lambda pairs: systemd.enable(_units(pairs), True),
    Action.READ_UNIT_SETTINGS: lambda _pairs: systemd.daemon_reload(),
}

# A unit may be masked, and a user's name taken; systemd's files are read once for all.
_SEPARABLE = frozenset({Action.CREATE_ACCOUNT, Action.DISABLE, Action.ENABLE})

HANDLERS: Handlers[Job, Action] = Handlers(Action, _SINGLE, _TOGETHER, _SEPARABLE)
