# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The store of guest images."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from typing import Dict, Mapping, Optional, Tuple

from ..declaration.names import IMAGE_CACHE, IMAGE_STORE
from . import files
from .commands import HostError
from .content_store import ContentStore

MANIFEST = "manifest.json"
FORMAT = 1


def build_cache() -> str:
    """Return the directory of built images and downloaded packages: an ordinary user has one in the home directory."""
    if os.geteuid() == 0:
        return IMAGE_CACHE
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(caches, os.path.basename(IMAGE_CACHE))


@dataclass(frozen=True)
class FileSum:
    """Size and digest of a file of an image."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Description of an image, which lies beside its files."""

    digest: str
    """Name of the image in a store."""
    files: Mapping[str, FileSum]
    """Files of the image by name, all but the manifest."""
    name: str = ""
    """Name of the declaration that the image was built from."""
    suite: str = ""
    architecture: str = ""
    store_disk_type: str = ""
    kernel_version: str = ""
    systemd_version: int = 0
    kernel_lacks: Optional[Tuple[str, ...]] = None
    """Settings of the kernel's configuration that are off, of those that MicroVMs may need; ``None`` where nobody has
    looked."""
    uses_host_key: bool = False
    """True if guests of the image use the SSH host key that their host gives them."""
    nix: bool = False
    """True if guests of the image have Nix and can mount the store of their host."""
    format: int = field(default=FORMAT)

    def to_json(self) -> str:
        """Return the content of the manifest's file."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


def parse_manifest(text: str) -> Optional[Manifest]:
    """Return the manifest in a file's content; ``None`` for content that is no manifest."""
    try:
        values = json.loads(text)
        sums = {name: FileSum(int(facts["size"]), str(facts["sha256"])) for name, facts in values["files"].items()}
        strings = {key: str(values[key]) for key in _STRINGS if key in values}
        version = int(values.get("systemd_version", 0))
        if any("/" in name or not name.isprintable() for name in (*sums, strings["digest"])):
            return None
        lacks = values.get("kernel_lacks")
        return Manifest(
            **strings,
            files=sums,
            systemd_version=version,
            kernel_lacks=None if lacks is None else tuple(map(str, lacks)),
            uses_host_key=values.get("uses_host_key") is True,
            nix=values.get("nix") is True,
            format=int(values.get("format", FORMAT)),
        )
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return None


_STRINGS = ("digest", "name", "suite", "architecture", "store_disk_type", "kernel_version")


class ImageStore(ContentStore):
    """Guest images, named by their digests.

    A directory without a manifest, or without one of its files, is no image: an earlier version, which removed images
    file by file, may have left it.
    """

    def __init__(self, directory: str = IMAGE_STORE) -> None:
        super().__init__(directory)

    def has(self, name: str) -> bool:
        """Return whether an image is there as a whole: its manifest says so by the sizes of its files."""
        manifest = self.manifest(name) if super().has(name) else None
        return manifest is not None and manifest.digest == name and _has_files(self.path(name), manifest)

    def damage(self, name: str) -> Optional[str]:
        """Return what is wrong with an image, by the digests of its files; ``None`` for one that is whole."""
        try:
            verify(self.path(name), name)
        except (HostError, OSError) as error:
            return str(error)
        return None

    def manifest(self, name: str) -> Optional[Manifest]:
        """Manifest of an image; ``None`` where the directory has none."""
        return read_manifest(self.path(name))

    def install(self, staging: str, name: str) -> None:
        """Move a copy of an image into place when every file is what the manifest says. Raises HostError."""
        verify(staging, name)
        os.makedirs(self.directory, exist_ok=True)
        self.adopt(staging, name)


def read_manifest(directory: str) -> Optional[Manifest]:
    """Return the manifest of a directory; ``None`` where there is none, or a damaged one."""
    try:
        return parse_manifest(files.read_text(os.path.join(directory, MANIFEST)) or "")
    except files.UnreadableFile:
        return None


def verify(directory: str, digest: str) -> None:
    """Compare a copy of an image with its manifest. Raises HostError."""
    manifest = read_manifest(directory)
    if manifest is None:
        raise HostError(f"{directory} contains no image because {MANIFEST} is missing or damaged; copy the image again")
    if manifest.digest != digest:
        raise HostError(f"{directory} contains the image {manifest.digest}, not {digest}; copy the right one")
    for name, expected in manifest.files.items():
        if not _is_as(os.path.join(directory, name), expected):
            raise HostError(f"{directory}/{name} does not match the image's manifest; copy the image again")


def _is_as(path: str, expected: FileSum) -> bool:
    """Return whether a file has a digest; one of another size, which may be enormous, is not even read."""
    return os.path.isfile(path) and os.path.getsize(path) == expected.size and _sum(path) == expected


def sums(directory: str) -> Dict[str, FileSum]:
    """Return size and SHA-256 of every file but the manifest, by name."""
    names = sorted(name for name in os.listdir(directory) if name != MANIFEST)
    return {name: _sum(os.path.join(directory, name)) for name in names}


def _sum(path: str) -> FileSum:
    if not os.path.isfile(path):
        raise HostError(f"{path} is not a regular file; copy the image again")
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return FileSum(os.path.getsize(path), digest.hexdigest())


def _has_files(directory: str, manifest: Manifest) -> bool:
    try:
        return all(
            os.path.getsize(os.path.join(directory, name)) == facts.size for name, facts in manifest.files.items()
        )
    except OSError:
        return False
