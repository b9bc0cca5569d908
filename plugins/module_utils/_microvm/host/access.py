# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages and settings that others than root and a MicroVM's account may read, as earlier versions made them.

``root`` is a directory in which the host's files lie, instead of ``/``.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Dict, Iterator, Optional, Tuple

from ..declaration import names
from ..declaration.accounts import SHARED, Account, account
from ..declaration.identity import account_name
from ..declaration.modes import SETTINGS_MODE
from ..schema import checks
from . import accounts, files
from .places import Places
from .records import Records
from .store import DamagedPackage, PackageStore

_SUFFIX = ".env"


def places_below(state_directory: str, root: str) -> Places:
    """Return the places of the host below ``root``."""
    store, records = PackageStore(root + names.PACKAGE_STORE), Records(root + names.RECORD_DIRECTORY)
    return Places(root + state_directory, store, records)


def open_packages(root: str) -> Tuple[str, ...]:
    """Return the names of packages that anybody may read, or nobody of a group that there is."""
    store = PackageStore(root + names.PACKAGE_STORE)
    packages = sorted(package for listed in store.contents().values() for package in listed)
    is_open = _Look(store.entry_mode)
    return tuple(package for package in packages if is_open(store.path(package)))


def open_settings(root: str) -> Tuple[str, ...]:
    """Return the names of MicroVMs whose settings anybody may read, or nobody of a group that there is."""
    is_open = _Look(SETTINGS_MODE)
    return tuple(name for name in _with_settings(root) if is_open(_settings(name, root)))


def restrict_package(where: Places, package: str) -> None:
    """Let only root and the account that runs a package read it."""
    group = _account(where, package, package.partition("-")[2]).group
    where.store.restrict(package, accounts.group_number(group))


def restrict_settings(where: Places, name: str, root: str) -> None:
    """Let only root and the account of a MicroVM read its settings."""
    target = files.link_target(where.state(name, names.CURRENT_LINK))
    package = where.store.owns(root + target) if target else None
    os.chown(_settings(name, root), 0, accounts.group_number(_account(where, package, name).group))
    os.chmod(_settings(name, root), SETTINGS_MODE)


def _account(where: Places, package: Optional[str], name: str) -> Account:
    """Return the account that runs a package; where the package does not say it, the MicroVM's own one if it exists."""
    with contextlib.suppress(DamagedPackage):
        declaration = where.declaration(package)
        if declaration is not None:
            return account(declaration)
    own = account_name(name)
    return Account(own, own) if accounts.exists(own) else SHARED


def _with_settings(root: str) -> Iterator[str]:
    try:
        entries = sorted(os.listdir(root + names.SETTINGS_DIRECTORY))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        name = entry[: -len(_SUFFIX)] if entry.endswith(_SUFFIX) else ""
        if checks.name(name) is None:
            yield name


def _settings(name: str, root: str) -> str:
    return root + Places.environment(name)


class _Look:
    """Look at many files, which asks for each group once."""

    def __init__(self, mode: int) -> None:
        self._mode = mode
        self._exists: Dict[int, bool] = {}

    def __call__(self, path: str) -> bool:
        """Return whether a file or directory has another mode, or a group that does not exist."""
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return False
        is_file = stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)
        return is_file and (stat.S_IMODE(status.st_mode) != self._mode or not self._has_group(status.st_gid))

    def _has_group(self, number: int) -> bool:
        if number not in self._exists:
            self._exists[number] = accounts.group_by_number(number) != str(number)
        return self._exists[number]
