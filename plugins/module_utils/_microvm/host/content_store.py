# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The content store: directories named after their content, each of which is there as a whole or not at all.

Runner packages and guest images are kept in such stores.
"""

from __future__ import annotations

import contextlib
import os
from typing import FrozenSet, Iterator, List, Optional

from . import files
from .commands import HostError
from .exchange import exchange

PARTIAL = ".partial-"
"""Begins the name of a directory that is being made, or removed."""

STAGING = ".staging-"
"""Begins the name of a directory that is being copied to the host."""

DAMAGED = ".damaged-"
"""Begins the name of an empty directory which says of an entry that its content is not what its name says."""


class ContentStore:
    """Directories below one directory."""

    mode = 0o755
    """Mode of the directory."""

    entry_mode = 0o755
    """Mode of each entry's directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def path(self, name: str) -> str:
        """Path of an entry, whether or not it is there."""
        return os.path.join(self.directory, name)

    def has(self, name: str) -> bool:
        """Return whether an entry is there, which then is complete unless somebody has damaged it unnoticed."""
        return os.path.isdir(self.path(name)) and not os.path.isdir(self.path(DAMAGED + name))

    def names(self) -> List[str]:
        """Names of all entries, sorted."""
        return [name for name in self._listed() if not name.startswith(".")]

    def damaged(self) -> FrozenSet[str]:
        """Return the names of the entries that were found to be damaged and are not replaced yet."""
        return frozenset(name[len(DAMAGED) :] for name in self._listed() if name.startswith(DAMAGED))

    def mark_damaged(self, name: str) -> None:
        """Remember that an entry is damaged, so that the next run replaces it."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.path(DAMAGED + name), 0o700)

    def leftovers(self) -> List[str]:
        """Names of directories that a killed run has left half made or half removed, sorted."""
        listed = self._listed()
        beginnings = (PARTIAL, STAGING)
        marks = (name for name in listed if name.startswith(DAMAGED) and name[len(DAMAGED) :] not in listed)
        return sorted([*(name for name in listed if name.startswith(beginnings)), *marks])

    def owns(self, target: str) -> Optional[str]:
        """Name of the entry that a path is of; ``None`` for any other path."""
        directory, _slash, name = target.rpartition("/")
        return name if directory == self.directory else None

    @contextlib.contextmanager
    def making(self, name: str) -> Iterator[str]:
        """Give a new, empty directory to make an entry in, and put it into place when that has succeeded.

        What an earlier, killed run left of the entry is replaced; an entry that is there stays.
        """
        os.makedirs(self.directory, self.mode, exist_ok=True)
        aside = self.path(PARTIAL + name)
        files.remove(aside)
        os.mkdir(aside, 0o700)
        yield aside
        os.chmod(aside, self.entry_mode)
        self.adopt(aside, name)

    def adopt(self, directory: str, name: str) -> None:
        """Make a directory of the same file system the entry ``name``, on the disk when this returns.

        A damaged entry changes places with it, so that at no moment there is none: what runs from the damaged one keeps
        the files that it has open, and finds whole ones at the same paths.
        """
        files.sync_tree(directory)
        if self.has(name):
            files.remove(directory)
            return
        if os.path.lexists(self.path(name)):
            exchange(self.path(name), directory)
        else:
            os.rename(directory, self.path(name))
        files.sync_directory(self.directory)
        files.remove(directory)
        self._forget_damage(name)

    def remove(self, name: str) -> None:
        """Remove an entry; under another name first, so that half of it is never taken for an entry."""
        aside = self.path(PARTIAL + name)
        files.remove(aside)
        os.rename(self.path(name), aside)
        files.sync_directory(self.directory)
        files.remove(aside)
        self._forget_damage(name)

    def _forget_damage(self, name: str) -> None:
        files.remove_if_empty(self.path(DAMAGED + name))

    def remove_leftover(self, name: str) -> None:
        """Remove one of ``leftovers``."""
        files.remove(self.path(name))

    def _listed(self) -> List[str]:
        """Return the names of directories; one that nobody can print is none of ours."""
        try:
            entries = [entry for entry in os.scandir(self.directory) if entry.name.isprintable()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except PermissionError:
            raise HostError(f"this user may not list {self.directory}; run the command as root") from None
        return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
