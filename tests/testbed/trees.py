# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Base root trees and the package repository that goes with each: made once by mmdebstrap, then only read."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import lock
from .commands import BedError, delete, run
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

SUITE_PACKAGES = {"trixie": ("virtiofsd",)}
"""Packages that only some suites have: Debian 12's virtiofsd is the former one of QEMU."""

PREPARE = Path(__file__).with_name("prepare-tree")


@dataclass(frozen=True)
class Tree:
    """A base tree of a Debian suite and its repository, named by a digest of all that determines them."""

    suite: str

    @property
    def directory(self) -> Path:
        """Path of the finished tree."""
        return CACHE / f"{self.suite}-{self.digest}"

    @property
    def host_packages(self) -> tuple[str, ...]:
        """Return the packages that hosts of this suite can install."""
        return (*HOST_PACKAGES, *SUITE_PACKAGES.get(self.suite, ()))

    @property
    def digest(self) -> str:
        """Sixteen hexadecimal digits."""
        inputs = [self.suite, BASE_PACKAGES, self.host_packages, PREPARE.read_text(encoding="utf-8")]
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]

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
    if not tree.directory.is_dir():
        with lock.exclusive(CACHE):
            remove_unfinished()
            if not tree.directory.is_dir():
                _build(tree)
    return tree


def remove_unfinished() -> None:
    """Delete what killed builds left. The caller holds the lock of the cache, so no build is at work."""
    for path in CACHE.glob("*.partial"):
        delete(path)


def clean() -> None:
    """Delete all trees; hosts that run on them must be gone."""
    if CACHE.is_dir():
        with lock.exclusive(CACHE):
            delete(CACHE)


def _build(tree: Tree) -> None:
    print(f"building the base tree of {tree.suite}: once, about half a minute and 60 MB to fetch", file=sys.stderr)
    with _aside(tree.directory) as partial:
        packages = partial / "packages"
        packages.mkdir(parents=True)
        _bootstrap(tree, partial / "root", packages, partial / "log")
        _index(packages)
        os.sync()


@contextmanager
def _aside(final: Path) -> Iterator[Path]:
    """A directory to work in, which becomes ``final`` if all goes well and nothing if not."""
    partial = final.with_name(final.name + ".partial")
    try:
        yield partial
        partial.rename(final)
    finally:
        delete(partial)


def _bootstrap(tree: Tree, root: Path, packages: Path, log: Path) -> None:
    """Run mmdebstrap, with the mirrors that it chooses."""
    hook = shlex.join([str(PREPARE), str(packages), *tree.host_packages]) + ' "$1"'
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(BASE_PACKAGES)}"]
    command += [f"--customize-hook={hook}", tree.suite, str(root)]
    with log.open("wb") as output:
        done = subprocess.run(
            [*_dies_with_us(), *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
        )
    if done.returncode != 0:
        end = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise BedError(f"mmdebstrap could not build {tree.suite}. Does the machine reach a Debian mirror?\n{end}")


def _dies_with_us() -> tuple[str, ...]:
    """A process and mount namespace that ends, with every process and mount in it, when this process does."""
    return ("setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")


def _index(packages: Path) -> None:
    """Make the directory ``packages`` a repository that apt can read."""
    (packages / "Packages").write_text(run("env", "-C", packages, "apt-ftparchive", "packages", "."), encoding="utf-8")
    (packages / "Release").write_text(run("env", "-C", packages, "apt-ftparchive", "release", "."), encoding="utf-8")
