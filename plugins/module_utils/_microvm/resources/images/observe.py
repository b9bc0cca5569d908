# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at the images of a store."""

from __future__ import annotations

import os
from typing import Dict, List, Sequence

from ...declaration.types import HostImage
from ...host.content_store import PARTIAL, STAGING
from ...host.image_store import MANIFEST, ImageStore
from .state import Observed


def observe(store: ImageStore, digest: str) -> Observed:
    """Look at one image."""
    leftovers = store.leftovers()
    return Observed(
        exists=os.path.isdir(store.path(digest)),
        is_whole=store.has(digest),
        partial=PARTIAL + digest if PARTIAL + digest in leftovers else None,
        staging=STAGING + digest if STAGING + digest in leftovers else None,
    )


def installed_images(declared: Sequence[HostImage], store: ImageStore) -> List[HostImage]:
    """Return the images that a host has, by name.

    Those that are declared with a path stay; of every other name it is the one that came last. What is declared and not
    there stays as it is declared.
    """
    images: Dict[str, HostImage] = {image["name"]: image for image in declared}
    placed = {name for name, image in images.items() if image["path"]}
    for digest in sorted((digest for digest in store.names() if store.has(digest)), key=lambda name: _age(store, name)):
        manifest = store.manifest(digest)
        if manifest is not None and manifest.name not in placed:
            path = store.path(digest)
            images[manifest.name] = {
                "name": manifest.name,
                "path": path,
                "store_disk_type": "squashfs" if manifest.store_disk_type == "squashfs" else "erofs",
                "kernel_lacks": list(manifest.kernel_lacks or ()),
                "uses_host_key": manifest.uses_host_key,
                "nix": manifest.nix,
            }
    return list(images.values())


def known_images(given: Sequence[HostImage], store: ImageStore) -> List[HostImage]:
    """Return the images that a run was given, and those of other names that a host has."""
    names = {image["name"] for image in given}
    return [*given, *(image for image in installed_images((), store) if image["name"] not in names)]


def _age(store: ImageStore, digest: str) -> float:
    return os.stat(os.path.join(store.path(digest), MANIFEST)).st_mtime
