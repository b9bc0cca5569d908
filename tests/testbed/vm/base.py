# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Base of virtual machines: a root tree, a disk made of it, and the state of a machine that has booted from that."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from .. import cache, debian
from ..commands import BedError, run
from ..paths import CACHE, Host
from ..trees import BASE_PACKAGES, HOST_PACKAGES, SUITE_PACKAGES
from . import running
from .hardware import MEMORY, Machine

HERE = Path(__file__).parent
PREPARE = HERE / "prepare-image"
HOST_LINE = HERE / "host-line"
START = HERE / "start-machine"
SUITE = "trixie"
"""The only suite: its QEMU runs these machines, also on a machine whose own is older and lacks a device."""

MACHINE_PACKAGES = (
    "acl",
    "busybox-static",
    "ethtool",
    "initramfs-tools",
    "linux-image-amd64",
    "netcat-openbsd",
    "openssh-client",
    "pciutils",
    "qemu-utils",
    "seabios",
    "systemd-container",
    "zstd",
)
"""Packages beside those that containers begin with or can install: a kernel, more of the roles', and tools of tests."""

DISK_GIBIBYTES = 20
"""Size of the disk, most of which is a hole."""

DRIVERS = "virtio_blk\nvirtio_pci\next4\n"
"""Modules of the initial RAM disk."""

SETTLE = """\
systemctl is-system-running --wait || { systemctl --failed --plain --no-legend; exit 1; }
sync
echo 3 > /proc/sys/vm/drop_caches
"""
"""Script after which a machine is frozen."""


@dataclass(frozen=True)
class VmBase:
    """Base in a directory, which a digest of all that determines it names."""

    directory: Path

    @property
    def name(self) -> str:
        """See Base.name."""
        return self.directory.name

    @property
    def tree(self) -> Path:
        """Root tree of the hosts; its QEMU runs them."""
        return self.directory / "root"

    @property
    def disk(self) -> Path:
        """Disk as it was when the machine was frozen."""
        return self.directory / "disk"

    @property
    def state(self) -> Path:
        """State of the frozen machine."""
        return self.directory / "state"

    def files(self, host: Host) -> dict[str, str]:
        """See Base.files; the card keeps its address of the frozen machine until networkd gives it the host's own."""
        return {"etc/systemd/network/10-host0.network.d/mac.conf": f"[Link]\nMACAddress={mac(host)}\n"}

    def command(self, host: Host) -> list[str | Path]:
        """See Base.command."""
        return [START, host.bed.name, str(host.number), self.directory]


def mac(host: Host) -> str:
    """Return the address of a host's card on the bed's bridge."""
    return f"52:54:00:01:00:{host.number:02x}"


def packages() -> tuple[str, ...]:
    """Return the packages of every host: all that roles would install, so that a run need not."""
    return tuple(sorted({*BASE_PACKAGES, *HOST_PACKAGES, *SUITE_PACKAGES[SUITE], *MACHINE_PACKAGES}))


def digest() -> str:
    """Return a digest of all that determines a base."""
    machine = Machine(Path("tree"), Path("disk"), Path("directory"), Path("console"), "tap")
    scripts = [path.read_text(encoding="utf-8") for path in (PREPARE, HOST_LINE)]
    return cache.digest([packages(), DISK_GIBIBYTES, DRIVERS, SETTLE, machine.command(is_frozen=False), scripts])


def check(suite: str, hosts: int = 1) -> None:
    """Raise BedError if the machine cannot run so many virtual machines of ``suite``."""
    if suite != SUITE:
        raise BedError(f"virtual machines run {SUITE}; {suite} is there as --kind container")
    if platform.machine() != "x86_64":
        raise BedError(f"virtual machines need a machine of x86-64, this is {platform.machine()}")
    if not Path("/dev/net/tun").exists():
        raise BedError("virtual machines need /dev/net/tun, which this machine lacks: modprobe tun")
    # QEMU itself has less than 512 MiB.
    needed, available = hosts * (MEMORY + 512), _available_mebibytes()
    if available < needed:
        raise BedError(f"{hosts} virtual machines need {needed} MiB of memory, and {available} MiB are available")


def _available_mebibytes() -> int:
    """Return the memory that new processes can have (MemAvailable of proc_meminfo(5))."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) // 1024


def ensure(suite: str) -> VmBase:
    """Return the base, built first if no run did it before. Raises BedError with the log's end on failure."""
    check(suite)
    name = f"vm-{suite}-{digest()}"
    cache.ensure(name, _build)
    return VmBase(CACHE / name)


def _build(directory: Path) -> None:
    print("building the virtual machine: once, about two minutes and 250 MB to fetch", file=sys.stderr)
    base = VmBase(directory)
    _make_tree(base)
    _make_disk(base)
    _freeze(base)
    os.sync()


def _make_tree(base: VmBase) -> None:
    policy = 'mkdir -p "$1"/etc/initramfs-tools/conf.d && echo MODULES=list > "$1"/etc/initramfs-tools/conf.d/testbed'
    modules = f'printf %s {shlex.quote(DRIVERS)} > "$1"/etc/initramfs-tools/modules'
    options = [
        "--architectures=amd64",
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")),
        f"--essential-hook={policy} && {modules}",
        f'--customize-hook={shlex.join([str(PREPARE), str(HOST_LINE)])} "$1"',
    ]
    debian.bootstrap(SUITE, base.tree, packages(), options, base.directory / "log")


def _make_disk(base: VmBase) -> None:
    with base.disk.open("wb") as file:
        file.truncate(DISK_GIBIBYTES << 30)
    # No journal: no host outlives a crash.
    features = ("-O", "^has_journal", "-E", "lazy_itable_init=0,nodiscard", "-m", "0")
    run("mkfs.ext4", "-q", "-L", "root", *features, "-d", base.tree, base.disk)


def _freeze(base: VmBase) -> None:
    """Boot the machine from its disk, in a network namespace of its own, and freeze it when all has started."""
    machine = Machine(base.tree, base.disk, base.directory, base.directory / "console", "host")
    prefix = (*debian.dies_with_us(), "unshare", "--net")
    with running.started(machine, None, prefix) as (process, line):
        line.wait_until_ready()
        line.run(SETTLE)
        with running.monitored(machine.monitor, process) as monitor:
            monitor.freeze(base.state)
            monitor.execute("quit")
        process.wait()
    for socket in (machine.monitor, machine.line):
        socket.unlink(missing_ok=True)
