# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls of `systemctl` that survive a lost connection to systemd.

systemd closes all connections when it executes itself again (`systemctl daemon-reexec`, which an update of its package
does), and answers again a moment later, with the units and jobs that it had before.
"""

from __future__ import annotations

import os
import re
import time
from typing import Dict, Iterator, Optional, Sequence

from .commands import HostError, run

ATTEMPTS = 120
"""Number of times that a call is tried; each may have waited long before its connection was lost."""

PAUSE_SECONDS = 0.5

_LOST = re.compile(
    r"connection reset by peer|connection refused|connection timed out|connection terminated|connection is closed"
    r"|transport endpoint is not connected|broken pipe|disconnected|did not receive a reply"
    r"|failed to connect to .*bus: (no such file|resource temporarily)|failed to wait for response",
    re.IGNORECASE,
)
"""Words of `systemctl` for a connection that was lost, or that nobody accepts for the moment."""


def is_lost(error: HostError) -> bool:
    """Return whether a call has failed since its connection was lost, on a host that systemd runs."""
    return _LOST.search(str(error)) is not None and os.path.isdir("/run/systemd/system")


def ask(argv: Sequence[str], timeout: Optional[float] = 300) -> str:
    """Return the output of a command that may be repeated, also after it has had its effect. Raises HostError."""
    for _attempt in range(ATTEMPTS - 1):
        try:
            return run(argv, timeout)
        except HostError as error:
            if not is_lost(error):
                raise
        pause()
    return run(argv, timeout)


def blocks(shown: str) -> Iterator[Dict[str, str]]:
    """Yield the properties of each unit that `systemctl show` has written: blocks of ``Key=value`` lines."""
    for block in shown.split("\n\n"):
        yield dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line)


def pause() -> None:
    """Wait before the next attempt."""
    time.sleep(PAUSE_SECONDS)
