# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds a guest image: a tree, then a read-only file system, a kernel and an initial RAM disk."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from typing import Callable, List, Optional, Tuple

from ...declaration.images.parse import ImageDeclaration
from ...host import files, user_namespace
from ...host.commands import HostError, run, search_path
from ...host.image_store import MANIFEST, ImageStore, Manifest, sums
from . import guest_tree
from .build_initrd import build_initrd
from .digest import digest
from .kernel_settings import switched_off

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
"""Files of a build, and the Debian packages that have them; Ubuntu does not install them by itself."""

UUID = "6d6963726f766d00-666c656574000000".replace("-", "")
"""Identifier of every root disk's file system: a random one would make every build another image."""


def image_files(store_disk_type: str) -> List[str]:
    """Return the names of the files of an image, by the file system of its root disk."""
    return ["kernel", "initrd", f"root.{store_disk_type}", MANIFEST]


def missing_tools(declaration: ImageDeclaration) -> List[str]:
    """Return the Debian packages that this host lacks for the build."""
    other = "mksquashfs" if declaration["store_disk_type"] == "erofs" else "mkfs.erofs"
    needed = {tool: package for tool, package in TOOLS.items() if tool != other}
    programs = {package for tool, package in needed.items() if shutil.which(tool, path=search_path()) is None}
    files_needed = {package for file, package in TOOL_FILES.items() if not os.path.exists(file)}
    return sorted(programs | files_needed)


def build(declaration: ImageDeclaration, store: ImageStore, cache: Optional[str]) -> None:
    """Make an image in a store, where it is as a whole or not at all. Raises HostError."""
    with store.making(digest(declaration)) as image:
        work = os.path.join(image, "work")
        os.mkdir(work)
        manifest = _build(declaration, image, work, cache)
        files.remove(work)
        with_sums = replace(manifest, files=sums(image))
        files.write_new(os.path.join(image, MANIFEST), with_sums.to_json().encode(), 0o644)


def check_build_host(declaration: ImageDeclaration) -> None:
    """Raise HostError where this host cannot build the image."""
    missing = missing_tools(declaration)
    if missing:
        raise HostError(f"the build host lacks {', '.join(missing)}; install these Debian packages")
    if os.geteuid() != 0:
        _check_namespace()


def _check_namespace() -> None:
    """Raise HostError where this user, who is not root, cannot build either."""
    lacking = user_namespace.missing()
    if not lacking:
        try:
            user_namespace.as_root_of_namespace(lambda: _run(["true"]))
            return
        except HostError as error:
            lacking = [f"user namespaces, in which file systems can be mounted ({error})"]
    raise HostError(
        f"this user of the build host is not root, and building a guest image without root needs {'; '.join(lacking)}; "
        "provide that, or build as root: for the controller, set microvm_image_build_become to true; for another build "
        "host, set ansible_become to true"
    )


def as_builder(work: Callable[[], None]) -> None:
    """Do what needs root: a user who is not root is that in a namespace. Raises HostError."""
    if os.geteuid() == 0:
        work()
    else:
        user_namespace.as_root_of_namespace(work)


def _build(declaration: ImageDeclaration, image: str, work: str, cache: Optional[str]) -> Manifest:
    """Make the files of an image in ``image``; returns the manifest, still without their sums."""
    tree = os.path.join(work, "tree")
    if cache is not None:
        os.makedirs(cache, exist_ok=True)
    _write_inputs(declaration, work)
    _run(guest_tree.mmdebstrap_command(declaration, work, cache))
    kernel, release = _kernel(tree)
    shutil.copyfile(kernel, os.path.join(image, "kernel"))
    manifest = replace(_manifest(declaration, tree), kernel_lacks=_kernel_lacks(tree, release))
    build_initrd(tree, release, manifest.systemd_version, os.path.join(work, "initrd"), os.path.join(image, "initrd"))
    files.remove(os.path.join(tree, "boot"))
    os.makedirs(os.path.join(tree, "boot"))
    _run(_file_system_command(declaration["store_disk_type"], tree, image))
    return manifest


def _write_inputs(declaration: ImageDeclaration, work: str) -> None:
    """Write what the command of mmdebstrap reads: the scripts, and the content of the declared files."""
    for name, script in guest_tree.scripts(declaration).items():
        files.write_new(os.path.join(work, name), script.encode(), 0o644)
    for index, file in enumerate(declaration["files"]):
        files.write_new(guest_tree.content_path(work, index), file["content"].encode(), 0o600)


def _kernel(tree: str) -> Tuple[str, str]:
    """Return the path of the tree's kernel, and its release (`uname -r`)."""
    prefix = "vmlinuz-"
    boot = os.path.join(tree, "boot")
    release = max(name[len(prefix) :] for name in os.listdir(boot) if name.startswith(prefix))
    return os.path.join(boot, prefix + release), release


def _kernel_lacks(tree: str, release: str) -> Optional[Tuple[str, ...]]:
    """Return what the kernel is built without; ``None`` where its package has no configuration."""
    configuration = files.read_text(os.path.join(tree, "boot", f"config-{release}"))
    return None if configuration is None else switched_off(configuration)


_UNLESS_ORPHANED = """\
[ "$PPID" = "$1" ] || exit 1
shift
exec "$@"
"""
"""Runs a command unless this process was killed before ``setpriv`` asked to be told of it."""


def _run(command: List[str]) -> None:
    """Run a command in namespaces that end with this process: a killed build leaves neither processes nor mounts."""
    ends_with_parent = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", _UNLESS_ORPHANED, "sh", str(os.getpid())]
    isolation = "unshare --mount --pid --fork --kill-child --mount-proc"
    run([*ends_with_parent, *isolation.split(), "--", *command], timeout=BUILD_SECONDS)


def _file_system_command(kind: str, tree: str, image: str) -> List[str]:
    target = os.path.join(image, f"root.{kind}")
    if kind == "erofs":
        uuid = "-".join((UUID[:8], UUID[8:12], UUID[12:16], UUID[16:20], UUID[20:]))
        return ["mkfs.erofs", "--quiet", "-zlz4hc", "-T0", f"-U{uuid}", target, tree]
    return ["mksquashfs", tree, target, "-quiet", "-no-progress", "-comp", "zstd", "-all-time", "0", "-mkfs-time", "0"]


def _systemd_version(tree: str) -> int:
    """Return the version of the guest's systemd: ``257.8-1~deb13u1`` is 257."""
    text = run(["dpkg-query", f"--admindir={tree}/var/lib/dpkg", "--show", "--showformat=${Version}", "systemd"])
    return int("".join(character if character.isdigit() else " " for character in text).split()[0])


def _manifest(declaration: ImageDeclaration, tree: str) -> Manifest:
    return Manifest(
        digest=digest(declaration),
        files={},
        name=declaration["name"],
        suite=declaration["suite"],
        architecture=declaration["architecture"],
        store_disk_type=declaration["store_disk_type"],
        kernel_version=max(os.listdir(os.path.join(tree, "lib/modules"))),
        systemd_version=_systemd_version(tree),
        uses_host_key=True,
        nix=declaration["nix"],
    )
