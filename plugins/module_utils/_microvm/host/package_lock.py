# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locks of dpkg and apt: who holds them, waiting until nobody does, and finishing what an interrupted dpkg has left.

They are record locks (F_SETLK of fcntl(2)) on whole files: the kernel knows the process that holds one, and drops the
lock when that process ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from .commands import HostError, run
from .locks import FLOCK

FRONTEND_LOCK = "/var/lib/dpkg/lock-frontend"
"""Held by apt and the like for as long as they are at work; who holds it runs dpkg with DPKG_FRONTEND_LOCKED."""

LOCKS = (FRONTEND_LOCK, "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock")

UNFINISHED_STATES = ("half-configured", "unpacked", "triggers-awaited", "triggers-pending")
"""States of dpkg(1) that ``dpkg --configure --pending`` ends."""

CONFIGURE = (
    "env",
    "DPKG_FRONTEND_LOCKED=true",
    "DEBIAN_FRONTEND=noninteractive",
    "dpkg",
    # Nobody is there to be asked about configuration files: those that an operator has changed stay.
    "--force-confdef",
    "--force-confold",
    "--configure",
    "--pending",
)
CONFIGURE_TIMEOUT = 1800.0
POLL_INTERVAL = 0.5


@dataclass(frozen=True)
class Holder:
    """A process that holds locks of the package manager."""

    process: int
    command: str
    locks: Tuple[str, ...]

    def __str__(self) -> str:
        """Return how a message names it."""
        return f"process {self.process} (`{self.command}`) holds {', '.join(self.locks)}"


def holders(locks: Sequence[str] = LOCKS) -> List[Holder]:
    """Return the other processes that hold any of the locks."""
    held: Dict[int, List[str]] = {}
    for path in locks:
        process = _holding_process(path)
        if process is not None:
            held.setdefault(process, []).append(path)
    return [Holder(process, _command_line(process), tuple(paths)) for process, paths in held.items()]


def _holding_process(path: str) -> Optional[int]:
    """Return the process that holds a lock; 0 or less for one that cannot be seen from here, None for nobody."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        request = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = struct.unpack(FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, request))
    finally:
        os.close(descriptor)
    return None if answer[0] == fcntl.F_UNLCK else int(answer[4])


def _command_line(process: int) -> str:
    """Return the arguments of a process, or at least its name, as far as they can be seen."""
    for file in ("cmdline", "comm"):
        with contextlib.suppress(OSError), open(f"/proc/{process}/{file}", "rb") as stream:
            line = stream.read().replace(b"\0", b" ").decode(errors="replace").strip()
            if line:
                return line
    return "unknown"


@contextlib.contextmanager
def frontend_locked(timeout: float, locks: Sequence[str] = LOCKS) -> Iterator[List[Holder]]:
    """Hold the first of the locks once no other process holds any; yield the processes that were waited for.

    Raises HostError, which names them, when one is held for ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    waited_for: Dict[int, Holder] = {}
    while True:
        busy = holders(locks)
        for holder in busy:
            # A process that is about to end has no command line any more.
            waited_for.setdefault(holder.process, holder)
        descriptor = None if busy else _take(locks[0])
        if descriptor is not None:
            break
        if time.monotonic() > deadline:
            raise HostError(_still_held(busy, timeout))
        time.sleep(POLL_INTERVAL)
    try:
        yield list(waited_for.values())
    finally:
        os.close(descriptor)


def _take(path: str) -> Optional[int]:
    """Return a descriptor that holds a lock as long as it is open; None where another process was quicker."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        return None
    return descriptor


def _still_held(busy: Sequence[Holder], timeout: float) -> str:
    names = "; ".join(map(str, busy)) or "another process was quicker each time"
    return (
        f"the host's packages are still being changed by another process after {timeout:g} s: {names}. "
        "Run this again when it has ended, or with a longer limit"
    )


def unfinished_packages() -> List[str]:
    """Return the packages that an interrupted dpkg has left unpacked or half configured."""
    listing = run(["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${binary:Package}\n"])
    pairs = (line.split(" ", 1) for line in listing.splitlines())
    return [package for state, package in pairs if state in UNFINISHED_STATES]


def finish_interrupted(timeout: float, locks: Sequence[str] = LOCKS) -> Tuple[List[Holder], List[str]]:
    """Configure unfinished packages once no other process is at work; return who was waited for, and the packages."""
    with frontend_locked(timeout, locks) as waited_for:
        packages = unfinished_packages()
        # Also without such packages: dpkg then tidies its journal, without which apt refuses to work.
        run(CONFIGURE, timeout=CONFIGURE_TIMEOUT)
    return waited_for, packages
