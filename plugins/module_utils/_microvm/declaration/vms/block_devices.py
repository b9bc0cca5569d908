# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Block devices of the host as volumes: logical volumes, zvols, disks, which nobody creates, grows or removes here."""

from __future__ import annotations

import re
from typing import List

from ...schema.errors import DeclarationError
from ..types import PackagedVm, Volume
from .disks import spelt_once

IF_BLANK = "if_blank"

_MEMORY = ("/dev/shm/", "/dev/mqueue/", "/dev/hugepages/")
"""File systems in memory, whose entries are no devices."""

_PLAIN = re.compile(r"/dev(/[A-Za-z0-9_.:@+,~-]+)+")
"""Paths that a unit can name without quotes."""

_BY_CONTENT = tuple(f"/dev/disk/by-{kind}/" for kind in ("label", "uuid", "partlabel", "partuuid", "designator"))
_BY_CONTENT += ("/dev/disk/by-id/lvm-pv-uuid-",)
"""Beginnings of links that udev makes of what disks contain, so that whoever writes to one disk names another."""


def is_block_device(volume: Volume) -> bool:
    """Return whether a volume is a device of the host."""
    path = spelt_once(volume["image"]) if volume["image"].startswith("/") else ""
    return path.startswith("/dev/") and not path.startswith(_MEMORY)


def block_devices(declaration: PackagedVm) -> List[Volume]:
    """Return the volumes of a MicroVM that are devices of the host."""
    return [volume for volume in declaration["volumes"] if is_block_device(volume)]


def access(volume: Volume) -> str:
    """Return what the hypervisor may do with a device, as ``DeviceAllow=`` and setfacl(1) write it."""
    return "r" if volume["read_only"] else "rw"


def is_formatted(volume: Volume) -> bool:
    """Return whether a device gets a file system if it has nothing."""
    return volume["format"] == IF_BLANK


def complete_block_device(volume: Volume, path: str) -> None:
    """Spell a device once; refuse what cannot be done with it. Raises DeclarationError."""
    if not is_block_device(volume):
        if is_formatted(volume):
            raise DeclarationError(f"{path}.format", "is for devices below /dev; images are formatted by `auto_create`")
        return
    volume["image"] = spelt_once(volume["image"])
    if not _PLAIN.fullmatch(volume["image"]):
        raise DeclarationError(
            f"{path}.image",
            f"{volume['image']!r} has characters that a unit cannot name in the path of a device; use another of its "
            "links below /dev, with letters, digits and any of '_.:@+,~-'",
        )
    if volume["image"].startswith(_BY_CONTENT):
        raise DeclarationError(
            f"{path}.image",
            f"{volume['image']!r} follows the contents of disks, and a guest that writes to another device can make it "
            "lead there; use a link below /dev/disk/by-id or /dev/disk/by-path, or /dev/VG/LV",
        )
    if volume["image_type"] != "raw":
        raise DeclarationError(f"{path}.image_type", "must be raw for a device of the host; remove this option")
    if is_formatted(volume) and volume["read_only"]:
        raise DeclarationError(f"{path}.format", "a read-only device cannot be formatted; remove one of the options")
