# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verify that a host has the store of Nix, and the paths in it, that guests of images use."""

from __future__ import annotations

import os
import posixpath

from ....declaration.names import NIX_STORE
from ....declaration.vms.guest_store import option_with_nix
from ....declaration.vms.parse import Declaration
from ....host import closures, nix
from ....host.image_store import read_manifest
from ....schema.errors import DeclarationError
from .expected import Expected, Placed


def check_guest_stores(placed: Placed, expected: Expected) -> None:
    """Refuse guests that lack Nix, or are to use what the host's store does not have. Raises DeclarationError."""
    guests = [(path, declaration) for path, declaration in placed if declaration["image"] is not None]
    for path, declaration in guests:
        option = option_with_nix(declaration)
        if option is not None:
            _check_nix(declaration, path, option, expected)
    # All at once, since each look at the store opens its database.
    missing = frozenset(closures.missing_paths([item for _path, vm in guests for item in vm["store_paths"]]))
    for path, declaration in guests:
        for store_path in declaration["store_paths"]:
            if store_path in missing:
                raise DeclarationError(
                    f"{path}.store_paths",
                    f"{store_path} is not in the store of this host; build it there or copy it (nix copy --to "
                    "ssh://HOST)",
                )


def _check_nix(declaration: Declaration, path: str, option: str, expected: Expected) -> None:
    """Refuse an image or a host without Nix, which an option needs."""
    manifest = read_manifest(posixpath.dirname(declaration["kernel"] or ""))
    if manifest is not None and not manifest.nix:
        raise DeclarationError(
            f"{path}.{option}",
            f"the image {manifest.name!r} has no Nix, by which the guest would do this; build it with `nix: true`",
        )
    if not expected.setup and not os.path.isdir(NIX_STORE):
        raise DeclarationError(
            f"{path}.{option}", f"this host has no {NIX_STORE}; let role `host` install Nix (`microvm_nix: true`)"
        )
    if declaration["store_paths"] and nix.store_program() is None:
        raise DeclarationError(
            f"{path}.store_paths",
            f"{nix.MISSING}, whose store is to keep them; let role `host` install it (`microvm_nix: true`)",
        )
