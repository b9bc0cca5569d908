# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The initial RAM disk: busybox, the modules that lead to the root disk, and a script."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
from typing import Dict, List, Sequence

from ...host.commands import HostError, run
from .scripts import sources

MODULES = (
    "virtio_mmio",
    "virtio_pci",
    "virtio_blk",
    "qemu_fw_cfg",
    "button",
    "gpio_keys",
    "evdev",
    "virtio_net",
    "overlay",
    "erofs",
    "squashfs",
    "ext4",
    "crc32c_generic",
)
"""What must be loaded before there is a root; those that a kernel has built in are left out."""

APPLETS = ("cat", "echo", "mkdir", "modprobe", "mount", "sh", "sleep", "switch_root", "umount")

INIT = f"#!/bin/sh{sources.INIT}"
"""The guest's first program, by busybox."""


def build(tree: str, release: str, systemd_version: int, work: str, output: str) -> None:
    """Write the initial RAM disk for a guest's tree and its kernel. ``work`` is a directory to make it in."""
    for directory in ("bin", "dev", "lower", "proc", "root", "sys", "upper"):
        os.makedirs(os.path.join(work, directory))
    shutil.copy(os.path.join(tree, "bin/busybox"), os.path.join(work, "bin/busybox"))
    for applet in APPLETS:
        os.symlink("busybox", os.path.join(work, "bin", applet))
    _write(os.path.join(work, "init"), INIT, 0o755)
    _write(os.path.join(work, "systemd-version"), f"{systemd_version}\n", 0o644)
    _copy_modules(tree, release, work)
    _pack(work, output)


def closure(dependencies: Dict[str, List[str]], wanted: Sequence[str]) -> List[str]:
    """Paths of modules and all that they need, sorted. ``dependencies`` is a parsed modules.dep."""
    by_name = {module_name(path): path for path in dependencies}
    found: List[str] = []
    for name in wanted:
        path = by_name.get(name)
        if path is not None:
            found += [path, *dependencies[path]]
    return sorted(set(found))


def parse_dependencies(text: str) -> Dict[str, List[str]]:
    """modules.dep(5): ``path: path path …``."""
    pairs = (line.partition(":")[::2] for line in text.splitlines() if ":" in line)
    return {path: needed.split() for path, needed in pairs}


def module_name(path: str) -> str:
    """As modprobe says it: ``kernel/fs/9p/9p.ko.xz`` is ``9p``; a dash and an underscore are the same."""
    return re.sub(r"\.ko(\.\w+)?$", "", os.path.basename(path)).replace("-", "_")


def _copy_modules(tree: str, release: str, work: str) -> None:
    source = os.path.join(tree, "lib/modules", release)
    target = os.path.join(work, "lib/modules", release)
    with open(os.path.join(source, "modules.dep"), encoding="utf-8") as file:
        dependencies = parse_dependencies(file.read())
    for path in closure(dependencies, MODULES):
        # busybox cannot read compressed modules.
        plain = re.sub(r"\.(xz|zst|gz)$", "", path)
        os.makedirs(os.path.dirname(os.path.join(target, plain)), exist_ok=True)
        with open(os.path.join(target, plain), "wb") as module:
            module.write(_decompress(os.path.join(source, path)))
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        if os.path.exists(os.path.join(source, name)):
            shutil.copy(os.path.join(source, name), os.path.join(target, name))
    run(["depmod", "--basedir", work, release])


def _decompress(path: str) -> bytes:
    with open(path, "rb") as file:
        content = file.read()
    if path.endswith(".xz"):
        return lzma.decompress(content)
    if path.endswith(".ko"):
        return content
    raise HostError(f"{path} is compressed in a way that is not known here")


def _pack(work: str, output: str) -> None:
    """A newc archive of everything below ``work``, the same bytes for the same content."""
    names = ["."]
    for directory, directories, files in os.walk(work):
        for name in directories + files:
            path = os.path.join(directory, name)
            os.utime(path, (0, 0), follow_symlinks=False)
            names.append(os.path.relpath(path, work))
    os.utime(work, (0, 0))
    command = ["cpio", "--quiet", "--create", "--format=newc", "--null", "--reproducible", "--owner=0:0"]
    with open(output, "wb") as archive:
        subprocess.run(
            command,
            input="\0".join(sorted(names)).encode(),
            stdout=archive,
            cwd=work,
            check=True,
            stderr=subprocess.PIPE,
        )


def _write(path: str, text: str, mode: int) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
