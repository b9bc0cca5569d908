# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's store of Nix in a guest of an image: which share it is, what is written over it, what is registered."""

from __future__ import annotations

import hashlib
import re
from typing import Callable, Optional, Sequence, Tuple, Union

from ...schema.errors import DeclarationError
from ...schema.quoting import one_per_line
from ..names import GARBAGE_ROOTS, NIX_STORE
from ..types import HostImage, PackagedVm, Share, Vm, Volume
from .disks import spelt_once

CLOSURE_PREFIX = "closure-"
"""Begins the names of links to registrations, among those that keep packages."""

_EXAMPLE = "{tag: ro-store, source: /nix/store, mount_point: /nix/.ro-store}"

_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._/-]*")
"""Paths that the options of an overlay can have as they are."""

_UPPER_FILE_SYSTEMS = ("ext2", "ext3", "ext4", "xfs", "btrfs")
"""File systems that Linux' overlay writes to, of those that volumes can be created with."""


def store_share(declaration: PackagedVm) -> Optional[Tuple[int, Share]]:
    """Return the share with the host's store that a guest of an image makes its own of, and its position."""
    if declaration["image"] is None or not declaration["guest"]["enable"]:
        return None
    shares = enumerate(declaration["shares"])
    return next(((index, share) for index, share in shares if _is_store(share) and share["mount_point"]), None)


def store_settings(declaration: PackagedVm) -> str:
    """Return what the guest's part reads, by which it makes its store; nothing where it has no share of the host's."""
    mounted = store_share(declaration)
    if mounted is None:
        return ""
    lines = [f"lower {mounted[1]['mount_point']}"]
    if declaration["writable_store_overlay"]:
        lines.append(f"writable {declaration['writable_store_overlay']}")
    return one_per_line(lines)


def is_registered(declaration: PackagedVm) -> bool:
    """Return whether the guest's Nix database is loaded with paths of the host."""
    return bool(declaration["store_paths"]) and declaration["register_closure"] is not False


def closure_link(name: str, store_paths: Sequence[str]) -> str:
    """Path of the link that keeps the closure of store paths for a MicroVM; the registration is beside it."""
    return f"{GARBAGE_ROOTS}/{name}/{closure_name(store_paths)}"


def closure_name(store_paths: Sequence[str]) -> str:
    """Return the name of that link."""
    return CLOSURE_PREFIX + hashlib.sha256("\n".join(sorted(set(store_paths))).encode()).hexdigest()[:32]


def registration_file(link: str) -> str:
    """Path of the file with the path of the registration, which the unit passes on to its guest."""
    return f"{link}.registration"


def complete_store(declaration: Vm, images: Sequence[HostImage], prefix: str) -> None:
    """Let guests of images only read the host's store; refuse what cannot be done with it.

    Guests that Nix has built mount it themselves. Raises DeclarationError.
    """
    if declaration["image"] is None:
        if declaration["store_paths"]:
            raise DeclarationError(
                f"{prefix}store_paths", "are for guests of an image; remove this option, or set `image`"
            )
        return
    for index, share in enumerate(declaration["shares"]):
        # Root of the guest would be root in there.
        share["read_only"] = share["read_only"] or _is_in(_place(share), NIX_STORE)
        if not share["read_only"] and _is_in(NIX_STORE, _place(share)):
            raise DeclarationError(
                f"{prefix}shares[{index}].read_only",
                f"{share['source']} has {NIX_STORE} of the host in it, which root of the guest could change; set "
                "`read_only: true`, or share the directories below it that the guest needs",
            )
    option = option_with_nix(declaration)
    mounted = store_share(declaration)
    if option is not None and mounted is None:
        raise DeclarationError(f"{prefix}{option}", _lacking(declaration))
    if mounted is None:
        return
    if option is not None:
        _refuse_image_without_nix(declaration, images, f"{prefix}{option}")
    _refuse_odd_path(mounted[1]["mount_point"], f"{prefix}shares[{mounted[0]}].mount_point")
    if declaration["register_closure"] and not declaration["store_paths"]:
        raise DeclarationError(
            f"{prefix}register_closure", "requires store_paths, whose closure is registered; declare them"
        )
    _check_overlay(declaration, mounted[1], prefix)


def _is_store(share: Share) -> bool:
    return _place(share) == NIX_STORE


def _place(share: Share) -> str:
    """Return the source of a share in one spelling; nothing for one in the working directory."""
    return spelt_once(share["source"]) if share["source"].startswith("/") else ""


def _is_in(place: str, directory: str) -> bool:
    """Return whether a path is that of a directory, or below it."""
    return bool(place and directory) and f"{place}/".startswith(f"{directory.rstrip('/')}/")


def option_with_nix(declaration: PackagedVm) -> Optional[str]:
    """Return an option that has no effect without Nix in the guest, and the host's store."""
    values = {
        "writable_store_overlay": declaration["writable_store_overlay"],
        "store_paths": declaration["store_paths"],
        "register_closure": declaration["register_closure"],
    }
    return next((name for name, value in values.items() if value), None)


def _lacking(declaration: Vm) -> str:
    if not declaration["guest"]["enable"]:
        return "requires `guest.enable: true`, by which the guest knows its mounts"
    return f"requires the host's store with a mount point; add {_EXAMPLE} to shares"


def _refuse_image_without_nix(declaration: Vm, images: Sequence[HostImage], path: str) -> None:
    if declaration["state"] == "absent":
        return
    for image in images:
        if image["name"] == declaration["image"] and not image["nix"]:
            raise DeclarationError(
                path,
                f"the image {image['name']!r} has no Nix, by which the guest would do this; set `nix: true` in its "
                "declaration (microvm_images), which builds another one",
            )


def _refuse_odd_path(path: Optional[str], key: str) -> None:
    if path is not None and not _PLAIN_PATH.fullmatch(path):
        raise DeclarationError(
            key, f"{path!r} cannot be part of an overlay; use letters, digits and the characters . _ - / only"
        )


def _check_overlay(declaration: Vm, lower: Share, prefix: str) -> None:
    """Refuse a writable layer that an overlay cannot have."""
    overlay, key = declaration["writable_store_overlay"], f"{prefix}writable_store_overlay"
    if overlay is None:
        return
    _refuse_odd_path(overlay, key)
    place = spelt_once(overlay)
    for taken in (NIX_STORE, "/nix/var/nix", spelt_once(lower["mount_point"] or "")):
        if place == "/" or place == taken or place.startswith(f"{taken}/") or taken.startswith(f"{place}/"):
            raise DeclarationError(
                key, f"{overlay!r} is, has or is in {taken}, which is mounted besides; use /nix/.rw-store"
            )
    volume = max(filter(_has(place), declaration["volumes"]), key=_depth, default=None)
    share = max(filter(_has(place), declaration["shares"]), key=_depth, default=None)
    if share is not None and (volume is None or _depth(share) > _depth(volume)):
        raise DeclarationError(
            key,
            f"{overlay!r} is on a share, and Linux' overlay does not write to 9p or virtiofs; declare a volume there, "
            "or none, by which it is in the guest's memory",
        )
    if volume is not None and volume["read_only"]:
        raise DeclarationError(key, f"{overlay!r} is on a volume with read_only; remove that option of the volume")
    if volume is not None and volume["fs_type"] not in _UPPER_FILE_SYSTEMS:
        raise DeclarationError(
            key,
            f"{overlay!r} is on a volume with {volume['fs_type']}, to which Linux' overlay does not write; use "
            f"{', '.join(_UPPER_FILE_SYSTEMS)}",
        )


def _has(place: str) -> Callable[[Union[Volume, Share]], bool]:
    """Return a test whether a path of the guest is on a volume or share; the guest's root is a layer above its own."""
    return lambda entry: _depth(entry) > 0 and f"{place}/".startswith(f"{spelt_once(entry['mount_point'] or '')}/")


def _depth(entry: Union[Volume, Share]) -> int:
    """Return the number of directories that lead to a mount point; 0 for the root, and where there is none."""
    return len([word for word in (entry["mount_point"] or "").split("/") if word not in ("", ".")])
