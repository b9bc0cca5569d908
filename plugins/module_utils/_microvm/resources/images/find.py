# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that a host was given, by their names."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Sequence

from ...declaration.names import IMAGE_STORE
from .store import MANIFEST, read_manifest

Image = Mapping[str, Any]


def installed_images(declared: Sequence[Image] = (), directory: str = IMAGE_STORE) -> List[Image]:
    """Those that are declared with a path, and of every other name the one that came last; then what is not there."""
    found: Dict[str, Image] = {str(one["name"]): one for one in declared}
    placed = {name for name, one in found.items() if one.get("path")}
    for path in sorted(_paths(directory), key=lambda path: os.stat(os.path.join(path, MANIFEST)).st_mtime):
        manifest = read_manifest(path) or {}
        name = str(manifest.get("name"))
        if name not in placed:
            found[name] = {"name": name, "path": path, "store_disk_type": manifest.get("store_disk_type")}
    return list(found.values())


def _paths(directory: str) -> List[str]:
    try:
        entries = [os.path.join(directory, entry) for entry in os.listdir(directory) if not entry.startswith(".")]
    except FileNotFoundError:
        return []
    return [path for path in entries if os.path.exists(os.path.join(path, MANIFEST))]
