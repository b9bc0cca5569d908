# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Helpers of the commands that work on the host."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import Callable, Sequence

from ..host import settings
from ..host.commands import HostError
from ..host.places import Places
from .output import complain


def places(arguments: Namespace) -> Places:
    """Return the places of this host. Raises HostError for a state directory that is not its own."""
    given = None if arguments.state_dir is None else os.path.abspath(arguments.state_dir)
    return Places(settings.state_directory("--state-dir", given))


def require_root(arguments: Namespace) -> None:
    """Raises HostError for anybody else."""
    if os.geteuid() != 0:
        raise HostError(
            f"{arguments.command} changes the host, so it must be run as root: sudo microvm {arguments.command} …"
        )


def each(names: Sequence[str], work: Callable[[str], None]) -> int:
    """Do it for each MicroVM: the trouble of one does not keep the others from it. Returns the exit status."""
    status = 0
    for name in dict.fromkeys(names):
        try:
            work(name)
        except (HostError, OSError) as error:
            complain(f"microvm: {name}: {error}")
            status = 1
    return status
