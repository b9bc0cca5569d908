# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What plans are made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

ActionType = TypeVar("ActionType", bound=Enum)
"""What steps do, in the order in which they are carried out; the values are how they read."""


@dataclass(frozen=True)
class Step(Generic[ActionType]):
    """One change: an action, and what is changed."""

    action: ActionType
    target: str

    def __str__(self) -> str:
        return f"{self.action.value} {self.target}"
