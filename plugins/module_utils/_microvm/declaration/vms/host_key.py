# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SSH host keys that hosts give to guests, as a credential beside the package (``guest.host_key``)."""

from __future__ import annotations

from typing import Dict, Sequence

from ...schema.errors import DeclarationError
from ..names import HOST_KEY_CREDENTIAL, HOST_KEY_DIRECTORY, REGISTRATION_CREDENTIAL
from ..types import HostImage, PackagedVm, Vm
from .guest_store import is_registered

KEY_TYPE = "ecdsa"
"""Type of the keys that hosts make. A server shows one key of each type, and guests make ed25519 keys themselves: so
the key that a guest has on a volume stays its key, for all who know it, beside the one of its host."""

OWN_DIRECTORIES = ("/etc", "/etc/ssh")
"""Mount points at which a guest has its own settings of the SSH server, which need not look for the host's key."""

NO_KEY = "/dev/null"
"""File in the place of the key where no unit passes one on: a guest whose package is run by hand makes its own."""


def complete_host_key(declaration: Vm, images: Sequence[HostImage], prefix: str) -> None:
    """Let the host give a key to a guest whose image uses it, unless the declaration says what it does.

    Raises DeclarationError for a guest that cannot be given one.
    """
    guest, path = declaration["guest"], f"{prefix}guest.host_key"
    has_own = HOST_KEY_CREDENTIAL in declaration["credential_files"]
    if guest["host_key"] and not guest["enable"]:
        raise DeclarationError(path, "requires `guest.enable: true`, by which credentials configure the guest")
    if guest["host_key"] and has_own:
        raise DeclarationError(
            path, f"gives the credential {HOST_KEY_CREDENTIAL}, which credential_files has too; remove one of the two"
        )
    # What is not given stays out of the package, which is the same then as without the option.
    if guest["host_key"] is None and guest["enable"] and not has_own and _uses_key(declaration, images):
        guest["host_key"] = True


def _uses_key(declaration: Vm, images: Sequence[HostImage]) -> bool:
    """Return whether the guest's SSH server shows the key that its host gives."""
    mounts = (*declaration["volumes"], *declaration["shares"])
    has_own_settings = any((mount["mount_point"] or "").rstrip("/") in OWN_DIRECTORIES for mount in mounts)
    return not has_own_settings and any(
        image["name"] == declaration["image"] and image["uses_host_key"] for image in images
    )


def files_of_credentials(declaration: PackagedVm) -> Dict[str, str]:
    """Return the files of the credentials that a package has not itself, for whoever runs it by hand."""
    files = dict(declaration["credential_files"])
    if declaration["guest"]["host_key"]:
        files[HOST_KEY_CREDENTIAL] = NO_KEY
    if is_registered(declaration):
        files[REGISTRATION_CREDENTIAL] = NO_KEY
    return files


def host_key_file(name: str) -> str:
    """Path of the private key that a host has made for a guest."""
    return f"{HOST_KEY_DIRECTORY}/{name}"
