# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that have taps, macvtaps and groups of devices of the host open."""

from __future__ import annotations

import contextlib
import os
from typing import Collection, Dict, Iterator, Mapping, Optional, Tuple

from . import files
from .own_addresses import PROC

TUN_NODE = "/dev/net/tun"


def macvtap_node(index: int) -> str:
    """Return the character device of a macvtap, given the index of the interface."""
    return f"/dev/tap{index}"


def find_users(taps: Collection[str], macvtaps: Mapping[str, int], proc: str = PROC) -> Dict[str, str]:
    """Return a process that has a device open, by the device's name, as messages name it.

    ``macvtaps`` have the indices of their interfaces. Only root finds the processes of other users.
    """
    numbers = {_device(macvtap_node(index)): name for name, index in macvtaps.items()}
    users: Dict[str, str] = {}
    for process, path in _descriptors(proc) if taps or macvtaps else ():
        target = files.link_target(path) or ""
        if target == TUN_NODE:
            name = _name_of_tap(path)
        else:
            # Nothing else is looked at: a file may be on a file system that does not answer.
            device = _device(path) if target.startswith("/dev/") else None
            name = None if device is None else numbers.get(device)
        if name is not None and (name in taps or name in macvtaps):
            users.setdefault(name, f"process {process}{_command(proc, process)}")
    return users


def vfio_node(group: int) -> str:
    """Return the character device of an IOMMU group that is handed over."""
    return f"/dev/vfio/{group}"


def own_vfio_node(name: str) -> str:
    """Return the character device of a single PCI device that is handed over, which iommufd takes."""
    return f"/dev/vfio/devices/{name}"


def find_node_users(nodes: Collection[str], proc: str = PROC) -> Dict[str, str]:
    """Return a process that has a file open, by the file's path, as messages name it; only root finds all of them."""
    users: Dict[str, str] = {}
    for process, path in _descriptors(proc) if nodes else ():
        target = files.link_target(path) or ""
        if target in nodes:
            users.setdefault(target, f"process {process}{_command(proc, process)}")
    return users


def _descriptors(proc: str) -> Iterator[Tuple[str, str]]:
    """Yield the number of each process with the path of each of its open files, which may end at any time."""
    for process in sorted(filter(str.isdecimal, os.listdir(proc)), key=int):
        directory = os.path.join(proc, process, "fd")
        with contextlib.suppress(OSError):
            for number in os.listdir(directory):
                yield process, os.path.join(directory, number)


def _device(path: str) -> Optional[int]:
    """Return the number of a device; ``None`` of what is none, or is not there."""
    try:
        return os.stat(path).st_rdev or None
    except OSError:
        return None


def _name_of_tap(path: str) -> Optional[str]:
    """Return the name of the tap that a descriptor of /dev/net/tun is attached to (proc_pid_fdinfo(5))."""
    with contextlib.suppress(OSError), open(path.replace("/fd/", "/fdinfo/"), encoding="ascii") as file:
        for line in file:
            if line.startswith("iff:"):
                return line[len("iff:") :].strip()
    return None


def _command(proc: str, process: str) -> str:
    with contextlib.suppress(OSError), open(os.path.join(proc, process, "comm"), encoding="utf-8") as file:
        return f" ({file.read().strip()})"
    return ""
