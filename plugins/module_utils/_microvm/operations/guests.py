# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Predicates of guests that are up: as a declaration says, or as far as that is recorded on the host."""

from __future__ import annotations

from typing import Optional

from ..declaration.names import BOOTED_LINK, CURRENT_LINK, unit_name
from ..declaration.types import Ready
from ..declaration.vms.parse import Declaration
from ..host import files
from ..host.places import Places
from ..host.readiness import Readiness

VSOCK_SOCKET_FILE = "share/microvm/vsock-socket"
"""File of a package that names the Unix socket which the guest's vsock is behind, where it is behind one."""

UNIT_ALONE: Ready = {"check": "none", "address": None, "port": 22, "timeout": 300}
"""Predicate where nothing is recorded: the unit stays."""


def readiness_of(declaration: Declaration, places: Places) -> Readiness:
    """Return the predicate that a declaration asks for."""
    return _readiness(
        declaration["name"], declaration["ready"], declaration["socket"], declaration["vsock"]["cid"], places
    )


def recorded_readiness(name: str, places: Places, package: Optional[str] = None) -> Readiness:
    """Return the predicate of a MicroVM that is on the host, as far as it is recorded.

    ``package`` is the one that it will run; by default the current one.
    """
    record = places.records.read(name)
    declaration = places.declaration(package or files.link_target(places.state(name, CURRENT_LINK)))
    ready = (record.ready if record else None) or UNIT_ALONE
    socket = declaration["socket"] if declaration else None
    return _readiness(name, ready, socket, declaration["vsock"]["cid"] if declaration else None, places)


def _readiness(
    name: str, ready: Ready, socket: Optional[str], context_identifier: Optional[int], places: Places
) -> Readiness:
    return Readiness(
        unit=unit_name(name),
        check=ready["check"],
        address=ready["address"],
        port=ready["port"],
        timeout=ready["timeout"],
        control_socket=places.real_work(name, socket or ""),
        context_identifier=context_identifier,
        vsock_socket=places.state(name, BOOTED_LINK, VSOCK_SOCKET_FILE),
    )
