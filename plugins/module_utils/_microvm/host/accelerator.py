# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What ``accel: auto`` comes to on this host.

``/dev/kvm`` can open and create a machine, and still run no ordinary kernel (nested paravirtual KVM). So a kernel is
booted under it; it has no root disk, so it says its first lines and ends.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from typing import Dict

from ..declaration.names import RUN_DIRECTORY
from . import files
from .commands import search_path

CACHE = RUN_DIRECTORY + "/accelerator.json"
"""Gone when the host restarts, as it should: the answer can then be another one."""

PROBE_SECONDS = 20
FIRST_WORDS = b"Linux version"


def accelerator(kernel: str, check_mode: bool) -> str:
    """``kvm`` or ``tcg``.

    Check mode tries too, since it must not say anything else than the real run, but leaves no note of it. Where the
    kernel is yet to come, or there is no QEMU to try it with, the device decides.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    program = f"qemu-system-{platform.machine()}"
    if not shutil.which(program, path=search_path()) or (check_mode and not os.path.exists(kernel)):
        return "kvm"
    key = f"{program} {kernel} {_changed(kernel)} {_changed(shutil.which(program) or '')}"
    known: Dict[str, str] = json.loads(files.read_text(CACHE) or "{}")
    if key not in known:
        known[key] = "kvm" if _boots(program, kernel) else "tcg"
        if not check_mode:
            os.makedirs(RUN_DIRECTORY, exist_ok=True)
            files.replace_file(CACHE, json.dumps(known).encode())
    return known[key]


def _changed(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0


MACHINES = {
    "x86_64": ("microvm,accel=kvm,acpi=on,pic=off,pit=off,rtc=on", "earlyprintk=ttyS0 console=ttyS0"),
    "aarch64": ("virt,accel=kvm,gic-version=max", "earlycon console=ttyAMA0"),
}
"""Machine and console by architecture."""


def _boots(program: str, kernel: str) -> bool:
    """Whether the kernel says something under KVM."""
    machine, console = MACHINES.get(platform.machine(), MACHINES["x86_64"])
    command = [
        *(program, "-M", machine, "-cpu", "host", "-m", "256M"),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-nographic", "-serial", "stdio", "-kernel", kernel),
        *("-append", f"{console} reboot=t panic=-1"),
    ]
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
