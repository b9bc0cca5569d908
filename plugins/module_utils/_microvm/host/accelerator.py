# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The accelerator that ``accel: auto`` comes to on this host.

``/dev/kvm`` can open and create a machine, and still run no ordinary kernel (nested paravirtual KVM). So a kernel is
booted under it; it has no root disk, so it says its first lines and ends. The host's own kernel is tried first, since
root trusts it anyway, then the declared one: hosts may have none, or one that says nothing on a serial line. Either is
booted in a sandbox, by a user that exists for that moment.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import stat
import tempfile
from dataclasses import dataclass
from typing import Dict, List, Sequence

from ..declaration.names import RUN_DIRECTORY
from ..hypervisors.registry import probe
from . import files
from .commands import HostError, search_path
from .transient import run_confined

CACHE = RUN_DIRECTORY + "/accelerator.json"
"""Gone when the host restarts, as it should: the answer can then be another one."""

KVM = "/dev/kvm"
HOST_KERNEL = "/boot/vmlinuz-{release}"

KERNEL_BYTES = 256 << 20
"""Limit of a kernel that is tried."""

PROBE_SECONDS = 20
FIRST_WORDS = b"Linux version"

_PLACE = "/run/kernel"
"""Path of the kernel in the sandbox."""


@dataclass(frozen=True)
class Accelerator:
    """What ``auto`` comes to: ``kvm`` or ``tcg``."""

    name: str
    is_tested: bool = True
    """False if only a run that is not in check mode can find it out."""


def accelerator(kernel: str, check_mode: bool) -> Accelerator:
    """Return what ``auto`` comes to for a declared kernel.

    Check mode boots nothing: it has the answer of an earlier run, or expects that the device works. Where the kernel is
    yet to come, or there is no program to try it with, nothing is tested either. Raises HostError.
    """
    if not can_be_opened(KVM):
        return Accelerator("tcg")
    kernels = [path for path in (HOST_KERNEL.format(release=platform.release()), kernel) if os.path.isfile(path)]
    command = probe(platform.machine(), _PLACE)
    program = shutil.which(command[0], path=search_path()) if command else None
    if program is None or not kernels:
        return Accelerator("kvm", is_tested=False)
    keys = {f"{program} {path} {_changed(path)} {_changed(program)}": path for path in kernels}
    answers = _cached()
    if "kvm" not in map(answers.get, keys):
        if check_mode and not answers.keys() >= keys.keys():
            return Accelerator("kvm", is_tested=False)
        _try(keys, answers, (program, *command[1:]))
    return Accelerator("kvm" if "kvm" in map(answers.get, keys) else "tcg")


def can_be_opened(device: str) -> bool:
    """Return whether there is a device, and a driver behind it: a node alone may be there without, or forbidden."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _try(keys: Dict[str, str], answers: Dict[str, str], command: Sequence[str]) -> None:
    """Boot kernels until one runs, and keep the answers; ``keys`` are theirs, with the kernels' paths."""
    untried = [key for key in keys if key not in answers]
    for key in untried:
        answers[key] = "kvm" if _boots(command, keys[key]) else "tcg"
        if answers[key] == "kvm":
            break
    if untried:
        os.makedirs(RUN_DIRECTORY, exist_ok=True)
        files.replace_file(CACHE, json.dumps(answers).encode())


def _cached() -> Dict[str, str]:
    """Return the answers that were found; none from a file that is damaged, which the next answer replaces."""
    try:
        values = json.loads(files.read_text(CACHE) or "{}")
    except (HostError, ValueError, RecursionError):
        return {}
    is_cache = isinstance(values, dict) and all(value in ("kvm", "tcg") for value in values.values())
    return values if is_cache else {}


def _changed(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return "0"
    return f"{status.st_mtime_ns} {status.st_size}"


def _boots(command: Sequence[str], kernel: str) -> bool:
    """Return whether a kernel says something under KVM."""
    os.makedirs(RUN_DIRECTORY, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="accelerator-", dir=RUN_DIRECTORY) as directory:
        copy = os.path.join(directory, "kernel")
        if not _copy(kernel, copy):
            return False
        properties = [f"DeviceAllow={KVM} rw", *_groups(), f"BindReadOnlyPaths={copy}:{_PLACE}"]
        captured = run_confined("accelerator", command, PROBE_SECONDS, properties, FIRST_WORDS)
    return FIRST_WORDS in captured.output


def _copy(kernel: str, copy: str) -> bool:
    """Copy a kernel, which the sandbox's user may not read where it is; returns False for one that is none."""
    descriptor = os.open(kernel, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as source, open(copy, "xb") as target:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > KERNEL_BYTES:
            return False
        shutil.copyfileobj(source, target)
        os.fchmod(target.fileno(), 0o444)
    return True


def _groups() -> List[str]:
    """Return the setting for the group that may use the device, unless that is root's."""
    group = files.group_name(KVM)
    return [f"SupplementaryGroups={group}"] if group not in (None, "root") else []
