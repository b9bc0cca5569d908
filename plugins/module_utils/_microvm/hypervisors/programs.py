# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs of hypervisors, which users may have put elsewhere, and programs that several hypervisors need."""

from __future__ import annotations

from typing import Iterable, List, Mapping, Optional

from .profiles import PROFILES

SOCAT = "socat"
"""Program that connects two streams, one of which may be a terminal."""

VIRTIOFSD = "virtiofsd"
"""Daemon that serves virtiofs shares."""

WHOLE_VIRTIOFSD, FORMER_VIRTIOFSD = (1, 13), (5,)
"""Versions of it: the first with all options, among them those that translate identities; and those of the former
daemon, which has other options and the versions of QEMU."""

DEBIAN_PACKAGES: Mapping[str, str] = {
    "cpio": "cpio",
    "machinectl": "systemd-container",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.ext2": "e2fsprogs",
    "mkfs.ext3": "e2fsprogs",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mkfs.xfs": "xfsprogs",
    "nc": "netcat-openbsd",
    "setfacl": "acl",
    SOCAT: "socat",
    VIRTIOFSD: "virtiofsd",
    **{program: name for profile in PROFILES.values() for program, name in profile.packages.items()},
}
"""Debian packages by the programs in them that runner packages execute."""

_MISSING = {VIRTIOFSD: ("bullseye", "bookworm", "focal", "jammy")}
"""Releases that do not have a package, or only a program of that name with other options."""


def debian_packages(programs: Iterable[str], release: str) -> List[str]:
    """Return the Debian packages of programs in a release, sorted; programs elsewhere have none."""
    names = {DEBIAN_PACKAGES[program] for program in programs if program in DEBIAN_PACKAGES}
    return sorted(name for name in names if release not in _MISSING.get(name, ()))


def program_path(package: Optional[str], name: str) -> str:
    """Return the program for the option ``package``, which is a directory, a program's path or its name."""
    if package is None:
        return name
    package = package.rstrip("/")
    is_program = not package.startswith("/") or package.split("/")[-2] in ("bin", "sbin", "libexec")
    return package if is_program else f"{package}/bin/{name}"
