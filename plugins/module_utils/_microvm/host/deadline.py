# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A moment until which something is waited for."""

from __future__ import annotations

import time


class Deadline:
    """A moment, so many seconds from now, by the clock that nobody sets."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds until then; 0 from then on."""
        return max(0.0, self._end - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Return whether the moment has come."""
        return self.remaining == 0

    def within(self, seconds: float) -> Deadline:
        """Return the earlier moment of this one and ``seconds`` from now."""
        return Deadline(min(seconds, self.remaining))
