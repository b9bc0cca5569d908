# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host's setup as it is and as it shall be. Pure."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import FrozenSet, Mapping, Optional, Tuple

from ...declaration import modes, names
from ...declaration.accounts import ROOT, Account, User
from ...declaration.types import HostSetup
from ...host.systemd import Unit
from .files import KERNEL_MODULES, HostFile, KernelModule, files, huge_page_counts
from .nix_settings import NixState

NIX_UNIT_FILES = tuple(
    f"{names.UNIT_DIRECTORY}/{unit}" for unit in (names.NIX_GARBAGE_TIMER, names.NIX_GARBAGE_SERVICE)
)

OBSOLETE_UNITS = ("microvm-turn@.service",)
"""Template units of earlier versions."""

OBSOLETE = (*(f"{names.UNIT_DIRECTORY}/{unit}" for unit in OBSOLETE_UNITS), f"{names.SCRIPT_DIRECTORY}/microvm-turn")
"""Files of earlier versions."""


SHARED_DIRECTORIES = (
    posixpath.dirname(names.MANUAL_PAGE),
    posixpath.dirname(names.COMPLETION),
    posixpath.dirname(posixpath.dirname(names.COMPLETION)),
)
"""Directories that others have files in too; those inside before those outside."""


@dataclass(frozen=True)
class Directory:
    """Directory of the setup."""

    path: str
    owner: Optional[Account] = ROOT
    """Owner, or ``None`` for a directory that only has to exist."""
    mode: int = 0o755


@dataclass(frozen=True)
class Wanted:
    """Wanted setup."""

    files: Mapping[str, HostFile] = field(default_factory=dict)
    directories: Tuple[Directory, ...] = ()
    removed: Tuple[str, ...] = ()
    """Files and trees of this collection that shall not exist. Those of earlier versions go in any case, and last."""
    removed_when_empty: Tuple[str, ...] = ()
    """Directories that shall not exist unless something else is in them; those inside before those outside."""
    user: Optional[User] = None
    """User, or ``None`` if the user shall not exist, unless it owns files."""
    state_directory: str = names.STATE_DIRECTORY
    key: Optional[str] = None
    """File of the host's own key for SSH."""
    modules: Tuple[KernelModule, ...] = ()
    ksm: bool = False
    huge_pages: Mapping[str, int] = field(default_factory=dict)
    """Numbers of huge pages by the files of the kernel that take them."""
    nix: bool = False
    """True if Nix reads our settings."""
    nix_users: Tuple[str, ...] = ()
    """Users whom the daemon of Nix lets in."""
    is_nix_expected: bool = False
    """True if Nix, and the users whom it trusts, may be there when the setup is made: nothing is changed yet."""
    timers: Tuple[str, ...] = ()
    """Timers that run; others of this collection do not."""
    starts: bool = False
    """True if MicroVMs start with the host."""


@dataclass(frozen=True)
class HostEntry:
    """File or directory of the host."""

    owner: Account
    mode: int
    content: str = ""


@dataclass(frozen=True)
class Observed:
    """Observed setup."""

    files: Mapping[str, HostEntry] = field(default_factory=dict)
    """Existing files, of those that are wanted."""
    directories: Mapping[str, HostEntry] = field(default_factory=dict)
    """Existing directories, of those that are wanted."""
    present: FrozenSet[str] = frozenset()
    """Paths that exist, of those that shall not: files of earlier versions too."""
    entries: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    """Paths in each directory that is removed when it is empty, and exists."""
    groups: FrozenSet[str] = frozenset()
    """Groups that exist, of those that the setup needs."""
    user: Optional[User] = None
    user_has_files: bool = False
    """True if the user owns files in the state directory; only looked for where the user shall not exist."""
    has_key: bool = False
    """True if the host's own key for SSH exists."""
    usable_modules: FrozenSet[str] = frozenset()
    loadable_modules: FrozenSet[str] = frozenset()
    """Names of kernel modules that can be loaded, of those that are not usable."""
    former_layouts: Tuple[str, ...] = ()
    """MicroVMs whose state directories have the layout of an earlier version."""
    open_packages: Tuple[str, ...] = ()
    """Packages that anybody may read, as earlier versions made them."""
    open_settings: Tuple[str, ...] = ()
    """MicroVMs whose settings anybody may read."""
    ksm: Optional[str] = None
    """Content of ``/sys/kernel/mm/ksm/run``; ``None`` for a kernel without it."""
    huge_pages: Mapping[str, int] = field(default_factory=dict)
    """Numbers of huge pages that are set aside, by the files of the kernel."""
    own_huge_pages: FrozenSet[str] = frozenset()
    """Those of these files that a run before has written to."""
    former_huge_pages: Mapping[str, int] = field(default_factory=dict)
    """Numbers that there were before that; 0 where none is known."""
    memory: int = 0
    """KiB of the host's memory, or 0 if that is not known."""
    target: Unit = field(default_factory=Unit)
    """Target that pulls in the MicroVMs."""
    nix: NixState = field(default_factory=NixState)
    stale: bool = False
    """True if units of MicroVMs have changed since systemd has read them."""
    slices: Tuple[str, ...] = ()
    """Slices of units of MicroVMs; only looked for where the setup shall not exist."""


def prepared(setup: HostSetup) -> Wanted:
    """Return the setup of a host that is prepared for MicroVMs."""
    state_directory = setup["state_dir"]
    return Wanted(
        files=files(setup),
        directories=(
            # Only root creates entries: their links determine what root runs.
            Directory(state_directory),
            Directory(names.SCRIPT_DIRECTORY),
            Directory(names.CONFIGURATION_DIRECTORY),
            # Anybody passes through to what is readable there, and only root lists the names of MicroVMs.
            Directory(names.SETTINGS_DIRECTORY, mode=modes.SETTINGS_DIRECTORY_MODE),
            Directory(names.FLEET_DIRECTORY),
            Directory(names.PACKAGE_STORE, mode=modes.PACKAGE_STORE_MODE),
            Directory(names.RECORD_DIRECTORY, mode=modes.RECORD_DIRECTORY_MODE),
            Directory(names.ARCHIVE_DIRECTORY, mode=modes.ARCHIVE_DIRECTORY_MODE),
            Directory(names.HOST_KEY_DIRECTORY, mode=modes.HOST_KEY_DIRECTORY_MODE),
            Directory(names.SSH_DIRECTORY, mode=modes.SSH_DIRECTORY_MODE),
            Directory(posixpath.dirname(names.MANUAL_PAGE), owner=None),
            Directory(posixpath.dirname(names.COMPLETION), owner=None),
        ),
        removed=_switched_off(setup),
        user=User(names.GROUP, state_directory, other_groups=(names.KVM_GROUP,)),
        state_directory=state_directory,
        key=names.SSH_KEY,
        modules=KERNEL_MODULES,
        ksm=setup["ksm"],
        huge_pages=huge_page_counts(setup),
        nix=setup["nix"],
        nix_users=tuple(user for user in setup["nix_trusted_users"] if not user.startswith("@")),
        timers=(names.NIX_GARBAGE_TIMER,) if setup["nix_collect_garbage"] else (),
        starts=True,
    )


def _switched_off(setup: HostSetup) -> Tuple[str, ...]:
    restrictions = setup["restrictions"]
    ends = restrictions is not None and not restrictions["enable"]
    return (
        *(() if setup["ksm"] else (names.KSM_SETTINGS,)),
        *(() if setup["huge_pages"] else (names.HUGE_PAGES_SETTINGS,)),
        *((names.RESTRICTIONS,) if ends else ()),
        *(() if setup["nix"] else (names.NIX_SETTINGS,)),
        *(() if setup["nix_collect_garbage"] else NIX_UNIT_FILES),
    )


def unprepared(setup: HostSetup) -> Wanted:
    """Return the setup of a host that keeps nothing of this collection but volumes."""
    return Wanted(
        removed=(
            *files({**setup, "ksm": True, "huge_pages": [], "nix": False, "nix_collect_garbage": None}),
            names.NIX_SETTINGS,
            *NIX_UNIT_FILES,
            names.HUGE_PAGES_SETTINGS,
            *OBSOLETE,
            names.RESTRICTIONS,
            names.COMMAND,
            names.PACKAGE_STORE,
            names.RECORD_DIRECTORY,
            names.MOVE_DIRECTORY,
            names.KNOWN_HOSTS,
            names.HOST_KEY_DIRECTORY,
            names.SSH_DIRECTORY,
            names.GARBAGE_ROOTS,
            names.CONSOLE_DIRECTORY,
            names.BOOT_QUEUE_DIRECTORY,
            names.RESTART_DIRECTORY,
            names.LOST_SHARES_DIRECTORY,
            f"{names.RUN_DIRECTORY}/accelerator.json",
        ),
        removed_when_empty=(
            names.SCRIPT_DIRECTORY,
            names.SETTINGS_DIRECTORY,
            names.CONFIGURATION_DIRECTORY,
            setup["image_store"],
            names.ARCHIVE_DIRECTORY,
            names.FLEET_DIRECTORY,
            *SHARED_DIRECTORIES,
        ),
        state_directory=setup["state_dir"],
    )
