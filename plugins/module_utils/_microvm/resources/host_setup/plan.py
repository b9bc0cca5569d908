# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the setup of a host: from the observed and the wanted setup to steps. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Iterator, List, Mapping, Optional, Tuple

from ...declaration import names
from ...declaration.accounts import ROOT, User
from ...declaration.huge_pages import page_size
from ...schema.errors import DeclarationError
from ..steps import BaseAction, Step, in_order
from .files import KSM, HostFile, huge_page_settings
from .nix_settings import INCLUDE, NixState, with_line, without_line
from .state import OBSOLETE, OBSOLETE_UNITS, SHARED_DIRECTORIES, Directory, HostEntry, Observed, Wanted

UNITS = "the units of MicroVMs"

MEMORY_OF_HOST = 256 << 10
"""KiB that must be left to the host, beside its huge pages."""


class Action(BaseAction):
    """Actions on the setup of a host, in the order in which they are carried out."""

    DISABLE = "systemctl disable"
    STOP = "systemctl stop"
    # Before its settings are removed: they tell the next run that it was switched on here.
    SWITCH_KSM_OFF = "unmerge pages by"
    RELEASE_HUGE_PAGES = "give huge pages back by"
    CREATE_GROUP = "create group"
    CREATE_USER = "create user"
    CHANGE_USER = "change groups, home and shell of user"
    CREATE_DIRECTORY = "create directory"
    CHANGE_DIRECTORY = "change owner and mode of directory"
    JOIN_NIX_USERS = "let the daemon of Nix serve user"
    CREATE_KEY = "create SSH key"
    RESTRICT_PACKAGE = "let only root and the MicroVM's account read package"
    RESTRICT_SETTINGS = "let only root and the MicroVM's account read the settings of"
    WRITE = "write"
    # When the units are written, which systemd reads afterwards.
    MIGRATE_STATE = "separate root's links from the working directory of MicroVM"
    REMOVE = "remove"
    ENABLE = "systemctl enable"
    RELOAD_SYSTEMD = "systemctl daemon-reload for"
    # No loaded unit refers to them any more.
    FORGET_FAILURES = "systemctl reset-failed"
    REMOVE_OBSOLETE = "remove obsolete"
    REMOVE_DIRECTORY = "remove directory"
    LOAD_MODULE = "load kernel module"
    SWITCH_KSM_ON = "merge identical pages by"
    RESERVE_HUGE_PAGES = "set huge pages aside by"
    START = "systemctl start"
    RESTART = "systemctl restart"
    # As long as it is there, a run sees whether the daemon has read that it is no longer included.
    REMOVE_NIX_SETTINGS = "remove settings"
    REMOVE_USER = "remove user"


@dataclass(frozen=True)
class Plan:
    """Steps for the setup of a host."""

    steps: Tuple[Step[Action], ...]
    wanted: Wanted
    missing: Tuple[str, ...] = ()
    """Features that the host's kernel has not, and what else is missing, in words."""
    kept: Tuple[str, ...] = ()
    """Directories that stay, and the user, with the reason of each."""
    former_huge_pages: Mapping[str, int] = field(default_factory=dict)
    """Numbers of huge pages that are given back to whoever has set them aside, by the files of the kernel."""

    @property
    def changed(self) -> bool:
        """Return whether there is anything to do."""
        return bool(self.steps)

    def targets(self, *actions: Action) -> Tuple[str, ...]:
        """Return the targets of the steps of some actions."""
        return tuple(step.target for step in self.steps if step.action in actions)


def plan(observed: Observed, wanted: Wanted) -> Plan:
    """Return the plan that makes the observed setup the wanted one. Raises DeclarationError."""
    _refuse_too_many_huge_pages(observed, wanted)
    wanted = with_configuration(observed.nix, _keeping_numbers(observed, wanted))
    emptied, kept = _directories_without(observed, wanted)
    steps: List[Step[Action]] = [
        *_accounts(observed, wanted),
        *(step for directory in wanted.directories for step in _directory(observed, directory)),
        *([Step(Action.CREATE_KEY, wanted.key)] if wanted.key is not None and not observed.has_key else []),
        *(Step(Action.RESTRICT_PACKAGE, package) for package in observed.open_packages),
        *(Step(Action.RESTRICT_SETTINGS, name) for name in observed.open_settings),
        *(Step(Action.JOIN_NIX_USERS, user) for user in observed.nix.outside),
        *_files(observed, wanted),
        *(Step(Action.MIGRATE_STATE, name) for name in observed.former_layouts),
        *_obsolete(observed, wanted),
        *(Step(Action.REMOVE_DIRECTORY, path) for path in emptied),
        *_modules(observed, wanted),
        *_ksm(observed, wanted),
        *_huge_pages(observed, wanted),
    ]
    changed = [step.target for step in steps if step.action in (Action.WRITE, Action.REMOVE)]
    steps += [*_timers(observed, wanted), *_nix_daemon(observed, wanted, changed)]
    steps += _systemd(observed, wanted, changed)
    return Plan(
        in_order(steps),
        wanted,
        tuple(_missing(observed, wanted)),
        (*kept, *_kept_user(observed, wanted)),
        observed.former_huge_pages,
    )


def _accounts(observed: Observed, wanted: Wanted) -> Iterator[Step[Action]]:
    if wanted.user is None:
        if observed.user is not None and not observed.user_has_files:
            yield Step(Action.REMOVE_USER, names.USER)
        return
    for group in names.HOST_GROUPS:
        if group not in observed.groups:
            yield Step(Action.CREATE_GROUP, group)
    if observed.user is None:
        yield Step(Action.CREATE_USER, names.USER)
    elif not _is_user(observed.user, wanted.user):
        yield Step(Action.CHANGE_USER, names.USER)


def _is_user(observed: User, wanted: User) -> bool:
    """Return whether a user has the wanted properties; it may be in more groups, which operators have put it in."""
    is_member = set(wanted.other_groups) <= set(observed.other_groups)
    return is_member and replace(observed, other_groups=()) == replace(wanted, other_groups=())


def _kept_user(observed: Observed, wanted: Wanted) -> Iterator[str]:
    if wanted.user is None and observed.user is not None and observed.user_has_files:
        yield f"user {names.USER}: it owns files in {wanted.state_directory}"


def _directory(observed: Observed, directory: Directory) -> Iterator[Step[Action]]:
    entry = observed.directories.get(directory.path)
    if entry is None:
        yield Step(Action.CREATE_DIRECTORY, directory.path)
    elif directory.owner is not None and (entry.owner, entry.mode) != (directory.owner, directory.mode):
        yield Step(Action.CHANGE_DIRECTORY, directory.path)


def _files(observed: Observed, wanted: Wanted) -> Iterator[Step[Action]]:
    for path, file in wanted.files.items():
        if not _is_as(observed.files.get(path), file):
            yield Step(Action.WRITE, path)
    for path in wanted.removed:
        if path in observed.present or path in observed.files:
            yield Step(Action.REMOVE_NIX_SETTINGS if path == names.NIX_SETTINGS else Action.REMOVE, path)


def _obsolete(observed: Observed, wanted: Wanted) -> Iterator[Step[Action]]:
    for unit in OBSOLETE_UNITS:
        if f"{names.UNIT_DIRECTORY}/{unit}" in observed.present:
            yield Step(Action.FORGET_FAILURES, unit.replace("@.", "@*."))
    for path in OBSOLETE:
        if path in observed.present and path not in wanted.removed:
            yield Step(Action.REMOVE_OBSOLETE, path)


def _is_as(entry: Optional[HostEntry], file: HostFile) -> bool:
    return entry == HostEntry(ROOT, file.mode, file.content)


def _directories_without(observed: Observed, wanted: Wanted) -> Tuple[List[str], List[str]]:
    """Return the directories that are removed, since all that is in them is removed, and those of ours that stay."""
    removed = set(observed.present)
    emptied, kept = [], []
    for path in wanted.removed_when_empty:
        if set(observed.entries.get(path, [path])) <= removed:
            removed.add(path)
            emptied.append(path)
        elif path in observed.entries and path not in SHARED_DIRECTORIES:
            kept.append(f"{path}: it contains files that this collection did not create")
    return emptied, kept


def _systemd(observed: Observed, wanted: Wanted, changed: List[str]) -> Iterator[Step[Action]]:
    """Yield the steps on units, given the files that change."""
    reads_again = observed.stale or any(path.startswith(f"{names.UNIT_DIRECTORY}/") for path in changed)
    if wanted.starts:
        if not observed.target.enabled:
            yield Step(Action.ENABLE, names.TARGET)
            reads_again = True
        if not observed.target.running:
            yield Step(Action.START, names.TARGET)
            # A run that was killed may have written it, and systemd has not looked for new units since.
            reads_again = True
    else:
        if observed.target.enabled:
            yield Step(Action.DISABLE, names.TARGET)
        running = [names.TARGET] if observed.target.running else []
        yield from (Step(Action.STOP, unit) for unit in (*running, *observed.slices))
    if reads_again or wanted.timers != _running_timers(observed):
        yield Step(Action.RELOAD_SYSTEMD, UNITS)


def _timers(observed: Observed, wanted: Wanted) -> Iterator[Step[Action]]:
    for timer, unit in observed.nix.units.items():
        if timer in wanted.timers:
            if not unit.enabled:
                yield Step(Action.ENABLE, timer)
            if not unit.running:
                yield Step(Action.START, timer)
        elif timer == names.NIX_GARBAGE_TIMER:
            if unit.enabled:
                yield Step(Action.DISABLE, timer)
            if unit.running:
                yield Step(Action.STOP, timer)


def _running_timers(observed: Observed) -> Tuple[str, ...]:
    units = observed.nix.units
    return tuple(timer for timer in (names.NIX_GARBAGE_TIMER,) if timer in units and units[timer].running)


def _nix_daemon(observed: Observed, wanted: Wanted, changed: List[str]) -> Iterator[Step[Action]]:
    """Yield steps that let the daemon of Nix run, which a package has installed, with the settings that there are."""
    socket, daemon = observed.nix.units.get(names.NIX_SOCKET), observed.nix.units.get(names.NIX_DAEMON)
    if socket is None or daemon is None:
        return
    # What somebody has masked stays as it is.
    if wanted.nix and socket.load_state == "loaded":
        if socket.unit_file_state == "disabled":
            yield Step(Action.ENABLE, names.NIX_SOCKET)
        if not socket.running and not daemon.running:
            yield Step(Action.START, names.NIX_SOCKET)
    is_changed = not {observed.nix.configuration, names.NIX_SETTINGS}.isdisjoint(changed)
    if daemon.active_state == "active" and (is_changed or observed.nix.is_daemon_stale):
        yield Step(Action.RESTART, names.NIX_DAEMON)


def _modules(observed: Observed, wanted: Wanted) -> Iterator[Step[Action]]:
    for module in wanted.modules:
        if module.name not in observed.usable_modules and module.name in observed.loadable_modules:
            yield Step(Action.LOAD_MODULE, module.name)


def _ksm(observed: Observed, wanted: Wanted) -> Iterator[Step[Action]]:
    if observed.ksm is None:
        return
    if wanted.ksm and observed.ksm != "1":
        yield Step(Action.SWITCH_KSM_ON, KSM)
    # Without settings that are ours, the kernel's is somebody else's.
    if not wanted.ksm and names.KSM_SETTINGS in observed.present and observed.ksm != "2":
        yield Step(Action.SWITCH_KSM_OFF, KSM)


def _huge_pages(observed: Observed, wanted: Wanted) -> Iterator[Step[Action]]:
    """Yield steps for the pages of declared sizes, and of those that were declared before; others' stay."""
    for path in sorted(observed.own_huge_pages - set(wanted.huge_pages)):
        former = observed.former_huge_pages.get(path, 0)
        if observed.huge_pages.get(path, former) != former:
            yield Step(Action.RELEASE_HUGE_PAGES, path)
    for path, count in wanted.huge_pages.items():
        if observed.huge_pages.get(path, count) != count:
            yield Step(Action.RESERVE_HUGE_PAGES, path)


def _keeping_numbers(observed: Observed, wanted: Wanted) -> Wanted:
    """Return the setup with a file of huge pages that keeps the numbers of those that somebody else has set aside."""
    if not wanted.huge_pages:
        return wanted
    found = {
        path: (observed.former_huge_pages if path in observed.own_huge_pages else observed.huge_pages).get(path, 0)
        for path in wanted.huge_pages
    }
    former = {path: number for path, number in found.items() if number}
    return replace(
        wanted, files={**wanted.files, names.HUGE_PAGES_SETTINGS: huge_page_settings(wanted.huge_pages, former)}
    )


def with_configuration(nix: NixState, wanted: Wanted) -> Wanted:
    """Return the setup with Nix's own configuration, which includes our settings where they are wanted.

    Raises DeclarationError for a configuration that is not ours to change.
    """
    if nix.mistake:
        # No program of Nix would run any more.
        raise DeclarationError("nix_settings", f"Nix of this host cannot read them: {nix.mistake}; correct the value")
    text = nix.text or ""
    configured = with_line(text) if wanted.nix else without_line(text)
    if configured == text or not (nix.is_installed or text):
        # A file that is there before the distribution's would keep that from being installed.
        return wanted
    if nix.obstacle:
        raise DeclarationError(
            "nix",
            f"{nix.configuration} cannot be changed: {nix.obstacle}; {'add' if wanted.nix else 'remove'} the line "
            f"{INCLUDE!r} there yourself",
        )
    if not configured:
        return replace(wanted, removed=(*wanted.removed, nix.configuration))
    return replace(wanted, files={**wanted.files, nix.configuration: HostFile(configured, nix.mode)})


def _refuse_too_many_huge_pages(observed: Observed, wanted: Wanted) -> None:
    """Refuse pages that leave the host itself no memory. Raises DeclarationError."""
    size = sum(page_size(path) * count for path, count in wanted.huge_pages.items())
    if observed.memory and size > observed.memory - MEMORY_OF_HOST:
        raise DeclarationError(
            "huge_pages",
            f"{size >> 10} MiB of huge pages leave less than {MEMORY_OF_HOST >> 10} MiB of the {observed.memory >> 10} "
            "MiB of this host for all else; declare fewer",
        )


def _missing(observed: Observed, wanted: Wanted) -> Iterator[str]:
    for module in wanted.modules:
        if module.name not in observed.usable_modules | observed.loadable_modules:
            yield f"kernel module {module.name} is missing; {module.purpose} will not work"
    if wanted.nix and not wanted.is_nix_expected:
        if not observed.nix.is_installed:
            yield "Nix is not installed yet; its settings take effect once it is (microvm_nix of role host installs it)"
        for user in observed.nix.unknown:
            yield (
                f"nix_trusted_users names the user {user}, whom this host does not have; correct the name, or create "
                "the user and run again"
            )
        for warning in observed.nix.warnings:
            yield (
                f"Nix of this host does not use all of nix_settings: {warning}; correct the name, or leave out what "
                "this version of Nix does not have"
            )
    if wanted.ksm and observed.ksm is None:
        yield "the kernel does not support merging of identical pages (KSM)"
    for path, count in wanted.huge_pages.items():
        if count and path not in observed.huge_pages:
            yield f"the kernel has no huge pages of {page_size(path)} KiB on this processor; none are set aside"
