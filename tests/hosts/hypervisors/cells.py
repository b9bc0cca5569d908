# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts of the table: a cell, what it needs, and the two ways in which it does not hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from _microvm.hypervisors.profile import Profile, Value

if TYPE_CHECKING:
    from .guest import Guest

Declaration = Mapping[str, object]

Check = Callable[["Guest"], None]
"""Function that examines a guest. Raises FellShort, NotRun, or AssertionError of a command on the host."""

LIFE = "life"
"""Boot that the cells of the life cycle share; each leaves the guest up or down, and begins with what it needs."""


class FellShort(Exception):
    """Error of a hypervisor or of the collection: a claim does not hold. Its message is the reason."""


class NotRun(Exception):
    """Error of the place: the cell cannot be run there. Its message is the reason."""


def nothing(_guest: Guest) -> Declaration:
    """Return no options."""
    return {}


def always(_profile: Profile) -> bool:
    """Return True: every hypervisor claims it."""
    return True


@dataclass(frozen=True)
class Cell:
    """One thing that is examined with each hypervisor that claims it."""

    name: str
    title: str
    """Statement that holds if the cell does, for the documentation."""
    check: Check
    claims: tuple[tuple[str, Value], ...] = ()
    """Options and values that the hypervisor's profile must claim."""
    applies: Callable[[Profile], bool] = always
    """Predicate of what else the profile must claim."""
    prepare: Callable[[Guest], Declaration] = nothing
    """Prepares the host, and returns options of the guest's declaration. Raises NotRun."""
    boot: str = LIFE
    """Name of the boot; cells with the same one share it, and have one each if it fails."""
    rows: tuple[str, ...] = ()
    """Rows of docs/hypervisors.md that it shows, as they are labelled there."""
    is_bootless: bool = False
    """True if it needs no guest."""
    is_short: bool = False
    """True if it is part of the short selection that `make test` runs."""

    def is_claimed(self, profile: Profile) -> bool:
        """Return whether a hypervisor claims all that the cell examines."""
        return self.applies(profile) and all(profile.claims(path, value) for path, value in self.claims)


def combined(first: Declaration, second: Declaration) -> dict[str, object]:
    """Return two declarations as one: lists are joined, mappings are combined, other values are those of the second."""
    result = dict(first)
    for key, value in second.items():
        before = result.get(key)
        if isinstance(before, list) and isinstance(value, list):
            result[key] = [*before, *value]
        elif isinstance(before, Mapping) and isinstance(value, Mapping):
            result[key] = combined(before, value)
        else:
            result[key] = value
    return result
