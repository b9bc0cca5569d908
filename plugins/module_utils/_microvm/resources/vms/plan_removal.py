# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the removal of a MicroVM: exactly what was recorded, and no volume unless its owner says so. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable, Iterator, Optional, Sequence, Tuple

from ...declaration.names import PARTIAL_SUFFIX, STATE_ENTRIES, WORK_DIRECTORY, WORK_ENTRIES, unit_name
from ...declaration.restrictions.uses import is_below
from ...declaration.vms.disks import Disks
from ...host.records import Record
from ...hypervisors.leftovers import leftovers
from ...schema.errors import DeclarationError
from ..steps import Step
from .actions import Action, Plan, ordered, refuse_elsewhere, unit_steps, unused_packages
from .state import Observed


@dataclass(frozen=True)
class Removal:
    """Wishes for a removal: ``on_absent`` of a declaration."""

    volumes: str = "keep"
    confirm: Tuple[str, ...] = ()


def plan_stop(observed: Observed) -> Plan:
    """Plan the end of a MicroVM that is no longer declared: it neither runs nor starts with the host."""
    unit = unit_name(observed.name)
    steps = [Step(Action.STOP, unit)] if observed.is_up else []
    if observed.unit.enabled:
        steps += [Step(Action.DISABLE, unit), Step(Action.READ_UNIT_SETTINGS, unit)]
    record = replace(observed.record, state="stopped") if observed.record else None
    if record != observed.record:
        steps.append(Step(Action.RECORD, observed.name))
    return Plan(observed.name, ordered(steps), observed.current, observed.current, record=record)


def plan_removal(observed: Observed, removal: Removal = Removal(), path: str = "") -> Plan:
    """Raises DeclarationError, below ``path``, for a volume that would be deleted and is not named, and for a MicroVM
    that is somebody else's."""
    prefix = f"{path}." if path else ""
    if observed.foreign is not None:
        raise DeclarationError(
            f"{prefix}name",
            f"the MicroVM {observed.name!r} was not installed by this collection (current -> {observed.foreign}); "
            "remove it with the tool that installed it",
        )
    if observed.is_former:
        raise DeclarationError(
            f"{prefix}name",
            f"the state directory of {observed.name!r} has the layout of an earlier version; run the role "
            "microvm.fleet.host first",
        )
    refuse_elsewhere(observed, path)
    disks = Disks(observed.state_directory)
    volumes = tuple(volume for volume in observed.volumes if disks.problem(observed.name, volume) is None)
    if removal.volumes == "delete":
        recorded = observed.record.volumes if observed.record else ()
        _refuse_unnamed(volumes, recorded, removal.confirm, f"{prefix}on_absent.confirm")
        _refuse_found(observed, removal.confirm, f"{prefix}on_absent.confirm")
    removed = volumes if removal.volumes != "keep" else ()
    # The subdirectory that a removed volume was in stays.
    leaving = {_entry_of(volume) for volume in removed if _entry_of(volume) in observed.entries}
    remaining = tuple(entry for entry in observed.entries if not _is_ours(entry, observed) and entry not in leaving)
    remaining_volumes = tuple(volume for volume in volumes if volume not in removed)
    directories = _remaining_directories(observed, remaining_volumes)
    record = _of_kept(observed, remaining_volumes, directories, bool(remaining or remaining_volumes or directories))
    clearing = _clear(observed, remaining, leaving, record)
    # A guest of the same name that is made anew has another one, unless it uses a volume again.
    is_key_stale = observed.has_host_key and observed.record is not None and not remaining_volumes
    forgetting = [Step(Action.FORGET_HOST_KEY, observed.name)] if is_key_stale else []
    steps = (*_stop(observed), *_volume_steps(removal.volumes, removed), *clearing, *forgetting)
    outside = (path for path in (*remaining_volumes, *directories) if path.startswith("/"))
    user = (f"user {record.user}",) if record is not None and record.user else ()
    return Plan(
        observed.name, ordered(steps), None, observed.current, record=record, kept=(*remaining, *outside, *user)
    )


def _remaining_directories(observed: Observed, volumes: Sequence[str]) -> Tuple[str, ...]:
    """Return the directories outside of the state directory that cannot go, since something stays in them."""
    remaining = (*observed.full_directories, *volumes)
    recorded = observed.record.directories if observed.record else ()
    return tuple(
        directory
        for directory in recorded
        if directory in remaining or any(is_below(path, directory) for path in remaining)
    )


def _of_kept(
    observed: Observed, volumes: Tuple[str, ...], directories: Tuple[str, ...], has_data: bool
) -> Optional[Record]:
    """Return the record of a MicroVM that has left data, so that they can still be removed by name."""
    if observed.record is None or not has_data:
        return None
    state = observed.record.state_directory
    return Record(observed.name, state, user=observed.record.user, directories=directories, volumes=volumes)


def _refuse_unnamed(volumes: Sequence[str], recorded: Sequence[str], confirmed: Sequence[str], path: str) -> None:
    """Refuse to delete volumes that are not named. A recorded one that is gone may be: a killed run has deleted it."""
    missing = [image for image in volumes if image not in confirmed]
    if missing:
        raise DeclarationError(path, f"does not list {', '.join(missing)}; list every volume that may be deleted")
    unknown = [image for image in confirmed if image not in (*volumes, *recorded)]
    if unknown and volumes:
        raise DeclarationError(
            path, f"{', '.join(unknown)} is not a volume of this MicroVM; its volumes are: {', '.join(volumes)}"
        )


def _refuse_found(observed: Observed, confirmed: Sequence[str], path: str) -> None:
    """Refuse to delete an image that was there before the MicroVM."""
    recorded = observed.record.volumes if observed.record else ()
    for volume in observed.declared["volumes"] if observed.declared else ():
        if volume["image"] in confirmed and volume["image"] not in recorded:
            raise DeclarationError(
                path,
                f"{volume['image']} was not created for this MicroVM, so it stays; remove it from the list, and delete "
                "it yourself",
            )


def _volume_steps(what: str, volumes: Sequence[str]) -> Iterator[Step[Action]]:
    action = Action.ARCHIVE_VOLUME if what == "archive" else Action.DELETE_VOLUME
    for volume in volumes:
        yield Step(action, volume)


def _stop(observed: Observed) -> Iterator[Step[Action]]:
    unit = unit_name(observed.name)
    if observed.unit.enabled:
        yield Step(Action.DISABLE, unit)
    if observed.is_up or observed.unit.active_state == "failed":
        yield Step(Action.STOP, unit)
    # After the stop: they say under whose name it is stopped.
    yield from unit_steps(observed, {}, is_reloaded=observed.unit.enabled)


def _clear(
    observed: Observed, remaining: Sequence[str], leaving: Iterable[str], remembered: Optional[Record]
) -> Iterator[Step[Action]]:
    name, record = observed.name, observed.record
    for entry in observed.entries:
        if entry not in remaining and entry not in leaving:
            yield Step(Action.REMOVE_ENTRY, f"{name}/{entry}")
    if observed.exists and not remaining:
        yield Step(Action.REMOVE_STATE, name)
    for directory in reversed(record.directories if record else ()):
        if remembered is None or directory not in remembered.directories:
            yield Step(Action.REMOVE_DIRECTORY, directory)
    if observed.environment is not None:
        yield Step(Action.REMOVE_ENVIRONMENT, name)
    if observed.boot_directories is not None:
        yield Step(Action.REMOVE_BOOT_DIRECTORIES, name)
    yield from unused_packages(observed, ())
    for closure in sorted(observed.closures):
        yield Step(Action.RELEASE_CLOSURE, closure)
    if record is not None and record.user and remembered is None:
        # Whoever got its number next would own what is kept.
        yield Step(Action.REMOVE_ACCOUNT, record.user)
    if record is not None and remembered != record:
        yield Step(Action.KEEP_RECORD if remembered else Action.FORGET, name)


def _entry_of(image: str) -> str:
    """Return the entry of a state directory that a file of the working directory is."""
    return f"{WORK_DIRECTORY}/{image}"


def _is_ours(entry: str, observed: Observed) -> bool:
    """Return whether an entry is a link, a socket, half made of ours or left by a hypervisor; everything else is
    somebody's data."""
    own = (*STATE_ENTRIES, *map(_entry_of, WORK_ENTRIES), *observed.sockets)
    volumes = [_entry_of(volume) for volume in observed.record.volumes] if observed.record else []
    is_half_made = entry.endswith(PARTIAL_SUFFIX) and entry[: -len(PARTIAL_SUFFIX)] in (*own, *volumes)
    left = map(_entry_of, leftovers(observed.declared)) if observed.declared else ()
    is_left = entry.endswith(".sock.pid") or entry in left
    return entry in own or is_half_made or (is_left and entry not in volumes)
