# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command that tries whether a host's KVM runs an ordinary kernel."""

from __future__ import annotations

from typing import Tuple

MACHINES = {
    "x86_64": ("microvm,accel=kvm,acpi=on,pic=off,pit=off,rtc=on", "earlyprintk=ttyS0 console=ttyS0"),
    "aarch64": ("virt,accel=kvm,gic-version=max", "earlycon console=ttyAMA0"),
}
"""Machine and console by architecture."""


def kvm_probe(architecture: str, kernel: str) -> Tuple[str, ...]:
    """Return the command that boots a kernel without a root disk, so that it prints its first lines and ends."""
    machine, console = MACHINES.get(architecture, MACHINES["x86_64"])
    return (
        *(f"qemu-system-{architecture}", "-M", machine, "-cpu", "host", "-m", "256M"),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-nographic", "-serial", "stdio", "-kernel", kernel),
        *("-append", f"{console} reboot=t panic=-1"),
    )
