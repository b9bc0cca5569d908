# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store of runner packages."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Dict, FrozenSet, Iterator, List, Optional, Tuple

from ..declaration.modes import PACKAGE_MODE, PACKAGE_STORE_MODE
from ..declaration.names import PACKAGE_STORE
from ..runner.package import RUN_SCRIPT, Package, PackageDigest
from ..schema import checks
from ..schema.quoting import printable
from . import files
from .commands import HostError
from .content_store import ContentStore

BLOCK = 1 << 20


class DamagedPackage(HostError):
    """Package with a file that is not what it should be."""


class PackageStore(ContentStore):
    """Runner packages, named ``DIGEST-NAME``.

    A package is root's and readable by the group of the account that runs it: it says all that was declared.
    """

    mode = PACKAGE_STORE_MODE
    entry_mode = PACKAGE_MODE

    def __init__(self, directory: str = PACKAGE_STORE) -> None:
        super().__init__(directory)

    def contents(self) -> Dict[str, List[str]]:
        """Names of the packages that are there, by the MicroVM that they are for."""
        packages: Dict[str, List[str]] = {}
        for entry in self.names():
            digest, _dash, name = entry.partition("-")
            if digest and name and checks.name(name) is None:
                packages.setdefault(name, []).append(entry)
        return packages

    def has(self, name: str) -> bool:
        """Return whether a package is there that nobody knows to be damaged, and that has a script to run."""
        return super().has(name) and self.is_runnable(name)

    def unusable(self, names: List[str], marked: FrozenSet[str]) -> FrozenSet[str]:
        """Return which of the packages are damaged, as far as ``marked`` ones and a look at one file tell."""
        return frozenset(name for name in names if name in marked or not self.is_runnable(name))

    def is_runnable(self, name: str) -> bool:
        """Return whether a package, by its name or path, has a script that can be run."""
        try:
            status = os.stat(os.path.join(self.path(name), RUN_SCRIPT))
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and status.st_size > 0 and bool(status.st_mode & stat.S_IXUSR)

    def read(self, name: str, file: str) -> str:
        """Content of a text file of a package; empty where there is none. Raises DamagedPackage."""
        with self.explained(name):
            return files.read_text(os.path.join(self.path(name), file)) or ""

    @contextlib.contextmanager
    def explained(self, name: str) -> Iterator[None]:
        """Raise DamagedPackage for a file that cannot be read, with the way out."""
        try:
            yield
        except files.UnreadableFile as error:
            raise DamagedPackage(f"{error}; {self.way_out(name)}") from error

    def way_out(self, name: str) -> str:
        """Return what to do about a damaged package."""
        if os.path.isabs(name):
            return "build or copy the external package again"
        return "run again with the declaration, or install the package again, to replace the damaged one"

    def damage(self, name: str) -> Optional[str]:
        """Return what is wrong with a package, by its digest; ``None`` for one that is whole."""
        path = self.path(name)
        try:
            digest = _digest(path)
        except (HostError, OSError, UnicodeError) as error:
            return printable(str(error))
        if digest != name.partition("-")[0]:
            return f"{path} contains files that do not match the digest in its name"
        return None if self.is_runnable(name) else f"{path}/{RUN_SCRIPT} cannot be run"

    def install(self, package: Package, group: int = -1) -> None:
        """Put a package into place, for a group to read. One that is there and whole stays.

        ``group`` is -1 for the group of the process.
        """
        name = package.directory_name
        if os.path.lexists(self.path(name)):
            if self.damage(name) is None:
                self._forget_damage(name)
                self.restrict(name, group)
                return
            self.mark_damaged(name)
        with self.making(name) as directory:
            for file_name, file in package.files.items():
                path = os.path.join(directory, file_name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                if file.is_link:
                    os.symlink(os.fsdecode(file.content), path)
                else:
                    files.write_new(path, file.content, 0o755 if file.executable else 0o644)
            os.chown(directory, -1, group)

    def restrict(self, name: str, group: int) -> None:
        """Let nobody but root and a group read a package."""
        os.chown(self.path(name), -1, group)
        os.chmod(self.path(name), self.entry_mode)


MOST_BYTES = 16 << 30
"""Size of a package that is not even read: those that are installed were in memory as a whole."""

DEEPEST = 32
"""Levels of directories in a package."""


def package_entries(directory: str) -> Iterator[Tuple[str, os.stat_result]]:
    """Yield everything below a package's directory by its relative path, sorted.

    Raises HostError for names and depths that no package has, and OSError.
    """
    waiting, entries = [""], {}
    while waiting:
        parent = waiting.pop()
        if parent.count("/") > DEEPEST:
            raise HostError(f"{directory} has directories that are nested deeper than {DEEPEST} levels")
        for entry in os.scandir(os.path.join(directory, parent)):
            path = os.path.join(parent, entry.name)
            if not path.isprintable():
                raise HostError(f"{directory} contains {path!r}, whose name has control characters or is not UTF-8")
            entries[path] = entry.stat(follow_symlinks=False)
            waiting += [path] if entry.is_dir(follow_symlinks=False) else []
    yield from sorted(entries.items())


def _digest(directory: str) -> str:
    """Return the digest of a package as it is on the disk. Raises HostError, OSError and UnicodeError."""
    digest, remaining = PackageDigest(), MOST_BYTES
    for name, status in package_entries(directory):
        remaining -= status.st_size if stat.S_ISREG(status.st_mode) else 0
        if remaining < 0:
            raise DamagedPackage(f"{directory}/{name} is larger than a whole package can be")
        _add(digest, name, os.path.join(directory, name), status)
    return digest.result()


def _add(digest: PackageDigest, name: str, path: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        if status.st_mode & 0o022:
            raise DamagedPackage(f"{path} may be written to by others than root")
    elif stat.S_ISLNK(status.st_mode):
        target = os.fsencode(os.readlink(path))
        digest.begin(name, len(target), False, True)
        digest.add(target)
    else:
        _add_file(digest, name, path, status)


def _add_file(digest: PackageDigest, name: str, path: str, status: os.stat_result) -> None:
    is_executable = bool(status.st_mode & stat.S_IXUSR)
    if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) != (0o755 if is_executable else 0o644):
        raise DamagedPackage(f"{path} has a type or mode that packages do not have")
    digest.begin(name, status.st_size, is_executable, False)
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(BLOCK), b""):
            digest.add(block)
