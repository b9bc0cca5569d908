# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parses the restrictions of a host."""

from __future__ import annotations

from typing import cast

from ...schema.validation import validate
from ..types import Restrictions
from .options import RESTRICTION_OPTIONS

UNRESTRICTED = cast(Restrictions, validate(RESTRICTION_OPTIONS, {"enable": False}, ""))
"""Restrictions that are not enabled."""


def parse_restrictions(raw: object, path: str = "") -> Restrictions:
    """Return complete restrictions. Raises DeclarationError with the path of what is wrong."""
    return cast(Restrictions, validate(RESTRICTION_OPTIONS, raw, path))
