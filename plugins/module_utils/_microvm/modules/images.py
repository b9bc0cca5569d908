# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``main()`` of microvm_image."""

from __future__ import annotations

import os
import platform
from typing import Any, Callable, Dict, Mapping

from ..declaration.images.parse import parse_image
from ..host import files
from ..resources.images import store
from ..resources.images.build import build, check_build_host
from ..resources.images.digest import digest
from .fleet_module import FleetModule
from .options import IMAGE_MODULE_OPTIONS

Result = Dict[str, Any]


def run_image() -> None:
    """Bring one image into its state and say what came of it."""
    module = FleetModule(
        IMAGE_MODULE_OPTIONS,
        _parse,
        required_if=[
            ("state", "built", ["image"]),
            ("state", "installed", ["digest", "staging"]),
            ("state", "absent", ["digest"]),
        ],
    )
    module.exit_json(**module.attempt(STATES[module.params["state"]]))


def _parse(parameters: Mapping[str, Any]) -> None:
    if parameters.get("image") is not None:
        parse_image(parameters["image"], platform.machine())


def _built(parameters: Mapping[str, Any], check_mode: bool) -> Result:
    declaration = parse_image(parameters["image"], platform.machine())
    name = digest(declaration)
    path = os.path.join(parameters["store"], name)
    changed = store.read_manifest(path) is None
    if changed:
        check_build_host(declaration)
    if changed and not check_mode:
        build(declaration, parameters["store"], parameters["cache"])
    kind = declaration["store_disk_type"]
    files_of_image = ["kernel", "initrd", f"root.{kind}", store.MANIFEST]
    return {
        "changed": changed,
        "name": declaration["name"],
        "digest": name,
        "path": path,
        "files": files_of_image,
        "store_disk_type": kind,
    }


def _installed(parameters: Mapping[str, Any], check_mode: bool) -> Result:
    final = os.path.join(parameters["store"], parameters["digest"])
    changed = store.read_manifest(final) is None
    if changed and not check_mode:
        store.install(parameters["staging"], final, parameters["digest"])
    return {"changed": changed, "digest": parameters["digest"], "path": final}


def _absent(parameters: Mapping[str, Any], check_mode: bool) -> Result:
    path = os.path.join(parameters["store"], parameters["digest"])
    changed = os.path.isdir(path)
    if changed and not check_mode:
        files.remove(path)
    return {"changed": changed, "digest": parameters["digest"], "path": path}


STATES: Dict[str, Callable[[Mapping[str, Any], bool], Result]] = {
    "built": _built,
    "installed": _installed,
    "absent": _absent,
}
