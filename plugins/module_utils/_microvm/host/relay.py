# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies between a connection and two descriptors, such as standard input and output."""

from __future__ import annotations

import os
import socket
import threading

RELAY_BYTES = 1 << 16
"""Bytes that are copied at once."""


def relay(connection: socket.socket, received: bytes, source: int, target: int) -> None:
    """Copy both ways until the other side has sent its last byte; ``received`` is what it has sent already.

    Each direction has a thread of its own, so that one that waits does not keep the other waiting. The end of the
    source is passed on. Raises OSError where the target takes no more.
    """
    threading.Thread(target=_send, args=(source, connection), daemon=True).start()
    data = received or _receive(connection)
    while data:
        _write(target, data)
        data = _receive(connection)


def _receive(connection: socket.socket) -> bytes:
    """Return the next bytes; none at the end, however the other side has ended."""
    try:
        return connection.recv(RELAY_BYTES)
    except ConnectionError:
        return b""


def _send(source: int, connection: socket.socket) -> None:
    try:
        data = os.read(source, RELAY_BYTES)
        while data:
            connection.sendall(data)
            data = os.read(source, RELAY_BYTES)
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        # The other direction sees the end, too.
        return


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]
