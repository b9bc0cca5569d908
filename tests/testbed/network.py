# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bed's network: a namespace with one bridge and no way out."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from . import mounts
from .commands import BedError, run, send_signal
from .paths import NETWORK, Bed

BRIDGE = "br0"
GATEWAY = f"{NETWORK}.1"
SETUP = f"""\
link set lo up
link add {BRIDGE} type bridge
address add {GATEWAY}/24 dev {BRIDGE}
route add unreachable default
link set {BRIDGE} up
"""
"""Input of ip(8). The route answers whoever looks for a way out, so that nothing waits for a time limit."""


def inside(bed: Bed) -> tuple[str, ...]:
    """The words that, before a command, run it in the bed's network."""
    return ("nsenter", f"--net={bed.network_namespace}")


def become(bed: Bed, words: Sequence[str]) -> None:
    """Replace this process by ``words``, or a shell, in the bed's network. Raises BedError if there is none."""
    if not _is_mounted(bed):
        raise BedError(f"bed {bed.name} has no network; `up` makes it")
    command = [*inside(bed), *(words or ("bash",))]
    os.execvp(command[0], command)


def create(bed: Bed) -> None:
    """Make the bed's network unless it is complete."""
    if _is_complete(bed):
        return
    remove(bed)
    bed.network_namespace.touch()
    run("unshare", f"--net={bed.network_namespace}", "true")
    run(*inside(bed), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    run(*inside(bed), "ip", "-batch", "-", stdin=SETUP)


def _is_complete(bed: Bed) -> bool:
    """Return whether the last step of creating the network was done."""
    if not _is_mounted(bed):
        return False
    try:
        return "UP" in run(*inside(bed), "ip", "-brief", "link", "show", "dev", BRIDGE, "up")
    except BedError:
        return False


def _is_mounted(bed: Bed) -> bool:
    return bed.network_namespace in mounts.below(bed.network_namespace)


def remove(bed: Bed) -> None:
    """End what still talks to the hosts, and let the namespace go: with it go its links."""
    if _is_mounted(bed):
        _end_members(bed)
        mounts.unmount_below(bed.network_namespace)
    bed.network_namespace.unlink(missing_ok=True)


def _end_members(bed: Bed) -> None:
    """Kill the processes in the namespace: SSH's proxies, mostly; all are the bed's, by being there."""
    end = time.monotonic() + 10
    while members := _members(bed.network_namespace):
        if time.monotonic() > end:
            raise BedError(f"processes {members} in the bed's network survive SIGKILL")
        for process in members:
            send_signal(process, signal.SIGKILL)
        time.sleep(0.02)


def _members(namespace: Path) -> list[int]:
    """Processes whose network namespace is the one that is mounted on the file ``namespace``."""
    wanted = namespace.stat()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.path.samestat((entry / "ns/net").stat(), wanted):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
