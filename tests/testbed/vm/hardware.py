# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""QEMU's command line: the machine that every host is.

A frozen machine thaws only in one that is equal but for its files, so one function makes both commands.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MEMORY = 4096
"""MiB: enough for two nested guests."""

MAC = "52:54:00:00:00:01"
"""Address of the network card on the bed's bridge, until the host gets one of its own."""

KERNEL_PARAMETERS = (
    *("console=ttyS0", "quiet", "loglevel=3", "root=/dev/vda", "rw", "intel_iommu=on"),
    # Each of these saves time that emulation makes long, or holds off a watchdog that emulation would wake.
    *("mitigations=off", "init_on_alloc=0", "audit=0", "apparmor=0", "selinux=0", "no_timer_check", "tsc=reliable"),
    *("nowatchdog", "rcupdate.rcu_expedited=1", "random.trust_cpu=on"),
)

BASICS = (
    *("-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35,kernel-irqchip=split"),
    # With several processors, nested guests die of triple faults at random moments, and their resets kill the kernel.
    *("-accel", "tcg,thread=single", "-cpu", "max", "-smp", "1", "-m", str(MEMORY)),
    *("-device", "intel-iommu,intremap=on,caching-mode=on", "-device", "virtio-rng-pci"),
    # Hosts that thaw from one state must not draw the same random numbers: its kernel notices another identifier.
    *("-device", "vmgenid,guid=auto"),
)

SPARE_DEVICES = (
    *(
        "pcie-root-port,id=port1,chassis=1,slot=1,addr=10.0,multifunction=on",
        "pcie-root-port,id=port2,chassis=2,slot=2,addr=10.1",
    ),
    *("pcie-root-port,id=port3,chassis=3,slot=3,addr=10.2", "pcie-root-port,id=port4,chassis=4,slot=4,addr=10.3"),
    *(
        "pcie-root-port,id=port5,chassis=5,slot=5,addr=10.4",
        "pcie-root-port,id=port6,chassis=6,slot=6,addr=10.5,disable-acs=on",
    ),
    "pcie-root-port,id=port7,chassis=7,slot=7,addr=10.6",
    # Each alone in its IOMMU group.
    "e1000e,netdev=spare1,bus=port1,mac=52:54:00:00:01:01,romfile=",
    "e1000e,netdev=spare2,bus=port2,mac=52:54:00:00:02:01,romfile=",
    "virtio-net-pci,netdev=spare3,bus=port3,mac=52:54:00:00:03:01,iommu_platform=on,disable-legacy=on,romfile=",
    # Two functions of one slot: one group.
    "virtio-net-pci,netdev=spare4,bus=port4,addr=0.0,multifunction=on,mac=52:54:00:00:04:01,iommu_platform=on,"
    "disable-legacy=on,romfile=",
    "qemu-xhci,bus=port4,addr=0.1",
    # SR-IOV: a group for each virtual function.
    "igb,netdev=spare5,bus=port5,mac=52:54:00:00:05:01,romfile=",
    # In one group with its port, as on boards without isolation.
    "e1000e,netdev=spare6,bus=port6,mac=52:54:00:00:06:01,romfile=",
    # A bridge and what is behind it: one group.
    "pcie-pci-bridge,id=bridge,bus=port7",
    "e1000,netdev=spare7,bus=bridge,addr=1,mac=52:54:00:00:07:01,romfile=",
    "e1000,netdev=spare8,bus=bridge,addr=2,mac=52:54:00:00:07:02,romfile=",
)
"""Devices that tests may pass on to guests, with the bridges that make their IOMMU groups."""

SPARE_NETWORKS = tuple(f"user,id=spare{number},restrict=on" for number in range(1, 9))
"""A network for each of the spare cards, with a gateway 10.0.2.2 that answers."""


def qemu(tree: Path) -> list[str]:
    """Return the beginning of a command that runs QEMU of a root tree, with its own loader and libraries.

    The tree is not entered, so all paths in the options are those of the machine.
    """
    loader = [f"{tree}/lib64/ld-linux-x86-64.so.2", "--library-path", f"{tree}/usr/lib/x86_64-linux-gnu"]
    data = [word for name in ("qemu", "seabios") for word in ("-L", f"{tree}/usr/share/{name}")]
    return [*loader, f"{tree}/usr/bin/qemu-system-x86_64", *data]


def monitor_socket(directory: Path) -> Path:
    """Return the socket of the monitor of a machine with its files in ``directory``."""
    return directory / "monitor"


@dataclass(frozen=True)
class Machine:
    """Files and names of one running machine."""

    tree: Path
    disk: Path
    directory: Path
    console: Path
    tap: str

    @property
    def monitor(self) -> Path:
        """Socket of QEMU's monitor."""
        return monitor_socket(self.directory)

    @property
    def line(self) -> Path:
        """Socket of the serial line on which the host awaits scripts."""
        return self.directory / "line"

    def command(self, *, is_frozen: bool) -> list[str]:
        """Return the command of a machine that boots, or of one that thaws, whose writes to the disk end with it."""
        snapshot = "on" if is_frozen else "off"
        words = [*qemu(self.tree), *BASICS]
        words += ["-kernel", f"{self.tree}/vmlinuz", "-initrd", f"{self.tree}/initrd.img"]
        words += ["-append", " ".join(KERNEL_PARAMETERS)]
        words += ["-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console"]
        words += ["-serial", f"unix:{self.line},server=on,wait=off", "-qmp", f"unix:{self.monitor},server=on,wait=off"]
        words += ["-drive", f"if=none,id=disk,file={self.disk},format=raw,cache=unsafe,snapshot={snapshot}"]
        words += ["-device", "virtio-blk-pci,drive=disk"]
        words += ["-netdev", f"tap,id=bed,ifname={self.tap},script=no,downscript=no"]
        words += ["-device", f"virtio-net-pci,netdev=bed,mac={MAC},romfile="]
        words += [word for network in SPARE_NETWORKS for word in ("-netdev", network)]
        words += [word for device in SPARE_DEVICES for word in ("-device", device)]
        return [*words, *(("-incoming", "defer") if is_frozen else ())]
