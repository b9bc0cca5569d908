# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Control groups: where a host's processes are, whatever they did to hide, and how all of them are ended at once."""

from __future__ import annotations

import os
import time
from pathlib import Path

from . import mounts
from .commands import BedError, run
from .paths import Bed


def mount(bed: Bed) -> None:
    """Mount the version 2 hierarchy in the bed's state directory, since the machine may show it nowhere."""
    if bed.cgroup_mount in mounts.below(bed.cgroup_mount):
        return
    bed.cgroup_mount.mkdir(exist_ok=True)
    run("mount", "-t", "cgroup2", "cgroup2", bed.cgroup_mount)


def is_populated(group: Path) -> bool:
    """Return whether any process is in ``group`` or below it."""
    try:
        return "populated 1" in (group / "cgroup.events").read_text(encoding="ascii")
    except (FileNotFoundError, OSError):
        return False


def processes(group: Path) -> list[int]:
    """The processes that are directly in ``group``."""
    try:
        return [int(line) for line in (group / "cgroup.procs").read_text(encoding="ascii").split()]
    except OSError:
        return []


def enter(group: Path) -> None:
    """Move this process into ``group``."""
    (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")


def wait_until_empty(group: Path, seconds: float) -> bool:
    """Wait until no process is left in ``group``; False if some still are when time is up."""
    end = time.monotonic() + seconds
    while is_populated(group):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def remove(group: Path) -> None:
    """Kill whatever is in ``group`` and remove it with all below it. Raises BedError if a process won't die."""
    if not group.is_dir():
        return
    (group / "cgroup.kill").write_text("1", encoding="ascii")
    if not wait_until_empty(group, 20):
        raise BedError(f"processes in {group} survive SIGKILL for 20 s: they wait in the kernel; see `ps axl`")
    for directory, _children, _files in os.walk(group, topdown=False):
        os.rmdir(directory)
