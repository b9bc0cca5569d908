# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conversations with what a guest, or the user of its hypervisor, controls.

Whoever answers may send without end, or a byte now and then, or nothing at all. So a conversation has one deadline, for
the connection and for all that is sent and read, and limits of a line and of the whole. All protocols that root speaks
to guests and hypervisors go by this module.
"""

from __future__ import annotations

import json
import socket
from types import TracebackType
from typing import Dict, Optional, Tuple, Type

from ..schema.excerpts import excerpt
from . import unix
from .deadline import Deadline

LINE_BYTES = 1 << 16
"""Limit of one line; the longest of QEMU's are a few hundred bytes."""

CONVERSATION_BYTES = 1 << 20
"""Limit of all that is read: QEMU reports events between its answers."""

BLOCK = 1 << 12
"""Bytes that are read at once."""

QUOTED_CHARACTERS = 80

ANSWER_BYTES = 256
"""Limit of the answer of a hypervisor that connects to a vsock."""


class PeerError(ConnectionError):
    """Failure of a conversation: the other side says nothing, too much, or nonsense."""


class Peer:
    """The other side of a connection. All methods raise OSError, of which PeerError is one."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection, self._deadline = connection, deadline
        self._buffer = bytearray()
        self._read_bytes = 0

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, _type: Optional[Type[BaseException]], _error: Optional[BaseException], _trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the conversation."""
        self._connection.close()

    def detach(self) -> Tuple[socket.socket, bytes]:
        """Return the connection, for a conversation without an end, and what has been received already."""
        self._connection.settimeout(None)
        return self._connection, bytes(self._buffer)

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._connection.settimeout(_seconds(self._deadline))
        try:
            # The timeout is that of the whole, not of each part (socket.sendall).
            self._connection.sendall(data)
        except socket.timeout:
            raise _late() from None

    def line(self, limit: int = LINE_BYTES) -> bytes:
        """Return the next line without its line break."""
        while True:
            end = self._buffer.find(b"\n", 0, limit + 1)
            if end >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                return line
            if len(self._buffer) > limit:
                raise PeerError(f"the answer has a line of more than {limit} bytes: {quotation(bytes(self._buffer))}")
            self._receive()

    def message(self) -> Dict[str, object]:
        """Return the next line, which is a JSON object."""
        line = self.line()
        try:
            value = json.loads(line.decode())
        except (ValueError, RecursionError):
            raise PeerError(f"the answer is not JSON: {quotation(line)}") from None
        if not isinstance(value, dict):
            raise PeerError(f"the answer is not a JSON object: {quotation(line)}")
        return value

    def _receive(self) -> None:
        self._connection.settimeout(_seconds(self._deadline))
        try:
            data = self._connection.recv(BLOCK)
        except socket.timeout:
            raise _late(bytes(self._buffer)) from None
        if not data:
            raise PeerError(f"the connection was closed{_after(bytes(self._buffer))}")
        self._read_bytes += len(data)
        if self._read_bytes > CONVERSATION_BYTES:
            raise PeerError(f"the answer has more than {CONVERSATION_BYTES} bytes")
        self._buffer += data


def connect_unix(path: str, deadline: Deadline) -> Peer:
    """Connect to the socket of a hypervisor."""
    return Peer(unix.connect(path, _seconds(deadline)), deadline)


def connect_tcp(address: Optional[str], port: int, deadline: Deadline) -> Peer:
    """Connect to a port of a guest, whose address is a number: no name is looked up, which could take long."""
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    family, kind, protocol, _name, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=flags)[0]
    return _connect(socket.socket(family, kind, protocol), place, deadline)


def connect_vsock(context_identifier: Optional[int], port: int, deadline: Deadline) -> Peer:
    """Connect to a port of a guest's vsock(7)."""
    return _connect(socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM), (context_identifier, port), deadline)


def connect_multiplexer(path: str, port: int, deadline: Deadline) -> Peer:
    """Connect to a port of a vsock behind the hypervisor's Unix socket (Firecracker's docs/vsock.md)."""
    hypervisor = connect_unix(path, deadline)
    try:
        hypervisor.send(f"CONNECT {port}\n".encode())
        if not hypervisor.line(ANSWER_BYTES).startswith(b"OK "):
            raise PeerError(f"port {port} of the vsock does not answer")
    except BaseException:
        hypervisor.close()
        raise
    return hypervisor


def _connect(connection: socket.socket, place: Tuple[object, ...], deadline: Deadline) -> Peer:
    try:
        connection.settimeout(_seconds(deadline))
        connection.connect(place)
    except socket.timeout:
        connection.close()
        raise _late() from None
    except BaseException:
        connection.close()
        raise
    return Peer(connection, deadline)


def _seconds(deadline: Deadline) -> float:
    """Return the time limit of one call; 0 would mean that it does not wait at all."""
    if deadline.is_over:
        raise _late()
    return deadline.remaining


def _late(heard: bytes = b"") -> PeerError:
    return PeerError(f"there is no answer in time{_after(heard)}")


def _after(heard: bytes) -> str:
    return f", after {quotation(heard)}" if heard else ""


def quotation(data: bytes) -> str:
    """Return the beginning of bytes of somebody else's, for a message."""
    return f'"{excerpt(data[:LINE_BYTES].decode(errors="backslashreplace"), QUOTED_CHARACTERS)}"'
