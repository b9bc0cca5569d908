# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The content store: directories named after their content, each of which is there as a whole or not at all.

Runner packages and guest images are kept in such stores.
"""

from __future__ import annotations

import contextlib
import os
from typing import Iterator, List, Optional

from . import files

PARTIAL = ".partial-"
"""Begins the name of a directory that is being made, or removed."""

STAGING = ".staging-"
"""Begins the name of a directory that is being copied to the host."""


class ContentStore:
    """Directories below one directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def path(self, name: str) -> str:
        """Path of an entry, whether or not it is there."""
        return os.path.join(self.directory, name)

    def has(self, name: str) -> bool:
        """Return whether an entry is there, which then is complete."""
        return os.path.isdir(self.path(name))

    def names(self) -> List[str]:
        """Names of all entries, sorted."""
        return [name for name in self._listed() if not name.startswith(".")]

    def leftovers(self) -> List[str]:
        """Names of directories that a killed run has left half made or half removed, sorted."""
        return [name for name in self._listed() if name.startswith((PARTIAL, STAGING))]

    def owns(self, target: str) -> Optional[str]:
        """Name of the entry that a path is of; ``None`` for any other path."""
        directory, _slash, name = target.rpartition("/")
        return name if directory == self.directory else None

    @contextlib.contextmanager
    def making(self, name: str) -> Iterator[str]:
        """Give a new, empty directory to make an entry in, and put it into place when that has succeeded.

        What an earlier, killed run left of the entry is replaced; an entry that is there stays.
        """
        os.makedirs(self.directory, exist_ok=True)
        aside = self.path(PARTIAL + name)
        files.remove(aside)
        os.mkdir(aside, 0o755)
        yield aside
        self.adopt(aside, name)

    def adopt(self, directory: str, name: str) -> None:
        """Make a directory of the same file system the entry ``name``, on the disk when this returns."""
        files.sync_tree(directory)
        if self.has(name):
            files.remove(directory)
            return
        os.rename(directory, self.path(name))
        files.sync_directory(self.directory)

    def remove(self, name: str) -> None:
        """Remove an entry; under another name first, so that half of it is never taken for an entry."""
        aside = self.path(PARTIAL + name)
        files.remove(aside)
        os.rename(self.path(name), aside)
        files.sync_directory(self.directory)
        files.remove(aside)

    def remove_leftover(self, name: str) -> None:
        """Remove one of ``leftovers``."""
        files.remove(self.path(name))

    def _listed(self) -> List[str]:
        try:
            return sorted(entry.name for entry in os.scandir(self.directory) if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []
