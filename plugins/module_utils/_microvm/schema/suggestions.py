# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Suggest what a misspelt name may have been meant to be."""

from __future__ import annotations

import difflib
from typing import Iterable


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return a question for the most similar one of the names that exist; nothing if none is similar."""
    close = difflib.get_close_matches(name, sorted(names), n=1)
    return f"did you mean {close[0]!r}?" if close else ""
