# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts of MicroVMs that ended because a daemon of their shares did, as its unit notes it.

The units of both are started again together, and what systemd knows of the daemons is then that of their last start.
"""

from __future__ import annotations

import os
from typing import NamedTuple, Optional

from ..declaration.names import LOST_SHARES_DIRECTORY
from . import files


class LostShares(NamedTuple):
    """End of the daemons that serve a MicroVM's shares."""

    daemons: str
    """Identifier of the start of their unit that ended."""
    result: str
    """How it ended, in systemd's word."""

    @property
    def words(self) -> str:
        """Return what has happened."""
        return f"virtiofsd, which serves its shares, has ended ({self.result})"


def lost_shares(name: str, invocation: str) -> Optional[LostShares]:
    """Return how a start of a MicroVM has lost its shares; ``None`` for one that has not, and for no MicroVM."""
    if not name:
        return None
    try:
        words = (files.read_text(os.path.join(LOST_SHARES_DIRECTORY, name)) or "").split()
    except files.UnreadableFile:
        return None
    is_that = len(words) == 3 and words[0] == invocation
    return LostShares(words[1], words[2]) if is_that else None
