# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Relay of the notification by which a guest's systemd says over vsock(7) that it is up (``vmm.notify_socket``).

``microvm-notify@NAME.service`` runs it as the MicroVM's own user, from the packed command. Every guest of the host can
connect to every port of the host's vsock, so the context identifier of the sender is looked at, which guests cannot
choose. Of all that a service manager may be told (``MAINPID=``, ``EXTEND_TIMEOUT_USEC=``), only that the guest is up is
passed on.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from typing import Dict, List, Optional

from ..declaration.names import CURRENT_LINK, NOTIFICATION_SOCKET, WORK_DIRECTORY
from .deadline import Deadline

READY = b"READY=1"
"""Line of a message that says so (sd_notify(3))."""

MESSAGE_BYTES = 1 << 16
"""Limit of one message; those of systemd have a few hundred bytes."""

MESSAGE_SECONDS = 5.0
"""Time limit of one message: there is a connection for each."""

CONNECTIONS = 16
"""Messages that a guest may send at a time."""

QUEUE = 4096
"""Connections that wait until they are looked at: other guests may make many."""

DELIVERY_SECONDS = 30.0
"""Time within which the unit of the MicroVM takes the notification."""

POLL_SECONDS = 0.1


class _Message:
    """Message of the guest that is being received."""

    def __init__(self) -> None:
        self.deadline, self.content = Deadline(MESSAGE_SECONDS), bytearray()

    def receive(self, connection: socket.socket) -> bool:
        """Take what has come. Returns whether there may be more."""
        try:
            data = connection.recv(MESSAGE_BYTES)
        except OSError:
            return False
        self.content += data
        return bool(data) and len(self.content) <= MESSAGE_BYTES

    @property
    def is_ready(self) -> bool:
        """Return whether the guest says that it is up."""
        return READY in bytes(self.content).split(b"\n")


class NotificationRelay:
    """Listener for one guest, whose messages come over a connection each."""

    def __init__(self, listener: socket.socket, context: int) -> None:
        self._listener, self._context = listener, context
        self._messages: Dict[socket.socket, _Message] = {}
        listener.setblocking(False)

    def wait(self) -> None:
        """Wait, without an end, until the guest says that it is up."""
        while not self._look():
            pass

    def _look(self) -> bool:
        """Wait until something happens or a message is late. Returns whether the guest is up."""
        seconds = min((message.deadline.remaining for message in self._messages.values()), default=None)
        readable, _writable, _failed = select.select([self._listener, *self._messages], [], [], seconds)
        if self._listener in readable:
            self._accept()
        ended = [each for each in self._messages if each in readable and not self._messages[each].receive(each)]
        late = [each for each, message in self._messages.items() if message.deadline.is_over and each not in ended]
        return self._end([*ended, *late])

    def _accept(self) -> None:
        connection = accepted(self._listener, self._context)
        if connection is None:
            return
        if len(self._messages) < CONNECTIONS:
            connection.setblocking(False)
            self._messages[connection] = _Message()
        else:
            connection.close()

    def _end(self, connections: List[socket.socket]) -> bool:
        """Close connections, whose senders wait for that. Returns whether one of them has said that the guest is up."""
        messages = [self._messages.pop(connection) for connection in connections]
        for connection in connections:
            connection.close()
        return any(message.is_ready for message in messages)


def accepted(listener: socket.socket, context: int) -> Optional[socket.socket]:
    """Return the next connection if it is the guest's; that of anybody else is closed."""
    try:
        connection, (sender, _port) = listener.accept()
    except OSError:
        # The other side has gone meanwhile.
        return None
    if sender == context:
        return connection
    connection.close()
    return None


def deliver(path: str, deadline: Deadline) -> None:
    """Say that all is up to whoever takes datagrams at a path. Raises OSError where nobody takes it in time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        while True:
            try:
                sender.sendto(READY, path.replace("@", "\0", 1) if path[0] == "@" else path)
                return
            except (FileNotFoundError, ConnectionRefusedError):
                # What takes it starts with the hypervisor, and a guest may be fast.
                if deadline.is_over:
                    raise
            time.sleep(POLL_SECONDS)


def relay_notification(state: str) -> None:
    """Relay the notification of the MicroVM with a state directory, then end."""
    package = os.path.join(state, CURRENT_LINK, "share", "microvm")
    context, port = (_number(os.path.join(package, name)) for name in ("vsock-cid", "notify-port"))
    # The address of a Unix socket has room for 107 bytes (unix(7)).
    os.chdir(os.path.join(state, WORK_DIRECTORY))
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as listener:
        listener.bind((socket.VMADDR_CID_ANY, port))
        listener.listen(QUEUE)
        deliver(os.environ["NOTIFY_SOCKET"], Deadline(0))
        NotificationRelay(listener, context).wait()
    deliver(NOTIFICATION_SOCKET, Deadline(DELIVERY_SECONDS))


def _number(path: str) -> int:
    with open(path, encoding="ascii") as file:
        return int(file.read())


if __name__ == "__main__":
    relay_notification(*sys.argv[1:])
