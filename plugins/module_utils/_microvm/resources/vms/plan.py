# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the way of a MicroVM from what a host has to what is declared. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from ...declaration.names import unit_name
from ...declaration.vms.share_sources import Ownership, source_ownerships
from ...host.records import Record, UpdateSource
from ...runner.package import COMMAND_LINE_FILE, Package
from ...schema.errors import DeclarationError
from ..steps import Step
from . import settings
from .actions import (
    Action,
    Plan,
    Steps,
    closure_steps,
    host_key_steps,
    keep_steps,
    link_steps,
    ordered,
    refuse_elsewhere,
    unit_steps,
    unused_closures,
    unused_packages,
)
from .changes import Change, changes, is_live
from .needs import needs_of
from .state import Observed, Wanted, unit_settings


@dataclass(frozen=True)
class Clock:
    """Time of day on the host."""

    minute: int = 0
    """Minutes since midnight."""

    def is_within(self, window: str) -> bool:
        """Return whether it is in a window such as ``22:00-04:30``, its end excluded."""
        begin, end = (int(time[:2]) * 60 + int(time[3:]) for time in window.split("-"))
        return begin <= self.minute < end if begin <= end else not end <= self.minute < begin


def plan(observed: Observed, wanted: Wanted, path: str, clock: Clock = Clock()) -> Plan:
    """Raises DeclarationError, with ``path``, for a MicroVM that is somebody else's, and for a volume that shrinks."""
    if observed.foreign is not None:
        raise DeclarationError(
            f"{path}.name",
            f"the host has a MicroVM {observed.name!r} that was not installed by this collection "
            f"(current -> {observed.foreign}); choose another name, or remove that MicroVM first",
        )
    if wanted.package is None:
        raise ValueError("a removal is planned by plan_removal")
    refuse_elsewhere(observed, path)
    differences = _differences(observed, wanted)
    _refuse_shrinking(observed, wanted, path)
    target = _target(observed, wanted, wanted.package.directory_name)
    record = _record(observed, wanted, target)
    run = tuple(_run(observed, wanted, target, differences, clock))
    # One that runs what it is to run has the right user; only the directory's group is not what it was.
    if target.changes_user and observed.is_up and observed.booted != target.package:
        run = _stopped_first(observed, run, path)
    ends_old = any(step.action in _ENDS_OLD for step in run)
    switch = wanted.switch if any(step.action is Action.SWITCH for step in run) else None
    is_pending = observed.unit.running and not ends_old and observed.waits_with(target.package, switch)
    if is_pending and target.refused is None:
        target = replace(target, drop_ins=settings.with_memory_of(target.drop_ins, observed.drop_ins))
    booted = None if ends_old else observed.booted
    used = _kept_packages(observed, wanted, record, (target.package, booted))
    record = record.only(used)
    return Plan(
        name=observed.name,
        steps=ordered([*_install(observed, wanted, target, record, used), *run, *_unused(observed, wanted, used)]),
        package=target.package,
        previous=observed.current,
        booted=observed.booted,
        restart_pending=is_pending,
        guest=None if ends_old else observed.guest_after(target.package, switch),
        record=record,
        changes=differences,
        refused=target.refused,
        drop_ins=target.drop_ins,
        environment=wanted.environment or "",
        boot_directories=_lost_directories(record, wanted),
        content=wanted.package,
        account=wanted.account,
        source_ownerships=_source_ownerships(wanted),
        volumes=tuple(volume["image"] for volume in wanted.declaration["volumes"]),
        balloon=wanted.declaration["initial_balloon_mem"],
        switch=switch,
    )


def _differences(observed: Observed, wanted: Wanted) -> Tuple[Change, ...]:
    """Return the options that differ; none where a package that somebody else has made does not record them."""
    if wanted.external is not None and not wanted.external.has_declaration:
        return ()
    return changes(observed.booted_declared or observed.declared, wanted.declaration)


_ENDS_OLD = (Action.STOP, Action.START, Action.RESTART, Action.CHANGE_LIVE)
"""Actions after which the package that was booted before runs no more."""


def _stopped_first(observed: Observed, run: Steps, path: str) -> Steps:
    """Return the steps of a MicroVM whose user changes: it can neither be stopped under the new user nor go on under
    it, so it is stopped before, and started after."""
    unit = unit_name(observed.name)
    if observed.unit.running and not any(step.action in (Action.STOP, Action.RESTART) for step in run):
        raise DeclarationError(
            f"{path}.isolation" if path else "isolation",
            "changes the user of a running MicroVM, which requires a restart in the same run; allow it by "
            "restart_policy, or stop the MicroVM first",
        )
    starts = any(step.action in (Action.START, Action.RESTART) for step in run)
    return (Step(Action.STOP, unit), *((Step(Action.START, unit),) if starts else ()))


@dataclass(frozen=True)
class _Target:
    """The package that ``current`` is to lead to; another one than the wanted where that was marked bad."""

    package: str
    drop_ins: Mapping[str, str]
    refused: Optional[str] = None
    changes_user: bool = False


def _target(observed: Observed, wanted: Wanted, package: str) -> _Target:
    record, new = observed.record, wanted.package
    if record is not None and record.is_bad(package) and observed.current is not None and observed.current != package:
        # The rollback has left this package; its drop-ins stay as they are.
        return _Target(observed.current, dict(observed.drop_ins), refused=package)
    if wanted.external is not None:
        brought, needs = wanted.external.drop_ins, wanted.external.needs
    else:
        brought, needs = unit_settings(new) if new is not None else {}, needs_of(wanted.declaration)
    changes_user = observed.exists and observed.group != wanted.account.group
    drop_ins = settings.drop_ins(brought, wanted.unit_settings, wanted.dependencies, needs)
    return _Target(package, drop_ins, changes_user=changes_user)


def _refuse_shrinking(observed: Observed, wanted: Wanted, path: str) -> None:
    """Refuse a volume that would shrink: by its declaration, since an image may have grown by hand."""
    before = {volume["image"]: volume["size"] for volume in (observed.declared["volumes"] if observed.declared else ())}
    for index, volume in enumerate(wanted.declaration["volumes"]):
        old, new = before.get(volume["image"]), volume["size"]
        if volume["auto_create"] and old and new and new < old:
            raise DeclarationError(
                f"{path}.volumes[{index}].size" if path else f"volumes[{index}].size",
                f"{volume['image']} has {old} MiB, and volumes cannot shrink; set {old} or more, or another image",
            )


def _record(observed: Observed, wanted: Wanted, target: _Target) -> Record:
    """Return the record of what there is, together with what is to come."""
    record = observed.record or Record(wanted.name, "")
    created = (volume["image"] for volume in wanted.declaration["volumes"] if volume["auto_create"])
    # Whatever a start does not create is somebody else's to remove.
    volumes = [image for image in created if image not in observed.found_images]
    keeps_state = wanted.keeps_state and wanted.state == "present"
    state = record.state if keeps_state else {"restarted": "started"}.get(wanted.state, wanted.state)
    record = replace(record, state=state, tags=tuple(dict.fromkeys(wanted.declaration["tags"])))
    if target.refused is not None:
        return replace(record, refused=target.refused)
    record = replace(
        record,
        updates=_updates(observed, record, wanted),
        state_directory=observed.state_directory,
        # One that was there before is somebody else's to remove.
        user=record.user if observed.has_account else wanted.account.user,
        directories=tuple(sorted({*record.directories, *observed.missing_directories})),
        volumes=tuple(sorted({*record.volumes, *volumes})),
        unit_settings=wanted.unit_settings,
        dependencies=wanted.dependencies,
        refused=None,
    )
    is_new = observed.current != target.package or record.generation(target.package) is None
    if is_new:
        record = record.with_generation(target.package, external=wanted.external is not None)
        record = replace(record, switched=observed.switched)
    return record.with_ready(target.package, wanted.declaration["ready"])


def _updates(observed: Observed, record: Record, wanted: Wanted) -> Optional[UpdateSource]:
    """Return what is recorded of later updates: the flake too, since its own file is written after the record."""
    declared, flake = wanted.origin.updates, wanted.origin.flake
    if declared is None and flake is None:
        return record.updates
    declared = replace(declared or UpdateSource(""), flake=(observed.flake if flake is None else flake) or "")
    says_all = declared.attribute is None and not declared.nix_arguments
    return None if says_all and record.updates is None else declared


def _kept_packages(
    observed: Observed, wanted: Wanted, record: Record, linked: Tuple[str, Optional[str]]
) -> Dict[str, None]:
    """Packages that a link will refer to, and those of the last generations. ``linked`` are current and booted."""
    old = observed.old if observed.current == linked[0] else observed.current
    return record.kept(
        wanted.declaration["keep_generations"], [package for package in (*linked, old) if package is not None]
    )


def _unused(observed: Observed, wanted: Wanted, used: Iterable[str]) -> Iterator[Step[Action]]:
    """Yield the steps that remove what none of the used packages needs any more."""
    yield from unused_packages(observed, used)
    if wanted.package is not None:
        paths = wanted.declaration["store_paths"]
        yield from unused_closures(observed, wanted.package.directory_name, paths, used)


def _install(
    observed: Observed, wanted: Wanted, target: _Target, record: Record, used: Mapping[str, None]
) -> Iterator[Step[Action]]:
    if record != observed.record:
        yield Step(Action.RECORD, observed.name)
    if target.refused is None:
        yield from _provide(observed, wanted, target)
        yield from _boot_directories(observed, _lost_directories(record, wanted))
    # A build makes the link of its own result.
    built = target.package if wanted.origin.builds and target.refused is None else None
    yield from keep_steps(observed, [package for package in used if package != built])
    # What was declared stopped stays so when the host starts.
    unit, enabled = unit_name(observed.name), wanted.declaration["autostart"] and wanted.state != "stopped"
    if enabled != observed.unit.enabled:
        yield Step(Action.ENABLE if enabled else Action.DISABLE, unit)
    yield from unit_steps(observed, target.drop_ins, is_reloaded=enabled != observed.unit.enabled)


def _lost_directories(record: Record, wanted: Wanted) -> str:
    return settings.boot_directories(record.directories, wanted.account, _source_ownerships(wanted))


def _source_ownerships(wanted: Wanted) -> Mapping[str, Ownership]:
    return source_ownerships(wanted.declaration, wanted.account)


def _boot_directories(observed: Observed, wanted: str) -> Iterator[Step[Action]]:
    if wanted and wanted != observed.boot_directories:
        yield Step(Action.WRITE_BOOT_DIRECTORIES, observed.name)
    elif not wanted and observed.boot_directories is not None:
        yield Step(Action.REMOVE_BOOT_DIRECTORIES, observed.name)


def _provide(observed: Observed, wanted: Wanted, target: _Target) -> Iterator[Step[Action]]:
    name, origin = observed.name, wanted.origin
    if origin.builds:
        yield Step(Action.COPY_PACKAGE if origin.is_copied else Action.BUILD_PACKAGE, origin.builds)
    if not observed.has_account:
        yield Step(Action.CREATE_ACCOUNT, wanted.account.user)
    is_whole = target.package in observed.packages and target.package not in observed.damaged_packages
    if wanted.package is not None and not wanted.package.place and not is_whole:
        yield Step(Action.INSTALL_PACKAGE, target.package)
    yield from host_key_steps(observed, wanted.declaration["guest"]["host_key"])
    if target.refused is None:
        yield from closure_steps(observed, wanted.declaration["store_paths"])
    if not observed.exists:
        yield Step(Action.CREATE_STATE, name)
    elif target.changes_user:
        yield Step(Action.OWN_STATE, wanted.account.user)
    for directory in observed.missing_directories:
        yield Step(Action.CREATE_DIRECTORY, directory)
    if origin.flake and origin.flake != observed.flake:
        yield Step(Action.RECORD_FLAKE, origin.flake)
    elif observed.flake and origin.flake == "":
        yield Step(Action.FORGET_FLAKE, name)
    yield from link_steps(observed, target.package)
    if wanted.environment != observed.environment:
        yield Step(Action.WRITE_ENVIRONMENT, name)


def _run(
    observed: Observed, wanted: Wanted, target: _Target, differences: Tuple[Change, ...], clock: Clock
) -> Iterator[Step[Action]]:
    unit, running = unit_name(observed.name), observed.unit.running
    if wanted.state == "stopped":
        if observed.is_up:
            yield Step(Action.STOP, unit)
    elif wanted.state == "present":
        return
    elif not running:
        yield Step(Action.START, unit)
    elif wanted.state == "restarted" or wanted.declaration["restart_policy"] == "always":
        yield Step(Action.RESTART, unit)
    elif target.refused is None:
        waits = observed.waits_with(target.package)
        if waits and is_live(differences) and wanted.package is not None and _differs_live(observed, wanted.package):
            yield Step(Action.CHANGE_LIVE, ", ".join(change.path for change in differences))
        elif _is_switchable(wanted, target):
            yield Step(Action.SWITCH, wanted.switch.system if wanted.switch is not None else "")
        elif not waits or _is_done_by_switch(observed, wanted, target.package):
            return
        elif (
            not wanted.origin.is_left and is_time_to_restart(wanted, clock) and _matters(observed, wanted, differences)
        ):
            yield Step(Action.RESTART, unit)


def _is_switchable(wanted: Wanted, target: _Target) -> bool:
    """Return whether the guest can be switched; a user changes with a restart only."""
    is_possible = wanted.switch is not None and wanted.switch.is_possible
    return is_possible and not target.changes_user and not wanted.origin.is_left


def _is_done_by_switch(observed: Observed, wanted: Wanted, package: str) -> bool:
    """Return whether the guest was switched to a package as is declared, and is not restarted for what waits."""
    # Only a window is for restarts of guests that are to be switched.
    keeps_running = wanted.declaration["restart_policy"] != "window"
    return keeps_running and observed.is_switched(package, wanted.declaration["ssh_switch"])


def _differs_live(observed: Observed, package: Package) -> bool:
    """Return whether the command lines are equal but for options whose values can be changed live."""
    options = package.live_options

    # A guest that was switched to another system runs what no command line tells.
    is_as_booted = observed.guest is not None and observed.guest.package == observed.booted
    if COMMAND_LINE_FILE not in package.files or not is_as_booted:
        return False

    def rest(lines: str) -> List[str]:
        return [line for line in lines.splitlines() if line.partition(" ")[0] not in options]

    return rest(package.files[COMMAND_LINE_FILE].content.decode()) == rest(observed.booted_command_line)


def is_time_to_restart(wanted: Wanted, clock: Clock) -> bool:
    """Return whether a changed MicroVM may be restarted now."""
    policy, window = wanted.declaration["restart_policy"], wanted.declaration["restart_window"]
    return bool(policy == "if_changed" or (policy == "window" and window is not None and clock.is_within(window)))


def _matters(observed: Observed, wanted: Wanted, differences: Tuple[Change, ...]) -> bool:
    """Return whether a guest is worth a restart: for its declaration or its command line, not for newer scripts around
    the same."""
    if observed.booted_declared is None or wanted.package is None or wanted.external is not None:
        return True
    return bool(differences) or wanted.package.files[COMMAND_LINE_FILE].content.decode() != observed.booted_command_line
