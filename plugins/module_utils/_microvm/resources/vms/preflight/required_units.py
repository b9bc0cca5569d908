# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verify that a host has the units that declarations require."""

from __future__ import annotations

from ....declaration.names import unit_name
from ....host import systemd
from ....schema.errors import DeclarationError
from .expected import Placed


def check_required_units(placed: Placed) -> None:
    """Refuse units that the host does not have. Raises DeclarationError.

    Devices come and go, and units of MicroVMs may be what the same run is about to bring.
    """
    prefix = unit_name("").partition("@")[0]
    required = [
        (f"{path}.requires[{index}]", unit)
        for path, declaration in placed
        for index, unit in enumerate(declaration["requires"])
        if not unit.startswith(f"{prefix}@") and not unit.endswith(".device")
    ]
    if not required:
        return
    units = systemd.show(sorted({unit for _path, unit in required}))
    for path, unit in required:
        if units[unit].load_state == "not-found":
            raise DeclarationError(path, f"the host has no unit {unit!r}; correct the name or install the unit")
        if units[unit].load_state == "masked":
            raise DeclarationError(path, f"the unit {unit!r} is masked; unmask it (systemctl unmask) or remove it")
