# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds a guest image: a tree, then a read-only file system, a kernel and an initial RAM disk."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from typing import Any, Dict, Iterator, List, Optional

from ...declaration.images.parse import ImageDeclaration
from ...host import files
from ...host.commands import HostError, run, search_path
from . import guest_tree, initrd, store
from .digest import digest

BUILD_SECONDS = 1800

TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "cpio": "cpio",
    "depmod": "kmod",
    "unshare": "util-linux",
    "mkfs.erofs": "erofs-utils",
    "mksquashfs": "squashfs-tools",
}
"""Programs of a build, and the Debian packages that have them."""

TOOL_FILES = {"/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring"}
"""Files of a build; Ubuntu has them not by itself."""

UUID = "6d6963726f766d00-666c656574000000".replace("-", "")
"""Of every root disk: a random one would make every build another image."""


def missing_tools(declaration: ImageDeclaration) -> List[str]:
    """Debian packages that this host lacks for the build."""
    other = "mksquashfs" if declaration["store_disk_type"] == "erofs" else "mkfs.erofs"
    needed = {tool: package for tool, package in TOOLS.items() if tool != other}
    programs = {package for tool, package in needed.items() if shutil.which(tool, path=search_path()) is None}
    files_needed = {package for file, package in TOOL_FILES.items() if not os.path.exists(file)}
    return sorted(programs | files_needed)


def build(declaration: ImageDeclaration, directory: str, cache: Optional[str]) -> None:
    """Make the image in the store ``directory``. Raises HostError. What a killed build left is replaced."""
    check_build_host(declaration)
    os.makedirs(directory, exist_ok=True)
    name = digest(declaration)
    final, partial = os.path.join(directory, name), os.path.join(directory, f".partial-{name}")
    with _lock(directory, name):
        if store.read_manifest(final) is not None:
            return
        files.remove(final)
        files.remove(partial)
        _build(declaration, partial, cache)
        store.complete(os.path.join(partial, "image"), _manifest(declaration, partial), final)
        files.remove(partial)


def check_build_host(declaration: ImageDeclaration) -> None:
    """Raises HostError where this host cannot build the image."""
    missing = missing_tools(declaration)
    if missing:
        raise HostError(f"the build host lacks {', '.join(missing)}; install these Debian packages")
    if os.geteuid() != 0:
        raise HostError("a guest image is built by root; set `become: true` for the build host")


@contextlib.contextmanager
def _lock(directory: str, name: str) -> Iterator[None]:
    """Two builds of one image would tear each other's tree."""
    with open(os.path.join(directory, f".lock-{name}"), "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(declaration: ImageDeclaration, partial: str, cache: Optional[str]) -> None:
    tree, image = (os.path.join(partial, name) for name in ("tree", "image"))
    os.makedirs(image)
    if cache is not None:
        os.makedirs(cache, exist_ok=True)
    guest_tree.write_inputs(declaration, partial)
    _run(guest_tree.mmdebstrap_command(declaration, partial, cache))
    kernel, release = guest_tree.kernel_release(tree)
    shutil.copyfile(kernel, os.path.join(image, "kernel"))
    initrd.build(tree, release, _systemd_version(tree), os.path.join(partial, "initrd"), os.path.join(image, "initrd"))
    files.remove(os.path.join(tree, "boot"))
    os.makedirs(os.path.join(tree, "boot"))
    _run(_file_system_command(declaration["store_disk_type"], tree, image))


def _run(command: List[str]) -> None:
    """In namespaces that end with this process: a killed build leaves neither processes nor mounts."""
    isolation = "setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc"
    run([*isolation.split(), "--", *command], timeout=BUILD_SECONDS)


def _file_system_command(kind: str, tree: str, image: str) -> List[str]:
    target = os.path.join(image, f"root.{kind}")
    if kind == "erofs":
        uuid = "-".join((UUID[:8], UUID[8:12], UUID[12:16], UUID[16:20], UUID[20:]))
        return ["mkfs.erofs", "--quiet", "-zlz4hc", "-T0", f"-U{uuid}", target, tree]
    return ["mksquashfs", tree, target, "-quiet", "-no-progress", "-comp", "zstd", "-all-time", "0", "-mkfs-time", "0"]


def _systemd_version(tree: str) -> int:
    """Of the guest: ``257.8-1~deb13u1`` is 257."""
    text = run(["dpkg-query", f"--admindir={tree}/var/lib/dpkg", "--show", "--showformat=${Version}", "systemd"])
    return int("".join(character if character.isdigit() else " " for character in text).split()[0])


def _manifest(declaration: ImageDeclaration, partial: str) -> Dict[str, Any]:
    tree = os.path.join(partial, "tree")
    described = {key: declaration[key] for key in ("name", "suite", "architecture", "store_disk_type")}
    return {
        **described,
        "digest": digest(declaration),
        "kernel_version": max(os.listdir(os.path.join(tree, "lib/modules"))),
        "systemd_version": _systemd_version(tree),
        "files": store.sums(os.path.join(partial, "image")),
    }
