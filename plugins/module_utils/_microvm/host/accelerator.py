# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The accelerator that ``accel: auto`` comes to on this host.

``/dev/kvm`` can open and create a machine, and still run no ordinary kernel (nested paravirtual KVM). So a kernel is
booted under it; it has no root disk, so it says its first lines and ends.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from typing import Dict, Sequence

from ..declaration.names import RUN_DIRECTORY
from ..hypervisors.registry import probe
from . import files
from .commands import HostError, search_path

CACHE = RUN_DIRECTORY + "/accelerator.json"
"""Gone when the host restarts, as it should: the answer can then be another one."""

PROBE_SECONDS = 20
FIRST_WORDS = b"Linux version"


def accelerator(kernel: str, check_mode: bool) -> str:
    """Return ``kvm`` or ``tcg``.

    Check mode tries too, since it must not say anything else than the real run, but leaves no note of it. Where the
    kernel is yet to come, or there is no program to try it with, the device decides.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    command = probe(platform.machine(), kernel)
    program = shutil.which(command[0], path=search_path()) if command else None
    if program is None or (check_mode and not os.path.exists(kernel)):
        return "kvm"
    key = f"{program} {kernel} {_changed(kernel)} {_changed(program)}"
    cached = _cached()
    if key not in cached:
        cached[key] = "kvm" if _boots(command) else "tcg"
        if not check_mode:
            os.makedirs(RUN_DIRECTORY, exist_ok=True)
            files.replace_file(CACHE, json.dumps(cached).encode())
    return cached[key]


def _cached() -> Dict[str, str]:
    """Return the answers that were found; none from a file that is damaged, which the next answer replaces."""
    try:
        values = json.loads(files.read_text(CACHE) or "{}")
    except (HostError, ValueError, RecursionError):
        return {}
    is_cache = isinstance(values, dict) and all(value in ("kvm", "tcg") for value in values.values())
    return values if is_cache else {}


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0


def _boots(command: Sequence[str]) -> bool:
    """Return whether the kernel says something under KVM."""
    try:
        result = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_SECONDS, check=False
        )
        return FIRST_WORDS in result.stdout
    except FileNotFoundError:
        return False
    except subprocess.TimeoutExpired as error:
        # A kernel that hangs later has run all the same.
        return FIRST_WORDS in (error.stdout or b"")
