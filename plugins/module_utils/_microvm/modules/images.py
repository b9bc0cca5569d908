# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``main()`` of microvm_image."""

from __future__ import annotations

import platform
from typing import List, Optional

from ..declaration.images.parse import ImageDeclaration, parse_image
from ..host.image_store import ImageStore, build_cache
from ..host.settings import host_images
from ..operations.images import ImageResult, reconcile_image
from ..resources.images.build import image_files
from ..resources.images.digest import digest
from ..resources.images.kernel_settings import lacking
from ..resources.images.state import State, Wanted
from .fleet_module import FleetModule, Parameters
from .options import IMAGE_MODULE_OPTIONS


class StoredImageResult(ImageResult):
    """Outcome of microvm_image."""

    digest: str
    path: str


class BuiltImageResult(StoredImageResult):
    """Outcome of microvm_image for an image that was, or would be, built."""

    name: str
    files: List[str]
    store_disk_type: str
    kernel_lacks: List[str]
    uses_host_key: bool
    nix: bool


def run_image() -> None:
    """Bring one image into its state and report the result."""
    module = FleetModule(
        IMAGE_MODULE_OPTIONS,
        _parse,
        required_if=[
            ("state", "built", ["image"]),
            ("state", "installed", ["digest", "staging"]),
            ("state", "absent", ["digest"]),
        ],
    )
    module.exit_json(**module.attempt(_reconcile))


def _parse(parameters: Parameters) -> None:
    if parameters.get("image") is not None:
        parse_image(parameters["image"], platform.machine())


def _reconcile(parameters: Parameters, check_mode: bool) -> StoredImageResult:
    wanted = _wanted(parameters)
    store = _store(parameters["store"], wanted)
    outcome = reconcile_image(wanted, store, check_mode)
    result: StoredImageResult = {**outcome, "digest": wanted.digest, "path": store.path(wanted.digest)}
    return result if wanted.declaration is None else _built(result, wanted.declaration, store)


def _store(given: Optional[str], wanted: Wanted) -> ImageStore:
    if given is not None:
        return ImageStore(given)
    return host_images() if wanted.declaration is None else ImageStore(f"{build_cache()}/images")


def _wanted(parameters: Parameters) -> Wanted:
    state = State(parameters["state"])
    if state is State.BUILT:
        declaration = parse_image(parameters["image"], platform.machine())
        return Wanted(digest(declaration), state, declaration, parameters["cache"] or f"{build_cache()}/archives")
    return Wanted(parameters["digest"], state, staging=parameters["staging"])


def _built(result: StoredImageResult, declaration: ImageDeclaration, store: ImageStore) -> BuiltImageResult:
    kind, manifest = declaration["store_disk_type"], store.manifest(result["digest"])
    return {
        **result,
        "name": declaration["name"],
        "files": image_files(kind),
        "store_disk_type": kind,
        "kernel_lacks": lacking(declaration, None if manifest is None else manifest.kernel_lacks),
        "uses_host_key": True,
        "nix": declaration["nix"],
    }
