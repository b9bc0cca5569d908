# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verify that the kernels of images can do what MicroVMs need of them."""

from __future__ import annotations

import platform
from typing import Dict, Mapping, Sequence

from ....declaration.types import HostImage
from ....declaration.vms.parse import Declaration, image_path
from ....host.image_store import read_manifest
from ....hypervisors.facts import HostFacts
from ....hypervisors.kernel_needs import kernel_needs
from ....schema.errors import DeclarationError
from .expected import Placed


def check_kernels(placed: Placed, images: Sequence[HostImage]) -> None:
    """Refuse MicroVMs that need what the kernel of their image is built without. Raises DeclarationError.

    ``images`` are those that the run brings. Nothing is known of a kernel from elsewhere, which is not refused.
    """
    known: Dict[str, Sequence[str]] = {image_path(image): image["kernel_lacks"] for image in images}
    facts = HostFacts(platform.machine())
    for path, declaration in placed:
        lacking = _lacking(declaration, known)
        for key, need in kernel_needs(declaration, facts):
            if need.setting in lacking:
                raise DeclarationError(
                    f"{path}.{key}",
                    f"{need.reason}, for which the kernel of its image lacks {need.setting}; {need.remedy}",
                )


def _lacking(declaration: Declaration, known: Mapping[str, Sequence[str]]) -> Sequence[str]:
    directory, _slash, name = (declaration["kernel"] or "").rpartition("/")
    if name != "kernel":
        return ()
    manifest = read_manifest(directory)
    if manifest is not None and manifest.kernel_lacks is not None:
        return manifest.kernel_lacks
    return known.get(directory, ())
