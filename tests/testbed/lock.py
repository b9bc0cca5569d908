# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks that die with their holder and don't outlive their directory."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusive(directory: Path) -> Iterator[int]:
    """Hold the lock of ``directory``, which is made if need be; yields the lock's file descriptor.

    Who inherits the descriptor holds the lock too. The holder may remove the directory.
    """
    descriptor = _acquire(directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def if_free(directory: Path) -> Iterator[bool]:
    """Hold the lock of ``directory``, which exists, unless somebody else does; yields whether it is held."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _lock_if_free(descriptor) and _is_current(descriptor, directory)
    finally:
        os.close(descriptor)


def _acquire(directory: Path) -> int:
    """Try until the lock that we hold is the one that others see: a holder may have deleted it meanwhile."""
    while True:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue
        _wait(descriptor, directory)
        if _is_current(descriptor, directory):
            return descriptor
        os.close(descriptor)


def _wait(descriptor: int, directory: Path) -> None:
    """Lock, and say so when somebody else is first."""
    if not _lock_if_free(descriptor):
        print(f"waiting for another command that works in {directory}", file=sys.stderr)
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _lock_if_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_current(descriptor: int, directory: Path) -> bool:
    """Return whether the locked file is still the one in ``directory``."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(directory / "lock"))
    except FileNotFoundError:
        return False
