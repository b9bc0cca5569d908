# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Validate and complete the declaration of a guest image."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from ...schema.validation import validate
from .options import IMAGE_OPTIONS

ImageDeclaration = Dict[str, Any]

DEBIAN_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Debian's names for what `uname -m` says."""


def parse_image(raw: Mapping[str, Any], machine: str, path: str = "image") -> ImageDeclaration:
    """Return a complete declaration for a build host of an architecture (``uname -m``). Raises DeclarationError."""
    declaration = validate(IMAGE_OPTIONS, raw, path)
    for key in ("mirrors", "packages", "files", "commands"):
        declaration[key] = declaration[key] or []
    declaration["architecture"] = DEBIAN_ARCHITECTURES.get(machine, machine)
    declaration["kernel_package"] = declaration["kernel_package"] or f"linux-image-{declaration['architecture']}"
    return declaration
