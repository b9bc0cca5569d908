# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store of runner packages."""

from __future__ import annotations

import os
from typing import Dict, List

from ..declaration.names import PACKAGE_STORE
from ..runner.package import Package
from . import files
from .content_store import ContentStore


class PackageStore(ContentStore):
    """Runner packages, named ``DIGEST-NAME``."""

    def __init__(self, directory: str = PACKAGE_STORE) -> None:
        super().__init__(directory)

    def contents(self) -> Dict[str, List[str]]:
        """Names of the packages that are there, by the MicroVM that they are for."""
        packages: Dict[str, List[str]] = {}
        for entry in self.names():
            digest, _dash, name = entry.partition("-")
            if digest and name:
                packages.setdefault(name, []).append(entry)
        return packages

    def read(self, name: str, file: str) -> str:
        """Content of a text file of a package; empty where there is none."""
        return files.read_text(os.path.join(self.path(name), file)) or ""

    def install(self, package: Package) -> None:
        """Put a package into place. One that is there stays."""
        if self.has(package.directory_name):
            return
        with self.making(package.directory_name) as directory:
            for name, file in package.files.items():
                path = os.path.join(directory, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                if file.is_link:
                    os.symlink(file.content.decode(), path)
                else:
                    files.write_new(path, file.content, 0o755 if file.executable else 0o644)
