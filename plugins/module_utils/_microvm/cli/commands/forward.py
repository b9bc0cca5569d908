# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm forward``."""

from __future__ import annotations

import sys
from argparse import Namespace

from ...host import peer
from ...host.commands import HostError
from ...host.deadline import Deadline
from ...host.places import Places
from ...host.relay import relay
from ...operations.guest_login import declared_address
from ...operations.info import Information, inform
from ...operations.lifecycle import require
from ...runner.package import VSOCK_SOCKET_FILE
from ..host import places

CONNECT_SECONDS = 30.0
"""Time limit for the guest to accept the connection."""


def forward(arguments: Namespace) -> int:
    """``microvm forward``."""
    where = places(arguments)
    require(arguments.name, where)
    vm = inform(where, [arguments.name])[0]
    try:
        connection, received = _connect(vm, where, arguments.port).detach()
    except OSError as error:
        raise HostError(f"port {arguments.port} of {arguments.name} cannot be reached: {error}") from None
    with connection:
        relay(connection, received, sys.stdin.fileno(), sys.stdout.fileno())
    return 0


def _connect(vm: Information, where: Places, port: int) -> peer.Peer:
    """Connect to a port of a guest. Raises OSError, and HostError where no way to the guest is known."""
    deadline = Deadline(CONNECT_SECONDS)
    address = declared_address(vm, where) or next(iter(vm["dhcp_addresses"]), None)
    if address is not None:
        return peer.connect_tcp(address, port, deadline)
    socket = where.store.read(vm["booted"] or vm["current"] or "", VSOCK_SOCKET_FILE).strip()
    if socket:
        return peer.connect_multiplexer(where.work(vm["name"], socket), port, deadline)
    if vm["vsock_cid"] is not None:
        return peer.connect_vsock(vm["vsock_cid"], port, deadline)
    raise HostError(
        f"no address of {vm['name']} is known; if it is starting, wait until it has one, else declare a static address "
        "(guest.networks[].addresses, ready.address) or a vsock (vsock.cid)"
    )
