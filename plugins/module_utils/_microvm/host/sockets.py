# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sockets at which the host itself listens or somebody is connected to it, of the kernel's tables (proc_pid_net(5))."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import sys
from dataclasses import dataclass
from typing import Iterator, List, Tuple

from . import files
from .own_addresses import LISTENING, PROC, socket_rows, sockets_of

_TABLES = (("tcp", "tcp"), ("tcp", "tcp6"), ("udp", "udp"), ("udp", "udp6"))
_WAITING = {"tcp": LISTENING, "udp": "07"}
"""States of sockets that wait for anybody: TCP_LISTEN, and TCP_CLOSE of a socket of UDP that is connected to nobody."""
_ESTABLISHED = "01"
_CHOSEN_PORTS = "sys/net/ipv4/ip_local_port_range"
_RESERVED_PORTS = 1024
"""Ports below this one are of services, or of clients that show so that they are of root (rresvport(3))."""
_NFS = 2049


@dataclass(frozen=True)
class ListeningSocket:
    """Socket that takes what comes from anybody to a port."""

    proto: str
    address: str
    """Address that it is bound to; ``0.0.0.0`` or ``::`` for all."""
    port: int
    inode: int = 0


@dataclass(frozen=True)
class Connection:
    """Connection of somebody to a port of the host, by TCP."""

    address: str
    """Address of the host that the peer has connected to."""
    port: int
    peer: str
    peer_port: int = 0
    inode: int = 0


def listening_sockets() -> List[ListeningSocket]:
    """Return the sockets at which the host listens; none of a protocol that the kernel does not have."""
    return [socket for proto, table in _TABLES for socket in _of_table(proto, os.path.join(PROC, "net", table))]


def _of_table(proto: str, path: str) -> Iterator[ListeningSocket]:
    for columns in socket_rows(path):
        if columns[3] == _WAITING[proto]:
            address, port = _place(columns[1])
            yield ListeningSocket(proto, address, port, int(columns[9]))


def connections_to_host() -> List[Connection]:
    """Return the established connections to ports of the host, whether or not anything listens there any more.

    Ports that the kernel chooses for connections to others are left out, and so are connections to services of others
    from ports at which nothing listens, such as those of NFS from reserved ports.
    """
    chosen = [int(word) for word in (files.read_text(os.path.join(PROC, _CHOSEN_PORTS)) or "").split()]
    connections = (each for table in ("tcp", "tcp6") for each in _connections(os.path.join(PROC, "net", table)))
    waiting = {socket.port for socket in listening_sockets() if socket.proto == "tcp"}
    return [
        each
        for each in connections
        if not (chosen and chosen[0] <= each.port <= chosen[1])
        and (each.port in waiting or not (each.peer_port < _RESERVED_PORTS or each.peer_port == _NFS))
    ]


def _connections(path: str) -> Iterator[Connection]:
    for columns in socket_rows(path):
        if columns[3] == _ESTABLISHED:
            yield Connection(*_place(columns[1]), *_place(columns[2]), int(columns[9]))


def _place(text: str) -> Tuple[str, int]:
    """Return an address and a port."""
    address, _colon, port = text.partition(":")
    return _address(address), int(port, 16)


def _address(text: str) -> str:
    """Return an address that is written as words of the processor, each in hexadecimal digits."""
    words = (int(text[start : start + 8], 16) for start in range(0, len(text), 8))
    octets = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    address = ipaddress.ip_address(octets)
    # A socket of both families has connections by IPv4 at ::ffff:a.b.c.d.
    return str((address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None) or address)


def describe_owner(inode: int) -> str:
    """Return the process that has a socket, and its unit, as messages name them; the kernel has some by itself."""
    for process in sorted(filter(str.isdecimal, os.listdir(PROC)), key=int):
        if str(inode) in sockets_of([process]):
            return f"{_read(process, 'comm') or 'a program'} (process {process}{_unit(process)})"
    return "a program"


def _read(process: str, name: str) -> str:
    with contextlib.suppress(OSError), open(os.path.join(PROC, process, name), encoding="utf-8") as file:
        return file.read().strip()
    return ""


def _unit(process: str) -> str:
    groups = _read(process, "cgroup").replace("\n", "/").split("/")
    units = [group for group in groups if group.endswith(".service")]
    return f" of {units[-1]}" if units else ""
