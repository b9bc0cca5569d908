# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small images, for tests."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.image_store import (
    MANIFEST,
    Manifest,
    sums,
)

DIGEST = "0123456789abcdef0123456789abcdef"
FILES = {"kernel": b"kernel", "initrd": b"initrd", "root.erofs": b"root"}


def write_image(directory: Path, digest: str = DIGEST, name: str = "base") -> Path:
    """Write a whole image."""
    directory.mkdir(parents=True)
    for file, content in FILES.items():
        (directory / file).write_bytes(content)
    manifest = Manifest(digest, sums(str(directory)), name=name, store_disk_type="erofs")
    (directory / MANIFEST).write_text(manifest.to_json())
    return directory
