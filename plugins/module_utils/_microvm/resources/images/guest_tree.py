# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guest's root tree: Debian by mmdebstrap, made fit for a small machine. Pure; ``build.py`` makes it."""

from __future__ import annotations

import os.path
import shlex
from typing import Dict, List, Optional

from ...declaration.images.parse import ImageDeclaration
from ...declaration.names import GUEST_PORT
from ...declaration.types import ImageFile
from .scripts import sources

BASE_PACKAGES = (
    "busybox-static",
    "dbus",
    "e2fsprogs",
    "iproute2",
    "kmod",
    "libpam-systemd",
    "openssh-server",
    "systemd",
    "systemd-resolved",
    "systemd-sysv",
    "udev",
)

NEEDLESS_DRIVERS = (
    *("drivers/accel", "drivers/bluetooth", "drivers/comedi", "drivers/gpu", "drivers/hwmon", "drivers/iio"),
    *("drivers/infiniband", "drivers/isdn", "drivers/leds", "drivers/media", "drivers/mtd", "drivers/net/wireless"),
    *("drivers/platform", "drivers/staging", "drivers/usb/gadget", "drivers/usb/serial", "drivers/video"),
    *("net/bluetooth", "net/mac80211", "net/wireless", "sound"),
)
"""Parts of the kernel's module tree for hardware that no MicroVM has."""

# A build host may be too small or too slow for full syncs; nothing is kept of a build that is cut off.
DPKG_OPTIONS = (
    "force-unsafe-io",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
)

SCRIPTS = {
    "setup": sources.SETUP,
    "put-file": sources.PUT_FILE,
    "clean-up": sources.CLEAN_UP,
    "answer-host": f"#!/bin/sh{sources.ANSWER_HOST}",
    "provide-host-key": f"#!/bin/sh{sources.PROVIDE_HOST_KEY}",
}
"""The hooks of a build, by the name of the file that they are run from, and what ``setup`` puts into the tree."""

NIX_SCRIPTS = {
    "setup-nix": sources.SETUP_NIX,
    "mount-nix-store": f"#!/bin/sh{sources.MOUNT_NIX_STORE}",
}
"""What images with Nix have besides."""

NIX_PACKAGES = ("nix-bin", "nix-setup-systemd")
"""Nix, and its daemon and users."""


def scripts(declaration: ImageDeclaration) -> Dict[str, str]:
    """Return the scripts of an image's build by name."""
    return {**SCRIPTS, **NIX_SCRIPTS} if declaration["nix"] else SCRIPTS


def mmdebstrap_command(declaration: ImageDeclaration, work: str, cache: Optional[str]) -> List[str]:
    """Return the command that makes ``work``/tree. ``work`` has the scripts and the content of the declared files."""
    packages = [*BASE_PACKAGES, *(NIX_PACKAGES if declaration["nix"] else ()), *declaration["packages"]]
    command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", "--include=" + ",".join(packages)]
    command += [f"--architectures={declaration['architecture']}", "--format=directory"]
    command += [f"--dpkgopt={option}" for option in DPKG_OPTIONS]
    if cache is not None:
        archives = "/var/cache/apt/archives"
        command += [f'--setup-hook=mkdir -p "$1{archives}"', f"--setup-hook=sync-in {shlex.quote(cache)} {archives}"]
        command += ["--skip=essential/unlink,cleanup/apt"]
    command += [f"--customize-hook={hook}" for hook in _hooks(declaration, work)]
    if cache is not None:
        command += [f"--customize-hook=sync-out {archives} {shlex.quote(cache)}"]
    command += ["--customize-hook=" + _script(work, "clean-up")]
    return [*command, declaration["suite"], os.path.join(work, "tree"), *declaration["mirrors"]]


def _hooks(declaration: ImageDeclaration, work: str) -> List[str]:
    excludes = [f"--exclude=*/modules/*/kernel/{path}" for path in NEEDLESS_DRIVERS]
    return [
        _script(work, "setup", declaration["kernel_package"], str(GUEST_PORT), *excludes),
        *([_script(work, "setup-nix")] if declaration["nix"] else []),
        *(_put_file(work, index, file) for index, file in enumerate(declaration["files"])),
        *(f'chroot "$1" sh -c {shlex.quote(command)}' for command in declaration["commands"]),
    ]


def _script(work: str, name: str, *arguments: str) -> str:
    """Return the hook that runs a script; mmdebstrap gives the tree's path as ``$1``."""
    return " ".join(["sh", shlex.quote(os.path.join(work, name)), '"$1"', *map(shlex.quote, arguments)])


def _put_file(work: str, index: int, file: ImageFile) -> str:
    return f"{_script(work, 'put-file', file['path'], file['mode'])} < {shlex.quote(content_path(work, index))}"


def content_path(work: str, index: int) -> str:
    """Path of the content of one of the declared files, which the command reads."""
    return os.path.join(work, f"file-{index}")
