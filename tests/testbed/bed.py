# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bed as a whole: up, down, and what it looks like now."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from . import cache, cgroup, host, keys, lock, mounts, network, ssh
from .commands import BedError, delete, delete_if_empty, write_aside
from .kinds import KINDS, Base
from .paths import CACHE, DATA, MAX_HOSTS, STATE, Bed, Host

READY_SECONDS = 120


def up(bed: Bed, count: int, kind: str, suite: str) -> None:
    """Have ``count`` hosts running. Those that run stay as they are; what is broken is made anew."""
    if not 1 <= count <= MAX_HOSTS:
        raise BedError(f"{count} hosts: choose between 1 and {MAX_HOSTS}")
    base = KINDS[kind](suite)
    with lock.exclusive(bed.state) as descriptor:
        _settle(bed, base)
        hosts = [bed.host(number) for number in range(1, count + 1)]
        for member in hosts:
            if not host.is_running(member):
                print(f"starting {member.name} ({kind}, {suite}, {member.address})", file=sys.stderr)
                host.start(member, base, descriptor)
        ssh.write_config(bed)
    for member in hosts:
        wait_until_ready(member)


def _settle(bed: Bed, base: Base) -> None:
    """Make what all hosts of the bed share, and hold the bed to one base."""
    cgroup.mount(bed)
    record = bed.state / "base"
    if any(host.is_running(member) for member in bed.hosts()):
        if not record.exists() or record.read_text(encoding="utf-8") != base.name:
            raise BedError(f"bed {bed.name} runs on another base; take it down first, or use --name")
    else:
        _remove_hosts(bed)
    write_aside(record, base.name)
    network.create(bed)
    keys.ensure(bed)


def wait_until_ready(member: Host) -> None:
    """Wait until SSH answers and systemd has started everything. Raises BedError with what was last seen."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        answer = ssh.probe(member, ["systemctl is-system-running --wait"])
        state = answer.stdout.strip()
        if state == "running":
            return
        if state == "degraded":
            failed = ssh.probe(member, ["systemctl --failed --plain --no-legend"]).stdout
            raise BedError(f"{member.name} is degraded, units failed:\n{failed}")
        if not cgroup.is_populated(member.cgroup):
            raise BedError(f"{member.name} ended while it started:\n{host.last_words(member)}")
        time.sleep(0.1)
    raise BedError(
        f"{member.name} is not ready after {READY_SECONDS} s: {answer.stdout}{answer.stderr}\n{host.last_words(member)}"
    )


def down(bed: Bed) -> None:
    """Power off the bed's hosts and remove every trace of it, also of a bed that was killed while it came or went."""
    with lock.exclusive(bed.state):
        cgroup.mount(bed)
        host.stop(bed.hosts())
        _remove_hosts(bed)
        network.remove(bed)
        mounts.unmount_below(bed.state)
        delete(bed.state)
    delete_if_empty([DATA, STATE])


def _remove_hosts(bed: Bed) -> None:
    """End every process of the bed and delete its hosts' files."""
    cgroup.remove(bed.cgroup)
    delete(bed.data)


def remove_unfinished_builds() -> None:
    """Delete what a killed build left, unless a build is at work."""
    if any(CACHE.glob("*.partial")):
        with lock.if_free(CACHE) as is_mine:
            if is_mine:
                cache.remove_unfinished()


def status(bed: Bed) -> list[tuple[str, str, str]]:
    """Name, address and state of each host."""
    return [(member.name, member.address, _state(member)) for member in bed.hosts()]


def _state(member: Host) -> str:
    if not host.is_running(member):
        return "stopped"
    return ssh.probe(member, ["systemctl is-system-running"]).stdout.strip() or "unreachable"


def find(bed: Bed, name: str) -> Host:
    """The host of the bed with the given name. Raises BedError if there is none."""
    hosts: Sequence[Host] = bed.hosts()
    for member in hosts:
        if member.name == name:
            return member
    known = ", ".join(member.name for member in hosts) or "none"
    raise BedError(f"bed {bed.name} has no host {name!r}; it has: {known}")
