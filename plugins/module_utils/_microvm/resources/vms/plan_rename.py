# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the rename of a MicroVM: what a host has under the former name takes the new one, in one plan. Pure.

The record of the former name is the last thing to go. As long as it is there, the rename is not complete, and the next
run goes on with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import FrozenSet, Iterator, Optional, Tuple

from ...declaration.identity import account_name
from ...declaration.names import OLD_LINK, unit_name
from ...host.records import Record
from ...schema.errors import DeclarationError
from ..steps import Step
from .actions import Action, Plan, ordered
from .plan import Clock, is_time_to_restart, plan
from .state import Observed, Wanted


@dataclass(frozen=True)
class Former:
    """A MicroVM as the host has it under its former name."""

    observed: Observed
    has_account: bool = False
    """True if its own user or group is there."""
    is_account_taken: bool = False
    """True if the user or the group of the new name is there beside it."""
    has_archive: bool = False
    has_host_key: bool = False
    has_roots: bool = False
    """True if the garbage collector of Nix keeps anything for it."""
    moving: Optional[str] = None
    """Name of the two that is being moved to or from another host."""
    mount_point: Optional[str] = None
    """Directory of its that a file system is mounted on, which cannot be renamed."""
    drop_ins_of_others: Tuple[str, ...] = ()
    """Files of operators for the units of the former name, which stay."""

    @property
    def name(self) -> str:
        """The former name."""
        return self.observed.name

    @property
    def packages(self) -> FrozenSet[str]:
        """Return all packages that were installed for it."""
        generations = self.observed.record.generations if self.observed.record else ()
        return frozenset((*self.observed.packages, *(generation.package for generation in generations)))


def plan_rename(former: Former, observed: Observed, wanted: Wanted, path: str, clock: Clock) -> Plan:
    """Plan a MicroVM that takes the place of another one. Raises DeclarationError, with ``path``, as ``plan`` does, and
    where the one cannot take the place of the other."""
    _refuse(former, observed, wanted, f"{path}.renamed_from" if path else "renamed_from", clock)
    renamed = as_renamed(former, observed)
    planned = plan(renamed, wanted, path, clock)
    is_recorded = planned.record == observed.record
    own = [*planned.steps, *(() if is_recorded else (Step(Action.RECORD, observed.name),))]
    return replace(
        planned,
        steps=ordered(dict.fromkeys([*_steps(former, observed), *own])),
        previous=planned.previous or former.observed.current,
        booted=planned.booted or former.observed.booted,
        former=former.name,
    )


def as_renamed(former: Former, observed: Observed) -> Observed:
    """Return a MicroVM as it is when what is there under its former name has its name, and nothing has started yet."""
    before = former.observed
    own_group, group = account_name(former.name), observed.group or before.group
    return replace(
        observed,
        entries=observed.entries if observed.exists else before.entries,
        sockets=observed.sockets if observed.exists else before.sockets,
        exists=observed.exists or before.exists,
        group=account_name(observed.name) if group == own_group else group,
        current=_unless_of(former, observed.current),
        booted=_unless_of(former, observed.booted),
        old=_unless_of(former, observed.old),
        foreign=_unless_of(former, observed.foreign),
        record=_record(before.record, observed),
        declared=before.declared or observed.declared,
        booted_declared=None if observed.booted is None else observed.booted_declared,
        flake=observed.flake if observed.exists else before.flake,
        volumes=observed.volumes if observed.exists else before.volumes,
        full_directories=tuple(sorted({*observed.full_directories, *before.full_directories})),
        has_account=observed.has_account or former.has_account,
        is_key_given=observed.is_key_given or before.is_key_given,
    )


def _unless_of(former: Former, package: Optional[str]) -> Optional[str]:
    return None if package in former.packages else package


def _record(before: Optional[Record], observed: Observed) -> Optional[Record]:
    """Return the record with all that was created for the MicroVM. Generations of the former name are none of it: their
    packages contain that name."""
    if before is None:
        return observed.record
    record = observed.record or Record(observed.name, "")
    return replace(
        record,
        state_directory=record.state_directory or before.state_directory,
        user=account_name(observed.name) if before.user == account_name(before.name) else record.user or before.user,
        directories=tuple(sorted({*record.directories, *before.directories})),
        volumes=tuple(sorted({*record.volumes, *before.volumes})),
        updates=record.updates or before.updates,
    )


def _steps(former: Former, observed: Observed) -> Iterator[Step[Action]]:
    """Yield the steps after which nothing has the former name."""
    before, name, unit = former.observed, former.name, unit_name(former.name)
    if before.unit.enabled:
        yield Step(Action.DISABLE, unit)
    if before.is_up or before.unit.active_state == "failed":
        yield Step(Action.STOP, unit)
    if former.has_account:
        yield Step(Action.RENAME_ACCOUNT, name)
    if before.exists:
        yield Step(Action.RENAME_STATE, name)
    if former.has_archive:
        yield Step(Action.RENAME_ARCHIVE, name)
    if former.has_host_key:
        yield Step(Action.RENAME_HOST_KEY, name)
    for template in sorted(before.drop_ins):
        yield Step(Action.REMOVE_UNIT_SETTINGS, template.replace("@", f"@{name}"))
    if before.drop_ins or before.unit.enabled or before.unit.stale:
        yield Step(Action.READ_UNIT_SETTINGS, unit_name(observed.name))
    yield from _removals(former, observed)


def _removals(former: Former, observed: Observed) -> Iterator[Step[Action]]:
    before, old = former.observed, observed.old if observed.exists else former.observed.old
    if old is not None and old in former.packages:
        yield Step(Action.REMOVE_ENTRY, f"{observed.name}/{OLD_LINK}")
    if before.environment is not None:
        yield Step(Action.REMOVE_ENVIRONMENT, former.name)
    if before.boot_directories is not None:
        yield Step(Action.REMOVE_BOOT_DIRECTORIES, former.name)
    for package in before.packages:
        yield Step(Action.REMOVE_PACKAGE, package)
    # What the new name needs has its own by then: they are made first.
    if former.has_roots:
        yield Step(Action.RELEASE_FORMER, former.name)
    if before.record is not None:
        yield Step(Action.FORGET, former.name)


def _refuse(former: Former, observed: Observed, wanted: Wanted, path: str, clock: Clock) -> None:
    problem = _problem(former) or _problem_beside(former, observed)
    if not problem and former.observed.unit.running and not _may_stop(wanted, clock):
        problem = (
            f"{former.name!r} is running, and a rename requires a stop, which state and restart_policy do not allow "
            f"now; change restart_policy, or stop it first: microvm stop {former.name}"
        )
    if problem:
        raise DeclarationError(path, problem)


def _problem(former: Former) -> str:
    """Return what keeps a MicroVM from being renamed; empty for nothing."""
    name, before = former.name, former.observed
    elsewhere = before.record.state_directory if before.record else ""
    if before.foreign is not None:
        return (
            f"the MicroVM {name!r} was not installed by this collection (current -> {before.foreign}); remove this "
            "option, or that MicroVM with the tool that installed it"
        )
    if former.moving is not None:
        return (
            f"{former.moving!r} is being moved between hosts, and a rename has to wait; complete that move first, by "
            "the playbook microvm.fleet.move without this option, or take it back with `-e microvm_move_back=true`"
        )
    if before.is_former:
        return f"the state directory of {name!r} has the layout of an earlier version; run the role microvm.fleet.host"
    if elsewhere not in ("", before.state_directory):
        return f"{name!r} is installed in {elsewhere}; set `state_dir: {elsewhere}`"
    if before.exists and before.record is None:
        return (
            f"{name!r} has a state directory and no record, which says what belongs to it; run with its former name "
            "first, which makes a new record"
        )
    if former.mount_point is not None:
        return (
            f"{former.mount_point} is a mount point, which a rename would not move; stop the MicroVM, unmount it, run "
            "again, and mount its file system below the new name"
        )
    return ""


def _problem_beside(former: Former, observed: Observed) -> str:
    """Return what a host has that keeps one MicroVM from taking the place of another; empty for nothing."""
    if former.observed.exists and observed.exists:
        return (
            f"the host has both {former.name!r} and {observed.name!r}, or data that one of them has left; remove one "
            "with its volumes, or remove this option"
        )
    if former.is_account_taken:
        return (
            f"the host has both the account {account_name(former.name)!r} and the account "
            f"{account_name(observed.name)!r}; remove the one that owns no volumes (userdel)"
        )
    return ""


def _may_stop(wanted: Wanted, clock: Clock) -> bool:
    if wanted.state == "started":
        return wanted.declaration["restart_policy"] == "always" or is_time_to_restart(wanted, clock)
    return wanted.state in ("stopped", "restarted")
