# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The relay of notifications hears its own guest, and passes on only that it is up. TCP stands for vsock(7) here."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import notification_relay as module
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.deadline import Deadline
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.notification_relay import (
    NotificationRelay,
    deliver,
    relay_notification,
)

GUEST, STRANGER = 42, 43
READY = b"READY=1\nSTATUS=Startup finished in 1.4s."


class Listener:
    """Listener whose senders have the context identifiers that the test gives, in this order."""

    def __init__(self) -> None:
        self.senders: List[int] = []
        self.inner = socket.create_server(("127.0.0.1", 0))

    def fileno(self) -> int:
        """Return the descriptor, for select(2)."""
        return self.inner.fileno()

    def setblocking(self, flag: bool) -> None:
        """See socket.setblocking."""
        self.inner.setblocking(flag)

    def accept(self) -> Tuple[socket.socket, Tuple[int, int]]:
        """Accept as vsock(7) does."""
        connection, _place = self.inner.accept()
        return connection, (self.senders.pop(0), 1)


class Running:
    """Relay that runs beside the test."""

    def __init__(self) -> None:
        self.listener = Listener()
        # A listener is all that it needs to be.
        listener: Any = self.listener
        self.thread = threading.Thread(target=NotificationRelay(listener, GUEST).wait, daemon=True)
        self.thread.start()

    def connect(self, sender: int) -> socket.socket:
        """Connect as a sender."""
        self.listener.senders.append(sender)
        return socket.create_connection(self.listener.inner.getsockname(), timeout=30)

    def send(self, sender: int, *parts: bytes) -> bytes:
        """Send a message as systemd does, and return what is read until the relay has closed."""
        with self.connect(sender) as connection:
            for part in parts:
                connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            return until_closed(connection)

    def has_ended(self, seconds: float = 30) -> bool:
        """Return whether the relay has ended within some seconds."""
        self.thread.join(seconds)
        return not self.thread.is_alive()


def until_closed(connection: socket.socket) -> bytes:
    """Return what the other side sends before it closes, in whatever way it does."""
    try:
        return connection.recv(1)
    except ConnectionError:
        return b""


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no message be late on a busy machine."""
    monkeypatch.setattr(module, "MESSAGE_SECONDS", 600.0)


@pytest.fixture
def relay() -> Iterator[Running]:
    """A relay that waits, and still hears its guest after the test."""
    running = Running()
    yield running
    assert not running.has_ended(0)
    running.send(GUEST, READY)
    assert running.has_ended()
    running.listener.inner.close()


def test_the_relay_ends_when_its_guest_is_up() -> None:
    running = Running()
    assert running.send(GUEST, READY[:3], READY[3:]) == b""
    assert running.has_ended()


def test_other_messages_are_heard_and_dropped(relay: Running) -> None:
    assert relay.send(GUEST, b"X_SYSTEMD_HOSTNAME=web\n") == b""
    assert relay.send(GUEST, b"STATUS=READY=1\nREADY=0\n") == b""
    assert relay.send(GUEST) == b""


def test_nobody_else_says_so(relay: Running) -> None:
    with relay.connect(STRANGER) as connection:
        # Closed before anything is read.
        assert until_closed(connection) == b""
    for sender in (STRANGER, 1, 2, 0):
        try:
            relay.send(sender, READY)
        except OSError:
            # Closed while it was sent.
            pass


def test_a_sender_that_says_nothing_keeps_nobody_waiting(relay: Running) -> None:
    with relay.connect(GUEST), relay.connect(GUEST) as unfinished:
        unfinished.sendall(READY[:5])
        assert relay.send(GUEST, b"STATUS=\n") == b""


def test_a_message_ends_at_its_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = module._Message.receive

    def receive_late(message: module._Message, connection: socket.socket) -> bool:
        """Receive what has come, shortly before the time is over."""
        is_unfinished = receive(message, connection)
        message.deadline = message.deadline.within(0.05)
        return is_unfinished

    monkeypatch.setattr(module._Message, "receive", receive_late)
    running = Running()
    with running.connect(GUEST) as connection:
        connection.sendall(READY)
        assert until_closed(connection) == b""
    assert running.has_ended()


def test_a_guest_has_a_limited_number_of_connections(relay: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as limited, relay.connect(GUEST), relay.connect(GUEST) as second:
        limited.setattr(module, "CONNECTIONS", 2)
        with relay.connect(GUEST) as third:
            assert until_closed(third) == b""
        second.settimeout(0.2)
        with pytest.raises(socket.timeout):
            second.recv(1)


def test_a_message_has_a_limited_size(relay: Running) -> None:
    with relay.connect(GUEST) as connection:
        try:
            connection.sendall(b"STATUS=" + bytes(4 * module.MESSAGE_BYTES))
        except OSError:
            # Closed meanwhile.
            pass
        assert until_closed(connection) == b""


def test_only_that_the_guest_is_up_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("microvm.notify")
        receiver.settimeout(30)
        deliver("microvm.notify", Deadline(0))
        assert receiver.recv(1 << 16) == b"READY=1"


def test_a_receiver_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "late")
    with pytest.raises(FileNotFoundError):
        deliver(path, Deadline(0))
    thread = threading.Thread(target=deliver, args=(path, Deadline(30)), daemon=True)
    thread.start()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        receiver.settimeout(30)
        assert receiver.recv(1 << 16) == b"READY=1"
    thread.join(30)


def test_the_relay_is_ready_when_it_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package says for whom and where; systemd is told before the guest is waited for."""
    package, work = tmp_path / "current" / "share" / "microvm", tmp_path / "work"
    package.mkdir(parents=True)
    work.mkdir()
    (package / "vsock-cid").write_text("42\n")
    (package / "notify-port").write_text("1066\n")
    said: List[Tuple[object, ...]] = []

    class Vsock:
        """Socket that records what it is asked for."""

        def __init__(self, family: int, kind: int) -> None:
            said.append((family, kind))

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_error: object) -> None:
            said.append(("closed",))

        def bind(self, place: Tuple[int, int]) -> None:
            """See socket.bind."""
            said.append(place)

        def listen(self, _queue: int) -> None:
            """See socket.listen."""
            said.append(("listens",))

    class Relay:
        """Relay whose guest is up at once."""

        def __init__(self, _listener: Vsock, context: int) -> None:
            said.append(("hears", context))

        def wait(self) -> None:
            """See NotificationRelay.wait."""

    monkeypatch.setattr(socket, "socket", Vsock)
    monkeypatch.setattr(module, "NotificationRelay", Relay)
    monkeypatch.setattr(module, "deliver", lambda path, _deadline: said.append((path, os.getcwd())))
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    monkeypatch.chdir(tmp_path)
    relay_notification(str(tmp_path))
    assert said == [
        (socket.AF_VSOCK, socket.SOCK_STREAM),
        (socket.VMADDR_CID_ANY, 1066),
        ("listens",),
        ("/run/systemd/notify", str(work)),
        ("hears", 42),
        ("closed",),
        ("microvm.notify", str(work)),
    ]
