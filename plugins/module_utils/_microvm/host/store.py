# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The package store: content-addressed directories that are there as a whole or not at all."""

from __future__ import annotations

import os
from typing import Dict, List, Optional

from ..declaration.names import PACKAGE_STORE
from ..runner.package import Package
from . import files

_PARTIAL = ".partial-"


class PackageStore:
    """Runner packages below one directory."""

    def __init__(self, directory: str = PACKAGE_STORE) -> None:
        self.directory = directory

    def path(self, directory_name: str) -> str:
        """Where a package is or would be."""
        return os.path.join(self.directory, directory_name)

    def contents(self) -> Dict[str, List[str]]:
        """Directory names of the packages that are there, by the MicroVM they are for."""
        packages: Dict[str, List[str]] = {}
        try:
            entries = sorted(os.listdir(self.directory))
        except FileNotFoundError:
            entries = []
        for entry in entries:
            digest, _dash, name = entry.partition("-")
            if digest and name and not entry.startswith("."):
                packages.setdefault(name, []).append(entry)
        return packages

    def owns(self, target: str) -> Optional[str]:
        """The directory name of the package that a link's target is, or ``None`` where it is not one of ours."""
        directory, _slash, name = target.rpartition("/")
        return name if directory == self.directory else None

    def read(self, directory_name: str, file: str) -> str:
        """A text file of a package; empty where there is none."""
        return files.read_text(os.path.join(self.path(directory_name), file)) or ""

    def install(self, package: Package) -> None:
        """Put a package there. What an earlier, killed run left of it is replaced."""
        os.makedirs(self.directory, exist_ok=True)
        final = self.path(package.directory_name)
        aside = os.path.join(self.directory, _PARTIAL + package.directory_name)
        files.remove(aside)
        if os.path.isdir(final):
            return
        self._write(package, aside)
        os.rename(aside, final)
        files.sync_directory(self.directory)

    def remove(self, directory_name: str) -> None:
        """Take a package away; under another name first, so that half of one is never taken for a package."""
        aside = os.path.join(self.directory, _PARTIAL + directory_name)
        files.remove(aside)
        os.rename(self.path(directory_name), aside)
        files.remove(aside)

    @staticmethod
    def _write(package: Package, directory: str) -> None:
        directories = {directory}
        for name, file in package.files.items():
            path = os.path.join(directory, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            parent = os.path.dirname(path)
            while len(parent) > len(directory):
                directories.add(parent)
                parent = os.path.dirname(parent)
            if file.is_link:
                os.symlink(file.content.decode(), path)
            else:
                files.write_synced(path, file.content, 0o755 if file.executable else 0o644)
        for path in sorted(directories, reverse=True):
            files.sync_directory(path)
