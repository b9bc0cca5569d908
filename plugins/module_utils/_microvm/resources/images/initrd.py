# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The initial RAM disk: busybox, the modules that lead to the root disk, and a script.

Pure; ``build_initrd.py`` makes the file.
"""

from __future__ import annotations

import os.path
import re
from typing import Dict, List, Sequence

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
    "vmw_vsock_virtio_transport",
    "overlay",
    "erofs",
    "squashfs",
    "ext4",
    "crc32c_generic",
)
"""Modules that must be loaded before there is a root; those that a kernel has built in are left out."""

APPLETS = ("cat", "echo", "mkdir", "modprobe", "mount", "sh", "sleep", "switch_root", "umount")

INIT = f"#!/bin/sh{sources.INIT}"
"""The guest's first program, by busybox."""


def closure(dependencies: Dict[str, List[str]], wanted: Sequence[str]) -> List[str]:
    """Paths of modules and all that they need, sorted. ``dependencies`` is a parsed modules.dep."""
    by_name = {module_name(path): path for path in dependencies}
    modules: List[str] = []
    for name in wanted:
        path = by_name.get(name)
        if path is not None:
            modules += [path, *dependencies[path]]
    return sorted(set(modules))


def parse_dependencies(text: str) -> Dict[str, List[str]]:
    """modules.dep(5): ``path: path path …``."""
    pairs = (line.partition(":")[::2] for line in text.splitlines() if ":" in line)
    return {path: needed.split() for path, needed in pairs}


def module_name(path: str) -> str:
    """Return a module's name as modprobe says it: ``kernel/fs/9p/9p.ko.xz`` is ``9p``, and a dash an underscore."""
    return re.sub(r"\.ko(\.\w+)?$", "", os.path.basename(path)).replace("-", "_")
