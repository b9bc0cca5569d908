# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Owners and modes of the directories that are created for shares."""

from __future__ import annotations

from typing import Dict, NamedTuple

from ...schema.options import defaults
from ..accounts import Account
from ..types import PackagedVm, Share
from .device_options import SHARES

SOURCE_MODE: str = defaults(SHARES)["source_mode"]
"""Mode of created directories for which none is declared."""


class Ownership(NamedTuple):
    """Owner, group and mode that a directory is created with."""

    user: str
    group: str
    mode: str = SOURCE_MODE


def ownership(share: Share, owner: Account) -> Ownership:
    """Return what a share's source is created with, where ``owner`` is the account of the MicroVM."""
    user = share["source_owner"] or share["user"]
    # Where no user is named, the group of the MicroVM; otherwise that of the user's own name or number.
    group = share["source_group"] or user or owner.group
    return Ownership(user or owner.user, group, share["source_mode"])


def declares_ownership(share: Share) -> bool:
    """Return whether a share's source is created with anything else than by default."""
    return any(share[key] for key in ("source_owner", "source_group", "user")) or share["source_mode"] != SOURCE_MODE


def source_ownerships(declaration: PackagedVm, owner: Account) -> Dict[str, Ownership]:
    """Return what sources outside of the working directory are created with, by their paths, where that is declared."""
    return {
        share["source"]: ownership(share, owner)
        for share in declaration["shares"]
        if share["source"].startswith("/") and declares_ownership(share)
    }
