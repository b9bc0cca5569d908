# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Image directories: whole and verified, or not there."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, Dict, Optional

from ...host import files
from ...host.commands import HostError

MANIFEST = "manifest.json"
FORMAT = 1


def sums(directory: str) -> Dict[str, Dict[str, Any]]:
    """Size and SHA-256 of every file but the manifest."""
    found = {}
    for name in sorted(os.listdir(directory)):
        if name != MANIFEST:
            path = os.path.join(directory, name)
            found[name] = {"size": os.path.getsize(path), "sha256": _sha256(path)}
    return found


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def read_manifest(directory: str) -> Optional[Dict[str, Any]]:
    """The manifest, the last thing that is written; ``None`` where the image is not there or not complete."""
    text = files.read_text(os.path.join(directory, MANIFEST))
    return json.loads(text) if text else None


def complete(directory: str, manifest: Dict[str, Any], final: str) -> None:
    """Make ``directory`` the image ``final``: sync its files, write the manifest, rename."""
    for name in os.listdir(directory):
        with open(os.path.join(directory, name), "rb") as file:
            os.fsync(file.fileno())
    text = json.dumps({"format": FORMAT, **manifest}, indent=2, sort_keys=True) + "\n"
    files.replace_file(os.path.join(directory, MANIFEST), text.encode())
    os.rename(directory, final)
    files.sync_directory(os.path.dirname(final))


def install(staging: str, final: str, digest: str) -> None:
    """Move a copy into the store when every file is what its manifest says. Raises HostError."""
    manifest = read_manifest(staging)
    if manifest is None:
        raise HostError(f"{staging} holds no image: there is no {MANIFEST}; copy the image again")
    if manifest["digest"] != digest:
        raise HostError(f"{staging} holds the image {manifest['digest']}, not {digest}; copy the right one")
    found = sums(staging)
    for name, expected in manifest["files"].items():
        if found.get(name) != expected:
            raise HostError(f"{staging}/{name} is not what the image's manifest says; copy the image again")
    del manifest["format"]
    os.makedirs(os.path.dirname(final), exist_ok=True)
    files.remove(final)
    complete(staging, manifest, final)
