# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure a small guest: seconds from its start to SSH, by KVM and by TCG; its traffic with vhost-net and without.

The host is an emulated one with its own KVM, so only ratios mean something. The guest has the kernel and the SSH server
of an image, and runs one script instead of systemd: without KVM, the whole of it would take a quarter of an hour.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "plugins" / "module_utils"), str(ROOT / "tests")]

from hosts.host import Host
from hosts.hypervisors import image
from hosts.small_guest import DECLARED, DISK, provide
from traffic import DIRECTIONS, FIRST_PORT, PATHS, TRANSFERS

BED = "bench"
REPETITIONS = 2
ACCELERATORS = ("kvm", "tcg")
BRIDGES = dict(zip(PATHS, ("bench0", "bench1"), strict=True))
SUBNETS = dict(zip(PATHS, ("10.89.0", "10.89.1"), strict=True))
"""Each path has its bridge and its subnet, so that no packet takes the other one."""

PROGRAM = "/root/traffic.py"
PREPARE = "modprobe vhost_net\n" + "".join(
    f"ip link add {bridge} type bridge; ip address add {SUBNETS[path]}.1/24 dev {bridge}; ip link set {bridge} up\n"
    # An address that nobody has yet is given up after a moment, not after seconds.
    f"echo 100 > /proc/sys/net/ipv4/neigh/{bridge}/retrans_time_ms\n"
    for path, bridge in BRIDGES.items()
)

IN_GUEST = (
    DISK
    + """\
modprobe virtio_net
mount -t devtmpfs dev /disk/dev && mount -t tmpfs run /disk/run && mkdir /disk/run/sshd
"""
    + "".join(
        f"ip addr add {SUBNETS[path]}.2/24 dev eth{index}; ip link set eth{index} up\n"
        for index, path in enumerate(PATHS)
    )
    + """\
on_disk() { chroot /disk /usr/bin/env PATH=/usr/sbin:/usr/bin "$@"; }
on_disk ssh-keygen -q -t ed25519 -N '' -f /run/key
on_disk /usr/sbin/sshd -h /run/key
# Large blocks: a small one costs this guest about as much time.
get() { on_disk bash -c "cat < /dev/tcp/$1/$2 > /dev/null"; }
put() { on_disk bash -c "dd if=/dev/zero bs=256k > /dev/tcp/$1/$2"; }
"""
    + "".join(
        f"{('get', 'put')[DIRECTIONS.index(direction)]} {SUBNETS[path]}.1 {FIRST_PORT + index} 2> /dev/null\n"
        for index, (path, direction) in enumerate(TRANSFERS)
    )
    + "while :; do sleep 1000; done\n"
)
"""Script that shows the banner of SSH, then tries to connect to each port; on a host that listens at none, in vain."""


def declaration(accel: str, disk: str) -> dict[str, object]:
    """Return the declaration of the MicroVM that has an accelerator."""
    return {
        **DECLARED,
        "name": f"bench-{accel}",
        "state": "present",
        "accel": accel,
        "kernel_params": [*DECLARED["kernel_params"], "no_timer_check", "tsc=reliable", "nowatchdog"],
        "store_disk": disk,
        "interfaces": [{"bridge": bridge, "tap": {"vhost": path == "vhost-net"}} for path, bridge in BRIDGES.items()],
        # The guest does not hear that it is to power off.
        "stop_timeout": 2,
    }


def prepare(host: Host) -> None:
    """Bring the guest, our program and a MicroVM for each accelerator to a host."""
    provide(host, IN_GUEST)
    disk = f"{image.provide(host).path}/root.erofs"
    host.run(PREPARE)
    program = (ROOT / "bench" / "traffic.py").read_bytes()
    host.send("/root", {"traffic.py": program})
    for accel in ACCELERATORS:
        host.send("/root", {f"{accel}.json": json.dumps(declaration(accel, disk))})
        host.microvm(f"apply /root/{accel}.json")


def measure(host: Host, words: str) -> list[float]:
    """Return what our program prints; the MicroVM that it starts is stopped then."""
    output = host.run(f"python3 {PROGRAM} {words}", timeout=1800)
    host.stop_microvms()
    return [float(line) for line in output.split()]


def figures(seconds: Mapping[str, Sequence[float]], speeds: Sequence[float]) -> dict[str, float]:
    """Return the medians, those without KVM and those with vhost-net as ratios to the others."""
    with_kvm, emulated = (statistics.median(seconds[accel]) for accel in ACCELERATORS)
    medians = {
        "KVM: start to SSH banner, s": round(with_kvm, 1),
        "TCG: start to SSH banner, by KVM's": round(emulated / with_kvm, 2),
    }
    for direction in DIRECTIONS:
        plain, vhost = (
            statistics.median(speed for speed, kind in zip(speeds, TRANSFERS, strict=True) if kind == (path, direction))
            for path in PATHS
        )
        medians[f"plain tap: {direction}, MB/s"] = round(plain / 1e6, 2)
        medians[f"vhost-net: {direction}, by plain tap's"] = round(vhost / plain, 2)
    return medians


def devices() -> dict[str, float]:
    """Measure on a host of its own."""
    host = Host(BED, "vm")
    try:
        host.up()
        prepare(host)
        speeds = measure(host, "transfer microvm@bench-kvm")
        seconds: dict[str, list[float]] = {accel: [] for accel in ACCELERATORS}
        for _repetition in range(REPETITIONS):
            for accel in ACCELERATORS:
                seconds[accel] += measure(host, f"start microvm@bench-{accel} {SUBNETS[PATHS[0]]}.2")
        return figures(seconds, speeds)
    finally:
        host.down()


if __name__ == "__main__":
    for figure, value in devices().items():
        print(f"{figure:56} {value:>8}")
