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

HYPERVISOR_FILE = f"{SHARE}/hypervisor"
CONTEXT_IDENTIFIER_FILE = f"{SHARE}/vsock-cid"

VSOCK_SOCKET_FILE = f"{SHARE}/vsock-socket"
"""File of packages whose guests' vsock is behind a Unix socket, which it names."""

NOTIFY_PORT_FILE = f"{SHARE}/notify-port"
"""File of packages whose guests are heard by the unit ``microvm-notify@``."""

RUN_SCRIPT = "bin/microvm-run"
"""Script that every package has: it becomes the hypervisor."""

DIGEST_LENGTH = 32
"""Hexadecimal digits of a digest in a name: 128 bits of SHA-256."""


@dataclass(frozen=True)
class File:
    """File of a package, or a symbolic link, whose target is its content."""

    content: bytes
    executable: bool = False
    is_link: bool = False


class PackageDigest:
    """Digest of a package, of whose files one after another is added, sorted by their paths."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def begin(self, path: str, length: int, executable: bool, is_link: bool) -> None:
        """Begin a file."""
        # Lengths first, so that no content can be read as another file's.
        kind = "link" if is_link else ""
        self._digest.update(f"{len(path)} {path} {int(executable)}{kind} {length} ".encode())

    def add(self, content: bytes) -> None:
        """Add content of the file that was begun."""
        self._digest.update(content)

    def result(self) -> str:
        """Return the digest as it is in the names of packages."""
        return self._digest.hexdigest()[:DIGEST_LENGTH]


@dataclass(frozen=True)
class Package:
    """A package of the MicroVM ``name``; ``files`` has relative paths."""

    name: str
    files: Mapping[str, File]
    programs: Tuple[str, ...] = ()
    """Programs of the host that the package runs, the hypervisor's first."""
    live_options: Tuple[str, ...] = ()
    """Options of the command line whose values a MicroVM that runs can be given without a restart."""

    place: str = ""
    """Name in the store, or path, of a package that is there and stays where it is; empty for all others."""

    @property
    def digest(self) -> str:
        """Return a digest that is unique to the content of the package."""
        digest = PackageDigest()
        for path in sorted(self.files):
            file = self.files[path]
            digest.begin(path, len(file.content), file.executable, file.is_link)
            digest.add(file.content)
        return digest.result()

    @property
    def directory_name(self) -> str:
        """Name of the package's directory in a store, or its path where it is in none of ours."""
        return self.place or f"{self.digest}-{self.name}"
