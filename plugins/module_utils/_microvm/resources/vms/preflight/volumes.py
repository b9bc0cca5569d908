# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verify the images of volumes: those that are there can be used, those that are missing can be created."""

from __future__ import annotations

import errno
import os
import stat
from typing import Mapping, NamedTuple, Optional

from ....declaration.accounts import Account
from ....declaration.types import Volume
from ....declaration.vms.block_devices import is_block_device
from ....declaration.vms.devices import is_kernels
from ....host.permissions import is_permitted
from ....host.places import Places
from ....schema.errors import DeclarationError
from ..state import Observed
from .expected import Placed
from .owners import owner

_MEBIBYTE = 1 << 20

_SHARED_MEMORY = "/dev/shm/"


class _Image(NamedTuple):
    """The image of a volume: its key, its path on the host, and who uses it."""

    key: str
    path: str
    volume: Volume
    owner: Account
    follows: bool
    """True if the MicroVM gets another account, and its images with it."""


def check_volumes(placed: Placed, places: Places, observed: Mapping[str, Observed]) -> None:
    """Refuse images that cannot be used or created. Raises DeclarationError.

    ``observed`` are the host's MicroVMs by their names, or by those that they are about to get.
    """
    for path, declaration in placed:
        before = observed.get(declaration["name"])
        user = owner(declaration, before)
        for index, volume in enumerate(declaration["volumes"]):
            image = _path(declaration["name"], volume["image"], places, before)
            follows = before is not None and before.exists and before.group != user.group
            _check_image(_Image(f"{path}.volumes[{index}]", image, volume, user, follows))


def _path(name: str, image: str, places: Places, before: Optional[Observed]) -> str:
    """Return where an image is; one of a MicroVM that is about to be renamed has its former name."""
    path = places.work(name, image)
    return path if before is None or os.path.lexists(path) else places.work(before.name, image)


def _check_image(image: _Image) -> None:
    status = _status(image.path)
    if status is not None:
        _check_present(image, status)
    elif not image.volume["auto_create"]:
        raise DeclarationError(
            f"{image.key}.image", f"{image.path} does not exist on this host; correct the path or provide the image"
        )
    else:
        _check_directory(image)
    if image.volume["auto_create"]:
        _check_space(image)


def _status(path: str) -> Optional[os.stat_result]:
    try:
        return os.stat(path)
    except OSError:
        return None


def _check_present(image: _Image, status: os.stat_result) -> None:
    is_device = stat.S_ISBLK(status.st_mode)
    real = os.path.realpath(image.path)
    if not is_device and is_kernels(real) and not real.startswith(_SHARED_MEMORY):
        raise DeclarationError(
            f"{image.key}.image", f"{image.path} is no block device; correct the path, or attach the device first"
        )
    if not is_device and not stat.S_ISREG(status.st_mode):
        raise DeclarationError(
            f"{image.key}.image", f"{image.path} is neither a file nor a block device; name the image"
        )
    if is_device and not is_block_device(image.volume):
        raise DeclarationError(
            f"{image.key}.image",
            f"{image.path} leads to the block device {real}, which a MicroVM is given only by a path below /dev; "
            "name it below /dev",
        )
    is_writable = not image.volume["read_only"]
    if is_device and is_writable and _is_claimed(image.path):
        raise DeclarationError(
            f"{image.key}.image",
            f"the host itself uses {image.path}, or a part of it: as a mounted file system, swap, or part of a volume "
            "group or an array; end that first, or name another device",
        )
    mode = os.R_OK | (os.W_OK if is_writable else 0)
    if not is_device and not image.follows and not is_permitted(image.owner, image.path, mode):
        raise DeclarationError(
            f"{image.key}.image",
            f"the user {image.owner.user!r}, who runs the hypervisor, cannot {'write' if is_writable else 'read'} "
            f"{image.path}; give it the file (chown), or allow it by the modes of the file and of the directories "
            "above it (chmod, setfacl)",
        )


def _is_claimed(device: str) -> bool:
    """Return whether the kernel has a block device for itself alone (open(2), O_EXCL); hypervisors have not."""
    try:
        os.close(os.open(device, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _check_directory(image: _Image) -> None:
    """Refuse a directory in which the hypervisor's user cannot create an image; one that is missing is created."""
    directory = os.path.dirname(image.volume["image"])
    if not directory.startswith("/") or not os.path.isdir(directory):
        return
    if not is_permitted(image.owner, directory, os.W_OK | os.X_OK):
        raise DeclarationError(
            f"{image.key}.image",
            f"the user {image.owner.user!r}, which creates the image, cannot write to {directory}; "
            "use a directory that does not exist yet, or change its owner (chown)",
        )


def _check_space(image: _Image) -> None:
    """Refuse an image that is larger than its whole file system; a sparse one may well be larger than what is free."""
    directory = os.path.dirname(image.path)
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    status = os.statvfs(directory)
    total, size = status.f_frsize * status.f_blocks // _MEBIBYTE, image.volume["size"] or 0
    if size > total:
        raise DeclarationError(
            f"{image.key}.size",
            f"{size} MiB exceed the {total} MiB of the file system that {directory} is on; set a smaller size, or "
            "another image",
        )
