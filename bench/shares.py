# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure a guest's files in a virtiofs and in a 9p share: one large file, many small ones, written and read anew.

The guest is emulated, on a container as host, so only ratios between the protocols mean something.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "plugins" / "module_utils"), str(ROOT / "tests")]

from hosts.host import Host
from hosts.small_guest import MODULES, provide, run_microvm

BED = "bench"
PROTOCOLS = ("virtiofs", "9p")
WORKS = {
    "64 MiB written": "dd if=/dev/zero of=large bs=1M count=64 conv=fsync",
    "64 MiB read": "cat large",
    "300 files written": "for file in $(seq 300); do echo $file > small.$file; done; sync",
    "300 files read": "cat small.*",
    "300 files removed": "rm small.*",
}
"""Lines of the guest's shell, in the order in which each is measured; the cache is empty before."""

REPETITIONS = 3
IN_GUEST = (
    MODULES
    + """\
now() { read up idle < /proc/uptime; echo ${up%.*}${up#*.}; }
mkdir /mnt/virtiofs /mnt/9p
mount -t virtiofs virtiofs /mnt/virtiofs
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 9p /mnt/9p
work() { # protocol, title, line
    cd /mnt/$1
    echo 3 > /proc/sys/vm/drop_caches
    begin=$(now)
    eval "$3" > /dev/null 2>&1
    echo "$1:$2:$(($(now) - begin))"
    cd /
}
"""
    + f"for round in {' '.join(map(str, range(REPETITIONS)))}; do for protocol in {' '.join(PROTOCOLS)}; do\n"
    + "".join(f"work $protocol '{title}' '{line}'\n" for title, line in WORKS.items())
    + "done; done"
)
"""Script that prints protocol, title and hundredths of a second; the protocols take turns, so that noise meets both."""

SHARES = [{"tag": protocol, "source": protocol, "proto": protocol} for protocol in PROTOCOLS]


def parse(lines: Iterable[str]) -> dict[tuple[str, str], list[float]]:
    """Return the seconds of each protocol and work, by what the script has printed."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for line in lines:
        protocol, title, hundredths = line.split(":")
        seconds.setdefault((protocol, title), []).append(int(hundredths) / 100)
    return seconds


def figures(seconds: Mapping[tuple[str, str], Sequence[float]]) -> dict[str, float]:
    """Return the medians of virtiofs, and how many times as long 9p takes."""
    medians: dict[str, float] = {}
    for title in WORKS:
        first, second = (statistics.median(seconds[protocol, title]) for protocol in PROTOCOLS)
        medians[f"virtiofs: {title}, s"] = round(first, 2)
        # A clock of hundredths says nothing of less.
        medians[f"9p: {title}, by virtiofs's"] = round(second / max(first, 0.01), 2)
    return medians


def shares() -> dict[str, float]:
    """Measure on a host of its own."""
    host = Host(BED)
    try:
        host.up()
        provide(host, IN_GUEST)
        options = {"accel": "tcg", "mem": 512, "shares": SHARES}
        return figures(parse(run_microvm(host, "measured", options)))
    finally:
        host.down()


if __name__ == "__main__":
    for figure, value in shares().items():
        print(f"{figure:56} {value:>8}")
