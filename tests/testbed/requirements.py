# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requirements of the machine that hosts run on, and the packages that provide them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from .commands import BedError

PACKAGE_OF_PROGRAM = {
    "apt-ftparchive": "apt-utils",
    "apt-get": "apt",
    "ip": "iproute2",
    "mkfs.ext4": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "socat": "socat",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "umount": "mount",
    "unshare": "util-linux",
    "unxz": "xz-utils",
}
PACKAGE_OF_FILE = {"/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring"}
KERNEL_MODULES = ("overlay", "bridge", "veth", "tun", "kvm", "nf_tables")


def missing_packages() -> list[str]:
    """Names of the Debian packages that must be installed first, sorted."""
    programs = {package for program, package in PACKAGE_OF_PROGRAM.items() if shutil.which(program) is None}
    files = {package for file, package in PACKAGE_OF_FILE.items() if not Path(file).exists()}
    return sorted(programs | files)


def check() -> None:
    """Raise BedError, with what to do, if the machine can't run hosts."""
    if os.geteuid() != 0:
        raise BedError("needs root: it makes namespaces, mounts and containers; run it with sudo")
    packages = missing_packages()
    if packages:
        raise BedError(f"programs are missing; install them: apt-get install {' '.join(packages)}")
    load_modules()
    if "\toverlay\n" not in Path("/proc/filesystems").read_text(encoding="ascii"):
        raise BedError("this kernel has no overlay file system, which the hosts' root trees need")


def load_modules() -> None:
    """Ask for the kernel modules that containers can't load; a kernel that has them built in needs none."""
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "--all", "--quiet", *KERNEL_MODULES], capture_output=True, check=False)
