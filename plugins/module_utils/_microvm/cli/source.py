# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Declarations in files."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any, List, Mapping, Tuple, cast

from ..declaration.types import HostImage

VARIABLE = "microvm_vms"
IMAGES = "microvm_images"
"""The roles' variables."""


class SourceError(Exception):
    """A file that has no declarations, and why."""


@dataclass(frozen=True)
class Source:
    """The MicroVMs of a file with their places in it, and the images that they may name."""

    vms: Tuple[Tuple[str, object], ...]
    images: Tuple[HostImage, ...] = ()


def read(file: str) -> Source:
    """Raises SourceError."""
    try:
        text = sys.stdin.read() if file == "-" else _content(file)
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{file}: {error.strerror if isinstance(error, OSError) else error}") from None
    return _source(_parse(text, file), file)


def _content(file: str) -> str:
    with open(file, encoding="utf-8") as source:
        return source.read()


def _parse(text: str, file: str) -> object:
    try:
        return cast(object, json.loads(text))
    except (ValueError, RecursionError) as not_json:
        try:
            import yaml
        except ImportError:
            raise SourceError(
                f"{file} is not JSON ({not_json}), and PyYAML, which is required for YAML, is not installed"
            ) from None

    class Loader(yaml.SafeLoader):
        """Knows the tags of Ansible, whose texts are taken as they are."""

    for tag in ("!vault", "!unsafe"):
        Loader.add_constructor(tag, lambda loader, node: str(node.value))
    try:
        return cast(object, yaml.load(text, Loader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SourceError(f"{file} is neither JSON nor YAML: {error}") from None


def _source(data: object, file: str) -> Source:
    if isinstance(data, list):
        return Source(_placed(data, ""))
    if isinstance(data, Mapping) and VARIABLE in data:
        vms, images = data[VARIABLE], data.get(IMAGES) or []
        for name, value in ((VARIABLE, vms), (IMAGES, images)):
            if not isinstance(value, list):
                raise SourceError(f"{file}: {name} must be a list")
        placed = [_image(image) for image in images if isinstance(image, Mapping) and image.get("name")]
        return Source(_placed(vms, VARIABLE), tuple(placed))
    if isinstance(data, Mapping) and data:
        return Source((("", data),))
    raise SourceError(f"{file}: write a declaration, a list of them, or a mapping with {VARIABLE}")


def _image(image: Mapping[str, Any]) -> HostImage:
    """Return where an image is; other options are for its build."""
    return {
        "name": str(image["name"]),
        "path": str(image["path"]) if image.get("path") else None,
        "store_disk_type": image.get("store_disk_type") or "erofs",
        "kernel_lacks": list(image.get("kernel_lacks") or ()),
        "uses_host_key": image.get("uses_host_key") is True,
        "nix": image.get("nix") is True,
    }


def _placed(vms: List[object], prefix: str) -> Tuple[Tuple[str, object], ...]:
    return tuple((f"{prefix}[{index}]", vm) for index, vm in enumerate(vms))
