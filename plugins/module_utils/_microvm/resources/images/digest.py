# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Digests that name images."""

from __future__ import annotations

import hashlib
import json

from ...declaration.images.parse import ImageDeclaration
from ...runner.package import DIGEST_LENGTH
from . import guest_tree, initrd

BUILDER_VERSION = 1
"""Number to raise when ``build.py`` makes another image of the same declaration."""


def digest(declaration: ImageDeclaration) -> str:
    """Return the digest of all that determines an image, but for what the mirrors have on the day of the build.

    The name is not part of it: two declarations that differ in nothing else are one image.
    """
    # Images without Nix have the digests that they had before there were others.
    without = {"name"} if declaration["nix"] else {"name", "nix"}
    determining = {key: value for key, value in declaration.items() if key not in without}
    command, scripts = guest_tree.mmdebstrap_command(declaration, "", None), guest_tree.scripts(declaration)
    builder = [command, scripts, initrd.INIT, initrd.MODULES]
    text = json.dumps([determining, BUILDER_VERSION, builder], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
