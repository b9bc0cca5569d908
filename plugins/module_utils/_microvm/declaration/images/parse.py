# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Validate and complete the declaration of a guest image."""

from __future__ import annotations

from typing import cast

from ...schema.validation import validate
from ..types import Image
from .options import IMAGE_OPTIONS


class ImageDeclaration(Image):
    """Options of a guest image, for the architecture of a build host."""

    architecture: str
    """Debian's name of it."""


DEBIAN_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Debian's names of architectures, by what `uname -m` prints."""


def parse_image(raw: object, machine: str, path: str = "image") -> ImageDeclaration:
    """Return a complete declaration for a build host of an architecture (``uname -m``). Raises DeclarationError."""
    architecture = DEBIAN_ARCHITECTURES.get(machine, machine)
    image = cast(Image, validate(IMAGE_OPTIONS, raw, path))
    image["kernel_package"] = image["kernel_package"] or f"linux-image-{architecture}"
    return {**image, "architecture": architecture}
