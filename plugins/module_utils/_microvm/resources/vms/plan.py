# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what is and what is wanted to steps. Pure: check mode prints them, apply carries them out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

from ...declaration.names import unit_name
from ...host.records import Record
from ...runner.package import COMMAND_LINE_FILE, Package
from ...schema.errors import DeclarationError
from ...schema.options import RECREATE
from ..steps import BaseAction, Step
from . import settings
from .changes import Change, changes, is_live
from .state import Observed, Wanted, unit_files


class Action(BaseAction):
    """What a step does, in the order in which steps are carried out."""

    RECORD = "record"
    CREATE_ACCOUNT = "create user"
    INSTALL = "install package"
    STOP_FIRST = "systemctl stop, before its user changes,"
    CREATE_STATE = "create state directory"
    OWN_STATE = "give the state directory to"
    CREATE_DIRECTORY = "create directory"
    LINK_OLD = "link old"
    LINK_CURRENT = "link current"
    WRITE_ENVIRONMENT = "write settings"
    WRITE_DROP_IN = "write unit settings"
    REMOVE_DROP_IN = "remove unit settings"
    READ_SETTINGS = "read unit settings"
    ENABLE = "systemctl enable"
    DISABLE = "systemctl disable"
    CHANGE_LIVE = "change live"
    STOP = "systemctl stop"
    START = "systemctl start"
    RESTART = "systemctl restart"
    ARCHIVE_VOLUME = "archive volume"
    DELETE_VOLUME = "delete volume"
    KEEP_RECORD = "remember what is kept of"
    REMOVE_ENTRY = "remove"
    REMOVE_STATE = "remove state directory"
    REMOVE_DIRECTORY = "remove directory"
    REMOVE_ENVIRONMENT = "remove settings"
    REMOVE_PACKAGE = "remove package"
    REMOVE_ACCOUNT = "remove user"
    FORGET = "forget"


@dataclass(frozen=True)
class Clock:
    """The host's time of day."""

    minute: int = 0
    """Minutes since midnight."""

    def is_within(self, window: str) -> bool:
        """Whether it is in a window such as ``22:00-04:30``, its end excluded."""
        begin, end = (int(time[:2]) * 60 + int(time[3:]) for time in window.split("-"))
        return begin <= self.minute < end if begin <= end else not end <= self.minute < begin


@dataclass(frozen=True)
class Plan:
    """All that changes for one MicroVM, and what will be when it is done."""

    name: str
    steps: Tuple[Step[Action], ...]
    package: Optional[str]
    """Directory name of the package that ``current`` will point to."""
    previous: Optional[str]
    restart_pending: bool
    """Whether the MicroVM will still run an older package than ``current``."""
    record: Optional[Record] = None
    """What will be recorded."""
    kept: Tuple[str, ...] = ()
    """What a removal leaves in the state directory: volumes and all that is not ours."""
    changes: Tuple[Change, ...] = ()
    """What differs between the declaration that runs, or was installed, and the wanted one."""
    refused: Optional[str] = None
    """The wanted package, where it was marked bad and is not installed again."""
    drop_ins: Mapping[str, str] = field(default_factory=dict)
    """What the drop-ins of the units will be, by template."""

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.steps)

    def has(self, *actions: Action) -> bool:
        """Whether one of the actions is planned."""
        return any(step.action in actions for step in self.steps)

    @property
    def consequence(self) -> str:
        """What the guest notices, for a diff."""
        if self.has(Action.RESTART, Action.STOP, Action.STOP_FIRST):
            return "restart" if self.has(Action.RESTART, Action.START) else "stop"
        if self.has(Action.START):
            return "start"
        if self.restart_pending:
            return "restart pending"
        return "live" if self.has(Action.CHANGE_LIVE) else "nothing"

    @property
    def recreate(self) -> Tuple[str, ...]:
        """Options that only what is made anew will have."""
        return tuple(change.path for change in self.changes if change.cost == RECREATE)


def plan(observed: Observed, wanted: Wanted, path: str, clock: Clock = Clock()) -> Plan:
    """Raises DeclarationError, with ``path``, for a MicroVM that is somebody else's, and for a volume that shrinks."""
    if observed.foreign is not None:
        raise DeclarationError(
            f"{path}.name",
            f"a MicroVM {observed.name!r} that was not installed by this collection is on the host "
            f"(current -> {observed.foreign}); choose another name, or remove that one first",
        )
    if wanted.package is None:
        raise ValueError("a removal is planned by removal.plan_removal")
    refuse_elsewhere(observed, path)
    found = changes(observed.booted_declared or observed.declared, wanted.declaration)
    _refuse_shrinking(observed, wanted, path)
    target = _target(observed, wanted, wanted.package.directory_name)
    record = _record(observed, wanted, target)
    run = tuple(_run(observed, wanted, target, found, clock))
    first: Tuple[Step[Action], ...] = ()
    # One that runs what it shall run has the right user; only the directory's group is not what it was.
    if target.changes_user and observed.is_up and observed.booted != target.package:
        first, run = _stopped_first(observed, run, path)
    is_current = any(step.action in _ENDS_OLD for step in (*first, *run))
    is_pending = observed.unit.running and not is_current and observed.booted != target.package
    if is_pending and target.refused is None:
        target = replace(target, drop_ins=settings.with_memory_of(target.drop_ins, observed.drop_ins))
    booted = None if is_current else observed.booted
    kept = _kept_packages(observed, wanted, record, (target.package, booted))
    record = record.only(kept)
    removed = (Step(Action.REMOVE_PACKAGE, package) for package in observed.packages if package not in kept)
    return Plan(
        name=observed.name,
        steps=(*first, *_install(observed, wanted, target, record), *run, *removed),
        package=target.package,
        previous=observed.current,
        restart_pending=is_pending,
        record=record,
        changes=found,
        refused=target.refused,
        drop_ins=target.drop_ins,
    )


_Steps = Tuple[Step[Action], ...]

_ENDS_OLD = (Action.STOP_FIRST, Action.STOP, Action.START, Action.RESTART, Action.CHANGE_LIVE)
"""After one of these, what was booted before runs no more."""


def refuse_elsewhere(observed: Observed, path: str) -> None:
    """Raises DeclarationError for a MicroVM that is known to be in another state directory."""
    record = observed.record
    if record is not None and record.state_directory not in ("", observed.state_directory):
        raise DeclarationError(
            f"{path}.name" if path else "name",
            f"{observed.name!r} is in {record.state_directory} on this host, not in {observed.state_directory}; "
            f"say `state_dir: {record.state_directory}`, or remove it there first",
        )


def _stopped_first(observed: Observed, run: _Steps, path: str) -> Tuple[_Steps, _Steps]:
    """Who runs under one user can neither be stopped nor go on under another one: what comes before all other steps,
    and what is left of ``run``."""
    unit = unit_name(observed.name)
    if observed.unit.running and not any(step.action in (Action.STOP, Action.RESTART) for step in run):
        raise DeclarationError(
            f"{path}.isolation" if path else "isolation",
            "changes the user of a MicroVM that runs, which takes a restart in the same run; let restart_policy allow "
            "it, or stop the MicroVM first",
        )
    starts = any(step.action in (Action.START, Action.RESTART) for step in run)
    return (Step(Action.STOP_FIRST, unit),), ((Step(Action.START, unit),) if starts else ())


@dataclass(frozen=True)
class _Target:
    """The package that ``current`` shall lead to; another one than the wanted where that was marked bad."""

    package: str
    drop_ins: Mapping[str, str]
    refused: Optional[str] = None
    changes_user: bool = False


def _target(observed: Observed, wanted: Wanted, package: str) -> _Target:
    record, new = observed.record, wanted.package
    if record is not None and record.is_bad(package) and observed.current is not None and observed.current != package:
        # What stands there is what the rollback left; its drop-ins stay as they are.
        return _Target(observed.current, dict(observed.drop_ins), refused=package)
    texts = unit_files(new) if new is not None else {}
    changes_user = observed.exists and observed.group != wanted.account.group
    return _Target(package, settings.drop_ins(texts, wanted.unit_settings), changes_user=changes_user)


def _refuse_shrinking(observed: Observed, wanted: Wanted, path: str) -> None:
    """By what was declared, not by the image's size: that one may have grown by hand."""
    before = {volume["image"]: volume["size"] for volume in (observed.declared["volumes"] if observed.declared else ())}
    for index, volume in enumerate(wanted.declaration["volumes"]):
        old, new = before.get(volume["image"]), volume["size"]
        if volume["auto_create"] and old and new and new < old:
            raise DeclarationError(
                f"{path}.volumes[{index}].size" if path else f"volumes[{index}].size",
                f"{volume['image']} has {old} MiB, and no volume shrinks; write {old} or more, or another image",
            )


def _record(observed: Observed, wanted: Wanted, target: _Target) -> Record:
    """What there is, together with what is to come."""
    record = observed.record or Record(wanted.name, "")
    volumes = [volume["image"] for volume in wanted.declaration["volumes"] if volume["auto_create"]]
    if target.refused is not None:
        return record
    record = replace(
        record,
        state_directory=observed.state_directory,
        # One that was there before is somebody else's to remove.
        user=record.user if observed.has_account else wanted.account.user,
        directories=tuple(sorted({*record.directories, *observed.missing_directories})),
        volumes=tuple(sorted({*record.volumes, *volumes})),
        unit_settings=wanted.unit_settings,
        ready=wanted.declaration["ready"],
    )
    is_new = observed.current != target.package or record.generation(target.package) is None
    return record.with_generation(target.package) if is_new else record


def _kept_packages(
    observed: Observed, wanted: Wanted, record: Record, linked: Tuple[str, Optional[str]]
) -> Dict[str, None]:
    """Packages that a link will refer to, and those of the last generations. ``linked`` are current and booted."""
    old = observed.old if observed.current == linked[0] else observed.current
    return record.kept(wanted.declaration["keep_generations"], [one for one in (*linked, old) if one is not None])


def _install(observed: Observed, wanted: Wanted, target: _Target, record: Record) -> Iterator[Step[Action]]:
    if record != observed.record:
        yield Step(Action.RECORD, observed.name)
    if target.refused is None:
        yield from _provide(observed, wanted, target)
    yield from _tell_units(observed, wanted, target)


def _provide(observed: Observed, wanted: Wanted, target: _Target) -> Iterator[Step[Action]]:
    name = observed.name
    if not observed.has_account:
        yield Step(Action.CREATE_ACCOUNT, wanted.account.user)
    if target.package not in observed.packages:
        yield Step(Action.INSTALL, target.package)
    if not observed.exists:
        yield Step(Action.CREATE_STATE, name)
    elif target.changes_user:
        yield Step(Action.OWN_STATE, wanted.account.user)
    for directory in observed.missing_directories:
        yield Step(Action.CREATE_DIRECTORY, directory)
    if observed.current != target.package:
        if observed.current is not None:
            yield Step(Action.LINK_OLD, observed.current)
        yield Step(Action.LINK_CURRENT, target.package)


def _tell_units(observed: Observed, wanted: Wanted, target: _Target) -> Iterator[Step[Action]]:
    unit = unit_name(observed.name)
    if wanted.environment != observed.environment and target.refused is None:
        yield Step(Action.WRITE_ENVIRONMENT, observed.name)
    differing = [
        template
        for template in sorted({*target.drop_ins, *observed.drop_ins})
        if target.drop_ins.get(template) != observed.drop_ins.get(template)
    ]
    for template in differing:
        action = Action.WRITE_DROP_IN if template in target.drop_ins else Action.REMOVE_DROP_IN
        yield Step(action, template.replace("@", f"@{observed.name}"))
    if observed.unit.stale and not differing:
        # A run was killed before it could tell systemd.
        yield Step(Action.READ_SETTINGS, unit)
    if wanted.declaration["autostart"] != observed.unit.enabled:
        yield Step(Action.ENABLE if wanted.declaration["autostart"] else Action.DISABLE, unit)


def _run(
    observed: Observed, wanted: Wanted, target: _Target, found: Tuple[Change, ...], clock: Clock
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
    elif observed.booted != target.package and target.refused is None:
        if is_live(found) and wanted.package is not None and _differs_live(observed, wanted.package):
            yield Step(Action.CHANGE_LIVE, ", ".join(change.path for change in found))
        elif _is_time(wanted, clock) and _matters(observed, wanted, found):
            yield Step(Action.RESTART, unit)


def _differs_live(observed: Observed, package: Package) -> bool:
    """Whether the command lines are equal but for options whose values can be changed live."""
    options = package.live_options

    def rest(lines: str) -> List[str]:
        return [line for line in lines.splitlines() if line.partition(" ")[0] not in options]

    return rest(package.files[COMMAND_LINE_FILE].content.decode()) == rest(observed.booted_command_line)


def _is_time(wanted: Wanted, clock: Clock) -> bool:
    policy, window = wanted.declaration["restart_policy"], wanted.declaration["restart_window"]
    return bool(policy == "if_changed" or (policy == "window" and window is not None and clock.is_within(window)))


def _matters(observed: Observed, wanted: Wanted, found: Tuple[Change, ...]) -> bool:
    """Whether a guest is worth a restart: for its declaration or its command line, not for a newer collection's scripts
    around the same."""
    if observed.booted_declared is None or wanted.package is None:
        return True
    return bool(found) or wanted.package.files[COMMAND_LINE_FILE].content.decode() != observed.booted_command_line
