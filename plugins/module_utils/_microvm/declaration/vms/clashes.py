# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find what two MicroVMs of a host must not share: names, addresses, identities, devices."""

from __future__ import annotations

import ipaddress
from typing import Callable, Dict, Iterator, Sequence, Tuple

from ...schema.errors import DeclarationError
from ..types import PackagedVm


def reachable_addresses(declaration: PackagedVm) -> Iterator[Tuple[str, str]]:
    """Yield static addresses that the host reaches, each with its key; user networks are each by itself."""
    for index, (interface, network) in enumerate(zip(declaration["interfaces"], declaration["guest"]["networks"])):
        if interface["type"] != "user":
            for position, address in enumerate(network["addresses"]):
                yield f"guest.networks[{index}].addresses[{position}]", str(ipaddress.ip_interface(address).ip)


def _identities(declaration: PackagedVm) -> Iterator[Tuple[str, str, str]]:
    """Yield what no two MicroVMs of a host may share: kind, value, key."""
    yield "name", declaration["name"], "name"
    if declaration.get("state") == "absent":
        return
    yield "machine id", declaration["machine_id"], "machine_id"
    if declaration["vsock"]["cid"] is not None:
        yield "context identifier", str(declaration["vsock"]["cid"]), "vsock.cid"
    for index, device in enumerate(declaration["devices"]):
        yield "device", device["path"], f"devices[{index}].path"
    for index, interface in enumerate(declaration["interfaces"]):
        if interface["type"] != "user":
            yield "interface", interface["id"], f"interfaces[{index}].id"
            yield "MAC address", interface["mac"], f"interfaces[{index}].mac"
    for index, volume in enumerate(declaration["volumes"]):
        if volume["image"].startswith("/") and not volume["read_only"]:
            yield "writable image", volume["image"], f"volumes[{index}].image"
    for place, address in reachable_addresses(declaration):
        yield "address", address, place


def clashes(
    declarations: Sequence[PackagedVm], name: Callable[[int], str], installed: Sequence[PackagedVm] = ()
) -> Iterator[Tuple[int, DeclarationError]]:
    """Yield clashes by the index of the second MicroVM; ``name`` is how a MicroVM of an index is called."""
    owners: Dict[Tuple[str, str], str] = {}
    for vm in installed:
        for what, value, _place in _identities(vm):
            owners.setdefault((what, value), f"the MicroVM {vm['name']!r}, which is on the host")
    for index, declaration in enumerate(declarations):
        for what, value, place in _identities(declaration):
            owner = f"{name(index)}.{place}"
            other = owners.setdefault((what, value), owner)
            if other != owner:
                message = f"the {what} {value!r} is already used by {other}; it must be unique on a host"
                yield index, DeclarationError(place, message)
