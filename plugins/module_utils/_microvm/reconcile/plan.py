# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From what is and what is wanted to steps. Pure: check mode prints them, apply carries them out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Iterator, Optional, Tuple

from ..declaration.errors import DeclarationError
from ..declaration.names import OWN_ENTRIES, unit_name
from .state import Observed, Wanted
from .steps import Step


class Action(Enum):
    """What a step does, in the order in which steps are carried out."""

    INSTALL = "install package"
    CREATE_STATE = "create state directory"
    CREATE_DIRECTORY = "create directory"
    LINK_OLD = "link old"
    LINK_CURRENT = "link current"
    WRITE_DROP_IN = "write unit settings"
    REMOVE_DROP_IN = "remove unit settings"
    READ_SETTINGS = "read unit settings"
    ENABLE = "systemctl enable"
    DISABLE = "systemctl disable"
    STOP = "systemctl stop"
    START = "systemctl start"
    RESTART = "systemctl restart"
    REMOVE_ENTRY = "remove"
    REMOVE_STATE = "remove state directory"
    REMOVE_PACKAGE = "remove package"


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
    kept: Tuple[str, ...] = ()
    """What a removal leaves in the state directory: volumes and all that is not ours."""

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
        if self.has(Action.RESTART, Action.STOP):
            return "restart" if self.has(Action.RESTART) else "stop"
        if self.has(Action.START):
            return "start"
        return "restart pending" if self.restart_pending else "nothing"


def plan(observed: Observed, wanted: Wanted, path: str) -> Plan:
    """Raises DeclarationError, with ``path``, for a MicroVM that is somebody else's."""
    if observed.foreign is not None:
        raise DeclarationError(
            f"{path}.name",
            f"a MicroVM {observed.name!r} that was not installed by this collection is on the host "
            f"(current -> {observed.foreign}); choose another name, or remove that one first",
        )
    if wanted.package is None:
        return _plan_removal(observed)
    directory_name = wanted.package.directory_name
    steps = (*_install(observed, wanted, directory_name), *_run(observed, wanted, directory_name))
    still_running = observed.unit.running and not _stops(steps)
    return Plan(
        name=observed.name,
        steps=(*steps, *_prune(observed, directory_name)),
        package=directory_name,
        previous=observed.current,
        restart_pending=still_running and observed.booted != directory_name,
    )


def _install(observed: Observed, wanted: Wanted, directory_name: str) -> Iterator[Step[Action]]:
    if directory_name not in observed.packages:
        yield Step(Action.INSTALL, directory_name)
    if not observed.exists:
        yield Step(Action.CREATE_STATE, observed.name)
    for directory in observed.missing_directories:
        yield Step(Action.CREATE_DIRECTORY, directory)
    if observed.current != directory_name:
        if observed.current is not None:
            yield Step(Action.LINK_OLD, observed.current)
        yield Step(Action.LINK_CURRENT, directory_name)
    if wanted.drop_in != observed.drop_in:
        action = Action.WRITE_DROP_IN if wanted.drop_in is not None else Action.REMOVE_DROP_IN
        yield Step(action, unit_name(observed.name))
    elif observed.unit.stale:
        # A run was killed before it could tell systemd.
        yield Step(Action.READ_SETTINGS, unit_name(observed.name))
    if wanted.declaration["autostart"] != observed.unit.enabled:
        action = Action.ENABLE if wanted.declaration["autostart"] else Action.DISABLE
        yield Step(action, unit_name(observed.name))


def _run(observed: Observed, wanted: Wanted, directory_name: str) -> Iterator[Step[Action]]:
    unit, running = unit_name(observed.name), observed.unit.running
    outdated = observed.booted != directory_name
    if wanted.state == "stopped" and _is_up(observed):
        yield Step(Action.STOP, unit)
    elif wanted.state in ("started", "restarted") and not running:
        yield Step(Action.START, unit)
    elif wanted.state == "restarted" or (wanted.state == "started" and outdated):
        yield Step(Action.RESTART, unit)


def _is_up(observed: Observed) -> bool:
    """Whether it runs, or something of it is left: the host lost its power, or its helpers are just ending."""
    return observed.unit.running or observed.booted is not None


def _stops(steps: Tuple[Step[Action], ...]) -> bool:
    return any(step.action in (Action.STOP, Action.RESTART) for step in steps)


def _prune(observed: Observed, directory_name: str) -> Iterator[Step[Action]]:
    """Packages that no link will refer to. The one before stays as ``old``; what still runs is no rubbish either."""
    old = observed.old if observed.current == directory_name else observed.current
    used = {directory_name, old, observed.booted}
    for package in observed.packages:
        if package not in used:
            yield Step(Action.REMOVE_PACKAGE, package)


def _plan_removal(observed: Observed) -> Plan:
    return Plan(
        name=observed.name,
        steps=tuple(_remove(observed)),
        package=None,
        previous=observed.current,
        restart_pending=False,
        kept=tuple(entry for entry in observed.entries if not _is_ours(entry, observed)),
    )


def _remove(observed: Observed) -> Iterator[Step[Action]]:
    unit = unit_name(observed.name)
    if observed.drop_in is not None:
        yield Step(Action.REMOVE_DROP_IN, unit)
    if observed.unit.enabled:
        yield Step(Action.DISABLE, unit)
    if _is_up(observed) or observed.unit.active_state == "failed":
        yield Step(Action.STOP, unit)
    ours = [entry for entry in observed.entries if _is_ours(entry, observed)]
    for entry in ours:
        yield Step(Action.REMOVE_ENTRY, f"{observed.name}/{entry}")
    if observed.exists and len(ours) == len(observed.entries):
        yield Step(Action.REMOVE_STATE, observed.name)
    for package in observed.packages:
        yield Step(Action.REMOVE_PACKAGE, package)


def _is_ours(entry: str, observed: Observed) -> bool:
    """Links, sockets and what is half made; everything else is somebody's data. No volume has such a name."""
    return entry in (*OWN_ENTRIES, *observed.sockets) or entry.endswith(".partial")
