# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests do with a bed, and what it must not leave."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from .. import cgroup
from ..paths import Bed

TESTBED = Path(__file__).parents[1] / "testbed"


def command(*words: str, status: int = 0, seconds: float = 300) -> str:
    """Run one command of the bed to its end; returns its output."""
    done = subprocess.run([TESTBED, *words], capture_output=True, text=True, check=False, timeout=seconds)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


def leftovers(bed: Bed) -> list[str]:
    """Return every trace of a bed on the machine: files, mounts, control groups, processes."""
    found = [str(path) for path in (bed.state, bed.data) if path.exists()]
    mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    found += [line for line in mountinfo.splitlines() if bed.name in line]
    found += [f"control group {path}" for path in _control_groups(bed)]
    for process in Path("/proc").glob("[0-9]*"):
        if _mentions(bed, process):
            found.append(f"process {(process / 'cmdline').read_bytes()!r}")
    return found


def _control_groups(bed: Bed) -> list[Path]:
    probe = Bed("probe")
    probe.state.mkdir(parents=True, exist_ok=True)
    cgroup.mount(probe)
    groups = list(probe.cgroup_mount.glob(f"microvm-fleet-testbed.{bed.name}"))
    command("down", "--name", probe.name)
    return groups


def _mentions(bed: Bed, process: Path) -> bool:
    try:
        return (
            process.name != str(os.getpid())
            and (
                f"/{bed.name}/".encode() in (process / "cmdline").read_bytes()
                or f".{bed.name}/" in (process / "cgroup").read_text(encoding="utf-8")
            )
            and "\nState:\tZ" not in (process / "status").read_text(encoding="utf-8")
        )
    except OSError:
        return False
