# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the same guest on each hypervisor: seconds from its start to SSH, and memory of the hypervisor beside it.

The programs are those of the examination: QEMU from the host's packages, the others from ``MICROVM_HYPERVISORS``. The
host is an emulated one with its own KVM, so only ratios between hypervisors mean something.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "plugins" / "module_utils"), str(ROOT / "tests")]

from _microvm.hypervisors.profiles import PROFILES
from hosts.host import Host
from hosts.hypervisors import image, programs
from hosts.hypervisors.cells import FellShort
from hosts.hypervisors.guest import Guest, place, shows_banner

BED = "bench"
REPETITIONS = 3
REFERENCE = "qemu"
"""Hypervisor to which the others are compared: the one that every host has in its packages."""

GUEST_MEMORY = 256 * 1024
"""Size in KiB from which a mapping of the hypervisor is the guest's memory, which has 512 MiB."""

START = """\
begin=$(date +%s%N)
systemctl start --no-block {unit}
until {banner}; do
    [ $(($(date +%s%N) - begin)) -lt 300000000000 ] || exit 1
    sleep 0.1
done
echo $((($(date +%s%N) - begin) / 1000000))
"""
"""Script that starts a MicroVM and prints the milliseconds until its SSH server shows its banner."""


@dataclass
class Measured:
    """Figures of one hypervisor, one for each start."""

    seconds: list[float] = field(default_factory=list)
    own: list[int] = field(default_factory=list)
    """Memory of the hypervisor's processes without that of the guest, in KiB."""
    guest: list[int] = field(default_factory=list)
    """Memory that the guest has touched, in KiB."""


def mappings(smaps: str) -> Iterator[tuple[int, int]]:
    """Return size and proportional share of each mapping of ``/proc/PID/smaps`` (proc(5)), in KiB."""
    size = 0
    for line in smaps.splitlines():
        key, _colon, value = line.partition(":")
        if key == "Size":
            size = int(value.split()[0])
        elif key == "Pss":
            yield size, int(value.split()[0])


def divided(smaps: str) -> tuple[int, int]:
    """Return the memory of processes in KiB: the hypervisor's own, and the guest's."""
    pairs = list(mappings(smaps))
    guest = sum(share for size, share in pairs if size >= GUEST_MEMORY)
    return sum(share for _size, share in pairs) - guest, guest


def start(guest: Guest, measured: Measured) -> None:
    """Start a MicroVM that is down, note its figures, and stop it. Raises FellShort."""
    milliseconds = guest.host.run(START.format(unit=guest.unit, banner=shows_banner(guest.address, 2)), timeout=400)
    measured.seconds.append(int(milliseconds) / 1000)
    guest.up()
    guest.inside("sync; systemctl is-system-running --wait > /dev/null; true")
    own, touched = divided(guest.host.run(f"cat {' '.join(f'/proc/{pid}/smaps' for pid in guest.processes())}"))
    measured.own.append(own)
    measured.guest.append(touched)
    guest.down()


def measure(host: Host, paths: Mapping[str, Path | None]) -> dict[str, Measured]:
    """Return the figures of each hypervisor whose guest starts; they take turns, so that noise meets all alike."""
    programs.send(host, paths)
    where = place(host, image.provide(host))
    guests = {name: Guest(where, PROFILES[name], {}) for name in paths}
    all_measured = {name: Measured() for name in paths}
    for _repetition in range(REPETITIONS):
        for name, guest in list(guests.items()):
            try:
                guest.apply("present")
                start(guest, all_measured[name])
            except (FellShort, AssertionError) as error:
                print(f"{name} is left out: {' '.join(str(error).split())[:300]}", flush=True)
                del guests[name], all_measured[name]
                guest.forget()
    return all_measured


def figures(all_measured: Mapping[str, Measured]) -> dict[str, float]:
    """Return the medians, with ratios to the reference where that has been measured."""
    medians: dict[str, float] = {}
    reference = all_measured.get(REFERENCE)
    for name, measured in all_measured.items():
        seconds, own = statistics.median(measured.seconds), statistics.median(measured.own)
        medians[f"{name}: start to SSH, s"] = round(seconds, 1)
        medians[f"{name}: own memory, MiB"] = round(own / 1024, 1)
        medians[f"{name}: memory of its guest, MiB"] = round(statistics.median(measured.guest) / 1024, 1)
        if reference and name != REFERENCE:
            medians[f"{name}: start to SSH, by {REFERENCE}'s"] = round(
                seconds / statistics.median(reference.seconds), 2
            )
            medians[f"{name}: own memory, by {REFERENCE}'s"] = round(own / statistics.median(reference.own), 2)
    return medians


def hypervisors() -> dict[str, float]:
    """Measure on a host of its own. Returns nothing where only one hypervisor's program is there."""
    paths = programs.found(os.environ.get("MICROVM_HYPERVISORS"))
    if len(paths) < 2:
        print("hypervisors side by side: skipped, no programs but QEMU's are in MICROVM_HYPERVISORS", flush=True)
        return {}
    host = Host(BED, "vm")
    try:
        host.up()
        return figures(measure(host, paths))
    finally:
        host.down()


if __name__ == "__main__":
    for figure, value in hypervisors().items():
        print(f"{figure:56} {value:>8}")
