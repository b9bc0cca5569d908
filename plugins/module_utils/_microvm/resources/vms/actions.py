# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Actions on MicroVMs, and plans that are made of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Iterable, Iterator, Mapping, Optional, Sequence, Tuple

from ...declaration.accounts import SHARED, Account
from ...declaration.names import unit_name
from ...declaration.vms.guest_store import closure_name
from ...declaration.vms.share_sources import Ownership
from ...host.records import Record
from ...runner.package import Package
from ...schema.errors import DeclarationError
from ...schema.options import RECREATE
from ..steps import BaseAction, Cost, Phase, Step, in_order
from .changes import Change
from .state import Observed
from .switches import Switch


class Action(BaseAction):
    """Action on a MicroVM: gifts are recorded first, guests stop before others start, removals come last."""

    BUILD_PACKAGE = "build"
    COPY_PACKAGE = "copy the package of"
    RECORD = "record"
    MARK_BAD = "mark bad"
    MARK_GOOD = "mark good"
    CREATE_ACCOUNT = "create user", Phase.TOGETHER
    INSTALL_PACKAGE = "install package"
    KEEP_PACKAGE = "make GC root of"
    DISABLE = "systemctl disable", Phase.TOGETHER
    STOP = "systemctl stop", Phase.PARALLEL, Cost.RESTART
    RENAME_ACCOUNT = "rename the user of"
    RENAME_STATE = "rename the state directory of"
    RENAME_ARCHIVE = "rename the archive of"
    RENAME_HOST_KEY = "rename the known host"
    GIVE_HOST_KEY = "make and record the SSH host key of"
    KEEP_CLOSURE = "make GC root of the closure of"
    CREATE_STATE = "create state directory"
    OWN_STATE = "change the owner of the state directory to"
    CREATE_DIRECTORY = "create directory"
    RECORD_FLAKE = "record the flake"
    FORGET_FLAKE = "forget the flake of"
    LINK_OLD = "link old"
    LINK_CURRENT = "link current"
    WRITE_ENVIRONMENT = "write settings"
    WRITE_BOOT_DIRECTORIES = "let directories be created at boot for"
    WRITE_UNIT_SETTINGS = "write unit settings"
    REMOVE_UNIT_SETTINGS = "remove unit settings"
    # After the links: a fallback that is killed between the two is tried once more, not for ever.
    MARK_FAILED = "mark bad after a failed start:"
    ENABLE = "systemctl enable", Phase.TOGETHER
    READ_UNIT_SETTINGS = "systemctl daemon-reload for", Phase.TOGETHER
    CHANGE_LIVE = "change live", Phase.PARALLEL, Cost.LIVE
    SWITCH = "switch the running guest to", Phase.PARALLEL, Cost.LIVE
    START = "systemctl start", Phase.PARALLEL
    RESTART = "systemctl restart", Phase.PARALLEL, Cost.RESTART
    ARCHIVE_VOLUME = "archive volume"
    DELETE_VOLUME = "delete volume"
    REMOVE_ENTRY = "remove"
    REMOVE_STATE = "remove state directory"
    REMOVE_DIRECTORY = "remove directory"
    REMOVE_ENVIRONMENT = "remove settings"
    REMOVE_BOOT_DIRECTORIES = "no longer create directories at boot for"
    REMOVE_PACKAGE = "remove package"
    RELEASE_PACKAGE = "remove GC root of"
    RELEASE_CLOSURE = "remove the link of"
    RELEASE_FORMER = "remove all GC roots of"
    REMOVE_ACCOUNT = "remove user"
    FORGET_HOST_KEY = "forget the known host"
    KEEP_RECORD = "record kept volumes of"
    FORGET = "delete the record of"


Steps = Tuple[Step[Action], ...]


@dataclass(frozen=True)
class Predecessor:
    """A MicroVM that has to end before another one of the run begins."""

    name: str
    package: str
    """The package that it runs until then."""
    thing: str
    """The thing that it has of those which the other one needs, for a message."""


@dataclass(frozen=True)
class Plan:
    """All that changes for one MicroVM, and what will be when it is done."""

    name: str
    steps: Steps
    package: Optional[str]
    """Name of the package that ``current`` will lead to."""
    previous: Optional[str]
    """Name of the package that ``current`` leads to before."""
    booted: Optional[str] = None
    """Name of the package that runs before."""
    restart_pending: bool = False
    """True if the MicroVM will still run an older package than ``current``."""
    guest: Optional[str] = None
    """Name of the package whose system the guest will run, where that is known and nothing starts."""
    record: Optional[Record] = None
    """The record as it will be."""
    kept: Tuple[str, ...] = ()
    """What a removal leaves: entries of the state directory and absolute paths, volumes and all that is not ours, and
    ``user NAME``, who owns them."""
    changes: Tuple[Change, ...] = ()
    """Differences between the declaration that runs, or was installed, and the wanted one."""
    refused: Optional[str] = None
    """The wanted package, where it was marked bad and is not installed again."""
    drop_ins: Mapping[str, str] = field(default_factory=dict)
    """The drop-ins of the units as they will be, by template."""
    environment: str = ""
    """The settings that the units' scripts will read."""
    boot_directories: str = ""
    """What creates directories again when the host starts."""
    content: Optional[Package] = None
    """The package to install."""
    account: Account = SHARED
    """The account that runs the MicroVM."""
    source_ownerships: Mapping[str, Ownership] = field(default_factory=dict)
    """What sources of shares are created with, by their paths, where that is declared."""
    volumes: Tuple[str, ...] = ()
    """Images that follow the state directory to another account."""
    balloon: int = 0
    """MiB that the balloon will take."""
    former: str = ""
    """The name that the MicroVM has on the host before."""
    predecessors: Tuple[Predecessor, ...] = ()
    """MicroVMs that have, before the run, what this one needs."""
    switch: Optional[Switch] = None
    """Switch of the running guest, where that is a step."""
    successors: Tuple[str, ...] = ()
    """Names of MicroVMs that need what this one has before the run."""

    @property
    def changed(self) -> bool:
        """Return whether there is anything to do."""
        return bool(self.steps)

    @property
    def generation(self) -> Optional[int]:
        """Number of the generation that will be current; ``None`` where it has none."""
        generation = self.record.generation(self.package) if self.record and self.package else None
        return generation.number if generation else None

    def has(self, *actions: Action) -> bool:
        """Return whether one of the actions is planned."""
        return any(step.action in actions for step in self.steps)

    @property
    def consequence(self) -> str:
        """Consequence of the plan for the guest, for a diff."""
        if self.has(Action.RESTART, Action.STOP):
            return "restart" if self.has(Action.RESTART, Action.START) else "stop"
        if self.has(Action.START):
            return "start"
        if self.has(Action.SWITCH) and self.switch is not None and self.switch.activates:
            return "switch"
        if self.restart_pending:
            return "restart pending"
        return "live" if self.has(Action.CHANGE_LIVE) else "nothing"

    @property
    def recreate(self) -> Tuple[str, ...]:
        """Options that only what is made anew will have."""
        return tuple(change.path for change in self.changes if change.cost == RECREATE)


def ordered(steps: Iterable[Step[Action]]) -> Steps:
    """Return the steps of a plan in their order."""
    return in_order(steps)


_INTERNAL = (
    Action.RECORD,
    Action.CREATE_STATE,
    Action.LINK_OLD,
    Action.LINK_CURRENT,
    Action.WRITE_ENVIRONMENT,
    Action.WRITE_UNIT_SETTINGS,
    Action.REMOVE_UNIT_SETTINGS,
    Action.READ_UNIT_SETTINGS,
    Action.REMOVE_ENVIRONMENT,
    Action.KEEP_RECORD,
    Action.FORGET,
)
"""Actions that keep the books of the collection, and that nobody has asked for."""


def visible_steps(steps: Steps) -> Steps:
    """Return the steps that a diff in short has: all of them where the others would be none."""
    return tuple(step for step in steps if step.action not in _INTERNAL) or steps


def refuse_elsewhere(observed: Observed, path: str) -> None:
    """Raises DeclarationError for a MicroVM that is known to be in another state directory."""
    record = observed.record
    if record is not None and record.state_directory not in ("", observed.state_directory):
        raise DeclarationError(
            f"{path}.name" if path else "name",
            f"{observed.name!r} is installed in {record.state_directory}, not in {observed.state_directory}; "
            f"set `state_dir: {record.state_directory}`, or remove it there first",
        )


def link_steps(observed: Observed, package: str) -> Iterator[Step[Action]]:
    """Yield the steps after which ``current`` leads to a package."""
    if observed.current != package:
        if observed.current is not None:
            yield Step(Action.LINK_OLD, observed.current)
        yield Step(Action.LINK_CURRENT, package)


def host_key_steps(observed: Observed, is_wanted: object) -> Sequence[Step[Action]]:
    """Return the step after which the guest's unit has an SSH host key to pass on, and the host knows it."""
    return [Step(Action.GIVE_HOST_KEY, observed.name)] if is_wanted and not observed.is_key_given else []


def closure_steps(observed: Observed, store_paths: Sequence[str]) -> Sequence[Step[Action]]:
    """Return the step after which the host's garbage collector keeps what a guest uses of its store."""
    is_kept = not store_paths or closure_name(store_paths) in observed.closures
    return [] if is_kept else [Step(Action.KEEP_CLOSURE, " ".join(store_paths))]


def unused_closures(
    observed: Observed, package: str, store_paths: Sequence[str], used: Iterable[str]
) -> Sequence[Step[Action]]:
    """Return the steps that let Nix collect the closures that no used package needs.

    ``package`` may be yet to come, and its guest uses ``store_paths``.
    """
    # What is not known of a package may need all of them.
    needed = [observed.closures_of.get(each, observed.closures) for each in used if each != package]
    own = frozenset([closure_name(store_paths)] if store_paths else [])
    return [Step(Action.RELEASE_CLOSURE, closure) for closure in sorted(observed.closures.difference(own, *needed))]


def unit_steps(observed: Observed, drop_ins: Mapping[str, str], is_reloaded: bool = False) -> Iterator[Step[Action]]:
    """Yield the steps after which systemd knows these drop-ins of a MicroVM's units.

    ``is_reloaded`` tells that systemd has to read its files for another reason too.
    """
    differing = [
        template
        for template in sorted({*drop_ins, *observed.drop_ins})
        if drop_ins.get(template) != observed.drop_ins.get(template)
    ]
    for template in differing:
        action = Action.WRITE_UNIT_SETTINGS if template in drop_ins else Action.REMOVE_UNIT_SETTINGS
        yield Step(action, template.replace("@", f"@{observed.name}"))
    # A run may have been killed before it could reload systemd.
    if differing or is_reloaded or observed.unit.stale:
        yield Step(Action.READ_UNIT_SETTINGS, unit_name(observed.name))


def keep_steps(observed: Observed, used: Iterable[str]) -> Sequence[Step[Action]]:
    """Return the steps that keep those of the packages from Nix's garbage collector which it may remove."""
    return [Step(Action.KEEP_PACKAGE, package) for package in used if package in observed.collectable]


def unused_packages(observed: Observed, used: Iterable[str]) -> Sequence[Step[Action]]:
    """Return the steps that remove all packages of a MicroVM but some, or let Nix collect them."""
    names = set(used)
    return [
        *(Step(Action.REMOVE_PACKAGE, package) for package in observed.packages if package not in names),
        *(Step(Action.RELEASE_PACKAGE, package) for package in observed.roots if package not in names),
    ]
