# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One lock for each MicroVM, so that two runs cannot tear each other's work."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import IO, Iterator, Sequence

from ..declaration.names import RUN_DIRECTORY
from .commands import HostError

LOCK_DIRECTORY = RUN_DIRECTORY + "/locks"
PATIENCE = 900.0
"""Seconds to wait for another run; a MicroVM that is stopped or started takes its time."""


@contextlib.contextmanager
def locked(names: Sequence[str], directory: str = LOCK_DIRECTORY, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the locks of all MicroVMs. Raises HostError when another run keeps one for ``patience`` seconds."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    deadline = time.monotonic() + patience
    with contextlib.ExitStack() as stack:
        # Always in the same order: two runs cannot wait for each other.
        for name in sorted(set(names)):
            file = stack.enter_context(open(os.path.join(directory, f"{name}.lock"), "w", encoding="utf-8"))
            _lock(file, name, deadline)
        yield


def _lock(file: IO[str], name: str, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise HostError(f"another run is at work on MicroVM {name!r}; try again when it is through") from None
            time.sleep(0.2)
