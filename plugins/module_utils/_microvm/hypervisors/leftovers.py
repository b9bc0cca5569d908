# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hypervisors leave in the working directories of MicroVMs besides sockets. Pure."""

from __future__ import annotations

from typing import FrozenSet

from ..declaration.types import PackagedVm
from .profiles import PROFILES


def leftovers(declaration: PackagedVm) -> FrozenSet[str]:
    """Return the names of what is no data of anybody's: of all hypervisors, since a MicroVM may have had others.

    A volume of such a name, which the declaration would have, is none of them.
    """
    socket = declaration["socket"]
    names = (name for profile in PROFILES.values() for name in profile.leaves if socket or "{socket}" not in name)
    volumes = {volume["image"] for volume in declaration["volumes"]}
    return frozenset(name.replace("{socket}", socket or "") for name in names) - volumes
