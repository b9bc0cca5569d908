# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Base root trees and the package repository that goes with each: made once by mmdebstrap, then only read."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from . import cache, debian
from .commands import BedError, run
from .paths import CACHE

SUITES = ("trixie", "bookworm")

BASE_PACKAGES = (
    "dbus",
    "iproute2",
    "kmod",
    "libpam-systemd",
    "openssh-server",
    "procps",
    "python3",
    "systemd",
    "systemd-sysv",
    "udev",
)
"""Packages of a plain Debian server before Ansible runs, without any that a role should install."""

HOST_PACKAGES = (
    "btrfs-progs",
    "cpio",
    "curl",
    "dnsmasq-base",
    "dosfstools",
    "e2fsprogs",
    "erofs-utils",
    "expect",
    "iproute2",
    "kmod",
    "nftables",
    "python3-apt",
    "python3-pyroute2",
    "qemu-system-x86",
    "rsync",
    "socat",
    "squashfs-tools",
    "strace",
    "sudo",
    "xfsprogs",
)
"""Packages that hosts can install: those that the roles install, and ``strace``, ``curl`` and ``sudo`` for tests."""

NIX_PACKAGES = ("git", "nix-bin", "nix-setup-systemd")
"""Nix, its daemon and a program that it calls, which only containers can install: no virtual machine needs them."""

SUITE_PACKAGES = {"trixie": ("virtiofsd",)}
"""Packages that only some suites have: Debian 12's virtiofsd is the former one of QEMU."""

PREPARE = Path(__file__).with_name("prepare-tree")


@dataclass(frozen=True)
class Tree:
    """A base tree of a Debian suite and its repository, named by a digest of all that determines them."""

    suite: str

    @property
    def name(self) -> str:
        """Name of its directory."""
        return f"{self.suite}-{self.digest}"

    @property
    def directory(self) -> Path:
        """Path of the finished tree."""
        return CACHE / self.name

    @property
    def host_packages(self) -> tuple[str, ...]:
        """Return the packages that hosts of this suite can install."""
        return (*HOST_PACKAGES, *NIX_PACKAGES, *SUITE_PACKAGES.get(self.suite, ()))

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits."""
        return cache.digest([self.suite, BASE_PACKAGES, self.host_packages, PREPARE.read_text(encoding="utf-8")])

    @property
    def root(self) -> Path:
        """The root directory of every host, below its own changes."""
        return self.directory / "root"

    @property
    def packages(self) -> Path:
        """The repository: package files and their index, in one directory."""
        return self.directory / "packages"


def ensure(suite: str) -> Tree:
    """The tree of ``suite``, built first if no run did it before. Raises BedError with the log's end on failure."""
    if suite not in SUITES:
        raise BedError(f"suite {suite!r} is unknown: choose one of {', '.join(SUITES)}")
    tree = Tree(suite)
    cache.ensure(tree.name, lambda directory: _build(tree, directory))
    return tree


def _build(tree: Tree, directory: Path) -> None:
    print(f"building the base tree of {tree.suite}: once, about half a minute and 60 MB to fetch", file=sys.stderr)
    packages = directory / "packages"
    packages.mkdir()
    hook = shlex.join([str(PREPARE), str(packages), *tree.host_packages]) + ' "$1"'
    options = [f"--customize-hook={hook}"]
    debian.bootstrap(tree.suite, directory / "root", BASE_PACKAGES, options, directory / "log")
    _index(packages)
    os.sync()


def _index(packages: Path) -> None:
    """Make the directory ``packages`` a repository that apt can read."""
    (packages / "Packages").write_text(run("env", "-C", packages, "apt-ftparchive", "packages", "."), encoding="utf-8")
    (packages / "Release").write_text(run("env", "-C", packages, "apt-ftparchive", "release", "."), encoding="utf-8")
