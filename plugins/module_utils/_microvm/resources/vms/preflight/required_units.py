# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verify that a host has the units that declarations require, and that none comes after the MicroVMs."""

from __future__ import annotations

from typing import Dict, List, Optional, Sequence, Set

from ....declaration.names import TARGET, unit_name
from ....host import systemd
from ....schema.errors import DeclarationError
from .expected import Placed

_PREFIX = unit_name("").partition("@")[0] + "@"
_LATE = (TARGET, "multi-user.target")


def check_order(placed: Placed) -> None:
    """Refuse units that come after the MicroVM which is to come after them. Raises DeclarationError.

    systemd breaks such a cycle at the boot of the host, by leaving out the start of a MicroVM, or of all.
    """
    named = [
        (f"{path}.{key}[{index}]", declaration["name"], unit)
        for path, declaration in placed
        for key, units in (("after", declaration["after"]), ("requires", declaration["requires"]))
        for index, unit in enumerate(units)
        if not unit.startswith(_PREFIX)
    ]
    order = _order(sorted({unit for _path, _name, unit in named}))
    for path, name, unit in named:
        late = _first_of((*_LATE, unit_name(name)), unit, order)
        if late is not None:
            raise DeclarationError(
                path,
                f"{unit!r} itself starts after {late}, and so after the MicroVM; name the unit that the MicroVM needs, "
                f"or change its order (systemctl edit {unit})",
            )


def _order(units: Sequence[str]) -> Dict[str, List[str]]:
    """Return the units that some units come after, and so on. Those of MicroVMs are what the same run may change."""
    order: Dict[str, List[str]] = {}
    asked: Set[str] = set()
    while units:
        asked.update(units)
        order.update(systemd.predecessors(units))
        before = {unit for others in order.values() for unit in others}
        units = sorted(unit for unit in before - asked if not unit.startswith(_PREFIX) and unit not in _LATE)
    return order


def _first_of(late: Sequence[str], unit: str, order: Dict[str, List[str]]) -> Optional[str]:
    """Return one of some units that a unit comes after, through any number of others."""
    before: Set[str] = set()
    rest = [unit]
    while rest:
        new = set(order.get(rest.pop(), ())) - before
        before |= new
        rest += new
    return next((name for name in late if name in before), None)


def check_required_units(placed: Placed) -> None:
    """Refuse units that the host does not have. Raises DeclarationError.

    Devices come and go, and units of MicroVMs may be what the same run is about to bring.
    """
    required = [
        (f"{path}.requires[{index}]", unit)
        for path, declaration in placed
        for index, unit in enumerate(declaration["requires"])
        if not unit.startswith(_PREFIX) and not unit.endswith(".device")
    ]
    if not required:
        return
    units = systemd.show(sorted({unit for _path, unit in required}))
    for path, unit in required:
        if units[unit].load_state == "not-found":
            raise DeclarationError(path, f"the host has no unit {unit!r}; correct the name or install the unit")
        if units[unit].load_state == "masked":
            raise DeclarationError(path, f"the unit {unit!r} is masked; unmask it (systemctl unmask) or remove it")
