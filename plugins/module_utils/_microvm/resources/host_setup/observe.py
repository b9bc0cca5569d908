# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at the setup of a host.

``root`` is a directory in which the host's files lie, instead of ``/``: tests use one.
"""

from __future__ import annotations

import os
import stat
from typing import Callable, Dict, Iterable, Optional, Tuple, TypeVar

from ...declaration import names
from ...declaration.huge_pages import HUGE_PAGE_POOLS
from ...host import access, accounts, files, state_directories, systemd
from ...host.commands import HostError, run
from ...host.records import Records
from .files import KSM, KernelModule, former_huge_pages, values_written_at_boot
from .observe_nix import observe_nix
from .state import OBSOLETE, HostEntry, Observed, Wanted

Value = TypeVar("Value")

_SLICES = "system-microvm*.slice"
"""systemd keeps the slices of template units, even those that are empty."""


def observe(wanted: Wanted, root: str = "") -> Observed:
    """Return the state of all that the wanted setup is about."""
    nix = observe_nix(wanted, root)
    units = systemd.show([names.TARGET])
    user = accounts.look_up(names.USER)
    leaves = wanted.user is None
    page_settings = files.read_text(root + names.HUGE_PAGES_SETTINGS) or ""
    unusable = [module for module in wanted.modules if not _is_usable(module, root)]
    return Observed(
        files=_found((*wanted.files, nix.configuration), lambda path: _file(root + path)),
        directories=_found((directory.path for directory in wanted.directories), lambda path: _entry(root + path)),
        present=frozenset(path for path in (*wanted.removed, *OBSOLETE) if os.path.lexists(root + path)),
        entries=_found(wanted.removed_when_empty, lambda path: _listing(root, path)),
        groups=frozenset(group for group in names.HOST_GROUPS if accounts.group_exists(group)),
        user=user,
        user_has_files=leaves and user is not None and _has_files(names.USER, root + wanted.state_directory),
        has_key=wanted.key is not None and os.path.exists(root + wanted.key),
        usable_modules=frozenset(module.name for module in wanted.modules if module not in unusable),
        loadable_modules=frozenset(module.name for module in unusable if _is_loadable(module)),
        former_layouts=()
        if leaves
        else tuple(state_directories.former(root + wanted.state_directory, Records().names())),
        open_packages=() if leaves else access.open_packages(root),
        open_settings=() if leaves else access.open_settings(root),
        ksm=_ksm(root),
        huge_pages=_huge_pages(root),
        own_huge_pages=frozenset(values_written_at_boot(page_settings)),
        former_huge_pages=former_huge_pages(page_settings),
        memory=_memory(root),
        target=units[names.TARGET],
        nix=nix,
        stale=systemd.is_stale("microvm*"),
        slices=tuple(systemd.active_units(_SLICES)) if leaves else (),
    )


def _found(keys: Iterable[str], look: Callable[[str], Optional[Value]]) -> Dict[str, Value]:
    """Return what looking at each path gives, but for nothing."""
    values = ((key, look(key)) for key in keys)
    return {key: value for key, value in values if value is not None}


def _entry(path: str) -> Optional[HostEntry]:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return HostEntry(files.owner_and_group(path), stat.S_IMODE(status.st_mode))


def _file(path: str) -> Optional[HostEntry]:
    entry = _entry(path)
    if entry is None or not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        return HostEntry(entry.owner, entry.mode, file.read())


def _listing(root: str, path: str) -> Optional[Tuple[str, ...]]:
    try:
        return tuple(f"{path}/{name}" for name in sorted(os.listdir(root + path)))
    except OSError:
        return None


def _has_files(user: str, directory: str) -> bool:
    """Return whether anything below a directory is a user's."""
    if not os.path.isdir(directory):
        return False
    return run(["find", directory, "-user", user, "-print", "-quit"], timeout=None) != ""


def _is_usable(module: KernelModule, root: str) -> bool:
    """Return whether a module's device has its driver; a container may have the driver and not the device."""
    return os.path.exists(root + module.registration) and os.path.exists(root + module.device)


def _is_loadable(module: KernelModule) -> bool:
    """Return whether the kernel's modules have one, and nobody has forbidden it (``install`` of modprobe.d(5))."""
    try:
        lines = run(["modprobe", "--show-depends", module.name]).splitlines()
    except HostError:
        return False
    return bool(lines) and not any(line.startswith("install ") for line in lines)


def _ksm(root: str) -> Optional[str]:
    content = files.read_text(root + KSM)
    return None if content is None else content.strip()


def _huge_pages(root: str) -> Dict[str, int]:
    pools = _listing(root, HUGE_PAGE_POOLS) or ()
    numbers = {f"{pool}/nr_hugepages": files.read_text(f"{root}{pool}/nr_hugepages") for pool in pools}
    return {path: int(number) for path, number in numbers.items() if number}


def _memory(root: str) -> int:
    lines = (files.read_text(f"{root}/proc/meminfo") or "").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("MemTotal:")), 0)
