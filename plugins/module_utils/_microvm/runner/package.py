# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A runner package: a mapping from path to content, and the digest of exactly that."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Mapping, Tuple

SHARE = "share/microvm"
"""Facts for hosts, in a package."""

DECLARATION_FILE = f"{SHARE}/declaration.json"
COMMAND_LINE_FILE = f"{SHARE}/command-line"

DIGEST_LENGTH = 32
"""Hexadecimal digits of a digest in a name: 128 bits of SHA-256."""


@dataclass(frozen=True)
class File:
    """File of a package, or a symbolic link, whose target is its content."""

    content: bytes
    executable: bool = False
    is_link: bool = False


@dataclass(frozen=True)
class Package:
    """A package of the MicroVM ``name``; ``files`` has relative paths."""

    name: str
    files: Mapping[str, File]
    programs: Tuple[str, ...] = ()
    """Programs of the host that the package runs, the hypervisor's first."""
    live_options: Tuple[str, ...] = ()
    """Options of the command line whose values a MicroVM that runs can be given without a restart."""

    @property
    def digest(self) -> str:
        """Return a digest that is unique to the content of the package."""
        digest = hashlib.sha256()
        for path in sorted(self.files):
            file = self.files[path]
            # Lengths first, so that no content can be read as another file's.
            kind = "link" if file.is_link else ""
            digest.update(f"{len(path)} {path} {int(file.executable)}{kind} {len(file.content)} ".encode())
            digest.update(file.content)
        return digest.hexdigest()[:DIGEST_LENGTH]

    @property
    def directory_name(self) -> str:
        """Name of the package's directory in a store."""
        return f"{self.digest}-{self.name}"
