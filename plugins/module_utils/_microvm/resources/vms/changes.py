# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cost of a change of a declaration to a MicroVM that runs: nothing, live, restart, recreate. Pure.

The option table says it of each option (``Option.cost``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Mapping, Optional, Tuple, cast

from ...declaration.types import PackagedVm
from ...declaration.vms.options import PACKAGE_OPTIONS
from ...schema.compaction import compact, complete
from ...schema.options import LIVE, RESTART, Option, Options


@dataclass(frozen=True)
class Change:
    """Option that differs, by its path (``volumes[0].size``)."""

    path: str
    cost: str

    def __str__(self) -> str:
        return f"{self.path} ({self.cost})"


def normal(declaration: PackagedVm) -> PackagedVm:
    """Return a declaration as it is read back from the package that records it."""
    return cast(PackagedVm, complete(PACKAGE_OPTIONS, compact(PACKAGE_OPTIONS, declaration)))


def changes(before: Optional[PackagedVm], after: PackagedVm) -> Tuple[Change, ...]:
    """Return the differences between a recorded declaration and another one; none where none was recorded."""
    return () if before is None else tuple(_differences(PACKAGE_OPTIONS, before, normal(after), ""))


def is_live(differences: Tuple[Change, ...]) -> bool:
    """Return whether all of them, and there are some, can be told a MicroVM that runs."""
    return bool(differences) and all(change.cost == LIVE for change in differences)


def _differences(
    options: Options, before: Mapping[str, object], after: Mapping[str, object], prefix: str
) -> Iterator[Change]:
    for option in options:
        old, new, path = before.get(option.name), after.get(option.name), f"{prefix}{option.name}"
        if old != new:
            yield from _inside(option, old, new, path)


def _inside(option: Option, old: object, new: object, path: str) -> Iterator[Change]:
    if option.suboptions and isinstance(old, Mapping) and isinstance(new, Mapping):
        yield from _differences(option.suboptions, old, new, f"{path}.")
    elif option.suboptions and isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (element, other) in enumerate(zip(old, new)):
            yield from _differences(option.suboptions, element, other, f"{path}[{index}].")
    else:
        yield Change(path, RESTART if option.suboptions else option.cost)
