# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Key of the host's own, by which root logs in to the guests that are declared to allow it."""

from __future__ import annotations

from typing import Optional

from ..declaration.names import SSH_KEY, SSH_PUBLIC_KEY
from ..declaration.types import PackagedVm
from ..schema.checks import authorized_key
from ..schema.errors import DeclarationError
from . import files


def public_key() -> Optional[str]:
    """Return the line that a guest's authorized_keys(5) gets; nothing on a host without the key."""
    key = (files.read_text(SSH_PUBLIC_KEY) or "").strip()
    return key if authorized_key(key) is None else None


def add_key_of_host(declaration: PackagedVm, path: str, is_expected: bool) -> None:
    """Let the host in, where a guest is declared to do so.

    ``is_expected`` is true if role ``host`` is yet to create the key. Raises DeclarationError on a host without it.
    """
    guest = declaration["guest"]
    if not guest["host_access"]:
        return
    key = public_key()
    if key is not None and key not in guest["authorized_keys"]:
        guest["authorized_keys"] = [*guest["authorized_keys"], key]
    if key is None and not is_expected:
        raise DeclarationError(
            f"{path}.guest.host_access" if path else "guest.host_access",
            f"this host has no key {SSH_KEY}; run the role microvm.fleet.host first, which creates it",
        )
