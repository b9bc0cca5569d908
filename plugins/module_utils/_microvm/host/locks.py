# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks of MicroVMs, so that two runs cannot tear each other's work.

All are ranges of one file, so that a run with many MicroVMs needs no more than one descriptor. They belong to the open
file (F_OFD_SETLK of fcntl(2)), so they end with the process, and another thread or a library that opens the file too
does not drop them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import struct
import time
from typing import FrozenSet, Iterable, Iterator

from ..declaration.names import RUN_DIRECTORY
from .commands import HostError

LOCK_DIRECTORY = RUN_DIRECTORY + "/locks"
LOCK_FILE = "all.lock"
PATIENCE = 900.0
"""Seconds to wait for another run; a MicroVM that is stopped or started takes its time."""

FLOCK = "hhqqi4x"
"""``struct flock`` (fcntl(2)): type, whence, start, length, process."""


@contextlib.contextmanager
def locked(names: Iterable[str], directory: str = LOCK_DIRECTORY, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the locks of all MicroVMs. Raises HostError when another run keeps one for ``patience`` seconds.

    A name that begins with ``@`` is not a MicroVM's: the rest of it says what is locked.
    """
    deadline = time.monotonic() + patience
    with _opened(directory) as descriptor:
        # Always in the same order: two runs cannot wait for each other.
        for name in sorted(set(names)):
            _wait(descriptor, name, deadline)
        yield


@contextlib.contextmanager
def locked_where_free(names: Iterable[str], directory: str = LOCK_DIRECTORY) -> Iterator[FrozenSet[str]]:
    """Hold the locks that are free now; gives the names of the MicroVMs whose locks other runs hold."""
    with _opened(directory) as descriptor:
        yield frozenset(name for name in set(names) if not _lock(descriptor, name))


@contextlib.contextmanager
def _opened(directory: str) -> Iterator[int]:
    os.makedirs(directory, mode=0o700, exist_ok=True)
    descriptor = os.open(os.path.join(directory, LOCK_FILE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _wait(descriptor: int, name: str, deadline: float) -> None:
    while not _lock(descriptor, name):
        if time.monotonic() > deadline:
            subject = name[1:] if name.startswith("@") else f"MicroVM {name!r}"
            raise HostError(f"another run is working on {subject}; try again when it has finished")
        time.sleep(0.2)


def _lock(descriptor: int, name: str) -> bool:
    """Take a lock if it is free; returns whether that has succeeded."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _offset(name), 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


def _offset(name: str) -> int:
    """Return the byte of the lock file that is a MicroVM's: 62 bits of a digest, so that no two have the same."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 2
