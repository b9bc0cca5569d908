# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verify that a host has what the interfaces of its MicroVMs need: bridges, links, names, ports."""

from __future__ import annotations

import os
from typing import Iterator, Sequence, Tuple

from ....declaration.types import Interface
from ....declaration.vms.parse import Declaration
from ....host import files
from ....schema.errors import DeclarationError
from .expected import Placed

_TUN = "/dev/net/tun"
_INTERFACES = "/sys/class/net"

_PORT_START = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
"""First port that everybody may listen on (ip-sysctl of the kernel's documentation)."""


def check_interfaces(placed: Placed, awaited: Sequence[str] = ()) -> None:
    """Taps must not have another interface's name, and bridges must exist, but for ``awaited`` ones; so must links.

    Raises DeclarationError.
    """
    for path, declaration in placed:
        for index, macvtap in _of_type(declaration, "macvtap"):
            _refuse_other_interface(macvtap, awaited, "macvtap", f"{path}.interfaces[{index}].id")
            link = macvtap["macvtap"]["link"]
            if link and not os.path.exists(f"{_INTERFACES}/{link}"):
                raise DeclarationError(
                    f"{path}.interfaces[{index}].macvtap.link",
                    f"there is no interface {link!r} on this host; correct the name, or bring the interface first",
                )
        for index, tap in taps(declaration):
            bridge = tap["bridge"]
            _refuse_other_interface(tap, awaited, "tun_flags", f"{path}.interfaces[{index}].id")
            if bridge and bridge not in awaited and not os.path.isdir(f"{_INTERFACES}/{bridge}/bridge"):
                raise DeclarationError(
                    f"{path}.interfaces[{index}].bridge",
                    f"there is no bridge {bridge!r} on this host; declare it in microvm_networks or correct the name",
                )


def _refuse_other_interface(interface: Interface, awaited: Sequence[str], mark: str, path: str) -> None:
    """Refuse a name that the host uses for something else than what has a ``mark`` in sysfs."""
    identity, place = interface["id"], f"{_INTERFACES}/{interface['id']}"
    if identity in awaited or (os.path.exists(place) and not os.path.exists(f"{place}/{mark}")):
        raise DeclarationError(
            path,
            f"the host has, or will have, an interface {identity!r} that is not a {interface['type']}; choose another "
            "name",
        )


def check_tun(placed: Placed) -> None:
    """Refuse taps on a host whose kernel has none. Raises DeclarationError."""
    for path, declaration in placed:
        if list(taps(declaration)) and not os.path.exists(_TUN):
            raise DeclarationError(f"{path}.interfaces", f"this host's kernel has no {_TUN}; load the module tun")


def check_ports(placed: Placed) -> None:
    """Refuse ports of the host that only root may listen on: no hypervisor runs as root. Raises DeclarationError."""
    forwarded = [(path, index, port) for path, vm in placed for index, port in enumerate(vm["forward_ports"])]
    first = int(files.read_text(_PORT_START) or "1024") if forwarded else 0
    for path, index, port in forwarded:
        number = port["host"]["port"]
        if port["from"] == "host" and number < first:
            raise DeclarationError(
                f"{path}.forward_ports[{index}].host.port",
                f"{number} is a port that only root may listen on, and hypervisors run as users without privileges; "
                f"use {first} or greater, or allow it on this host (`sysctl "
                f"net.ipv4.ip_unprivileged_port_start={number}`)",
            )


def taps(declaration: Declaration) -> Iterator[Tuple[int, Interface]]:
    """Yield the interfaces that are taps, with their positions."""
    return _of_type(declaration, "tap")


def _of_type(declaration: Declaration, kind: str) -> Iterator[Tuple[int, Interface]]:
    return ((index, each) for index, each in enumerate(declaration["interfaces"]) if each["type"] == kind)
