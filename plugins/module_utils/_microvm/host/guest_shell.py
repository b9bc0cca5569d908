# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run commands in guests, by SSH from their host, without asking anybody."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import IO, Optional, Sequence, Tuple

from ..schema.excerpts import last_lines
from .capture import Captured, capture
from .commands import HostError

SSH_ERROR = 255
"""Exit status of ssh for an error of its own."""

_OPTIONS = (
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=8",
    # Root's own settings of ssh apply as well, and whoever is root in the guest could use what they forward.
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
)

_OUTPUT_BYTES = 1 << 22


@dataclass(frozen=True)
class GuestLogin:
    """Way from a host into one of its guests."""

    destination: str
    """Address of the guest, as ssh has it."""
    options: Tuple[str, ...] = ()
    """Options of ssh, among them those by which it accepts the host key of this guest alone."""


def run_in_guest(
    login: GuestLogin, command: Sequence[str], seconds: float, source: Optional[IO[bytes]] = None
) -> Captured:
    """Run a command in a guest as root; ``source`` is a file that it reads as its standard input.

    Raises HostError where the guest cannot be reached, or the command does not end in time.
    """
    options = [word for option in _OPTIONS for word in ("-o", option)]
    words = ["ssh", *login.options, *options, "-l", "root", "--", login.destination, shlex.join(command)]
    done = capture(words, seconds, _OUTPUT_BYTES, source=source)
    errors = last_lines(done.errors.decode(errors="replace"))
    if done.status is None:
        raise HostError(f"the guest has not answered within {seconds:.0f} s{f': {errors}' if errors else ''}")
    if done.status == SSH_ERROR:
        raise HostError(f"the guest cannot be reached by SSH: {errors}")
    return done
