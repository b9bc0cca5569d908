# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare interfaces with the networks that they name: of mode macvtap are those of interfaces of this type. Pure."""

from __future__ import annotations

from typing import Sequence

from ...schema.errors import DeclarationError
from ..networks.macvtap import MACVTAP, is_macvtap
from ..types import Network, PackagedVm


def refuse_other_kind(
    declaration: PackagedVm, networks: Sequence[Network], path: str, are_complete: bool = True
) -> None:
    """Refuse interfaces that their network cannot take. Raises DeclarationError with a path below ``path``.

    Unless ``networks`` are all that the host has, interfaces that name another one are not looked at.
    """
    by_name = {network["name"]: network for network in networks}
    for index, interface in enumerate(declaration["interfaces"]):
        network = by_name.get(interface["bridge"] or "")
        if network is None and not are_complete:
            continue
        if interface["type"] == MACVTAP and interface["bridge"] and (network is None or not is_macvtap(network)):
            raise DeclarationError(
                f"{path}.interfaces[{index}].bridge",
                f"there is no network {interface['bridge']!r} with mode macvtap on this host; declare it in "
                "microvm_networks, correct the name, or set type to tap for a bridge",
            )
        if interface["type"] != MACVTAP and network is not None and is_macvtap(network):
            raise DeclarationError(
                f"{path}.interfaces[{index}].type",
                f"the network {network['name']!r} has mode macvtap (microvm_networks); set type to macvtap",
            )
