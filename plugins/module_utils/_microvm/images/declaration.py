# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Image declarations and the digests that name images."""

from __future__ import annotations

import hashlib
import json
import platform
from typing import Any, Dict, Mapping

from ..declaration.validation import validate
from ..runner.package import DIGEST_LENGTH
from . import guest_tree, initrd
from .options import IMAGE_OPTIONS

ImageDeclaration = Dict[str, Any]

DEBIAN_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Debian's names for what `uname -m` says."""

BUILDER_VERSION = 1
"""To be raised when ``build.py`` makes another image of the same declaration."""


def parse_image(raw: Mapping[str, Any], path: str = "image") -> ImageDeclaration:
    """A complete declaration. Raises DeclarationError."""
    declaration = validate(IMAGE_OPTIONS, raw, path)
    for key in ("mirrors", "packages", "files", "commands"):
        declaration[key] = declaration[key] or []
    declaration["architecture"] = DEBIAN_ARCHITECTURES.get(platform.machine(), platform.machine())
    declaration["kernel_package"] = declaration["kernel_package"] or f"linux-image-{declaration['architecture']}"
    return declaration


def digest(declaration: ImageDeclaration) -> str:
    """Of all that determines the image but for what the mirrors have on the day of the build.

    The name is not part of it: two declarations that differ in nothing else are one image.
    """
    determining = {key: value for key, value in declaration.items() if key != "name"}
    builder = [guest_tree.mmdebstrap_command(declaration, "", None), guest_tree.SCRIPTS, initrd.INIT, initrd.MODULES]
    text = json.dumps([determining, BUILDER_VERSION, builder], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
