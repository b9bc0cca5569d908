# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conversations with hostile peers, over real sockets: each ends in time, takes little memory, and is a plain error."""

from __future__ import annotations

import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import peer, qmp
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.deadline import Deadline

GREETING = b'{"QMP": {"version": {}, "capabilities": []}}\n'
SECONDS = 0.5
MOST_SECONDS = 60
"""Limit of what ends after ``SECONDS``, however busy the machine is, and otherwise never."""
PATIENCE = 60
"""Time limit of what is answered at once."""
MOST_MEMORY = 4 << 20
"""Bytes that a conversation may take, whatever is sent."""

Behaviour = Callable[[socket.socket], None]


def forever(data: bytes, pause: float = 0.0) -> Behaviour:
    """Send the same again and again."""

    def behave(connection: socket.socket) -> None:
        while True:
            connection.sendall(data)
            time.sleep(pause)

    return behave


def stay(data: bytes) -> Behaviour:
    """Send something, and nothing more."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(data)
        while connection.recv(4096):
            pass

    return behave


def once(data: bytes) -> Behaviour:
    """Send something, and nothing more, which the other side can see."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    return behave


@contextmanager
def hypervisor(path: Path, behave: Behaviour) -> Iterator[str]:
    """Serve one client at a socket."""

    def serve() -> None:
        with suppress(OSError):
            connection, _address = server.accept()
            with connection, suppress(OSError):
                behave(connection)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path / "s"))
        server.listen()
        server.settimeout(PATIENCE)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield str(path / "s")
        thread.join(timeout=10)


FLOODS = {
    "a flood without a line break": forever(b"x" * 65536),
    "a flood of answers to something else": forever(b'{"event": "RESUME"}\n' * 4096),
    "a flood of empty objects": forever(b"{}\n" * 16384),
    "a drip": forever(b" ", 0.02),
    "a drip of lines": forever(b"{}\n", 0.02),
    "half a line": stay(b'{"QMP": '),
    "silence": stay(b""),
    "silence after the greeting": stay(GREETING),
}

NONSENSE = {
    "nothing": b"",
    "an empty line": b"\n",
    "deeply nested lists": b"[" * 60000 + b"\n",
    "deeply nested objects": b'{"return":' * 6000 + b"\n",
    "a list": b"[]\n",
    "a string": b'"QMP"\n',
    "null": b"null\n",
    "a huge number": b"9" * 60000 + b"\n",
    "bytes that are no UTF-8": b'{"QMP": "\xff\xfe"}\n',
    "UTF-16": '{"QMP": {}}\n'.encode("utf-16"),
    "null bytes": b"\0" * 1000 + b"\n",
    "an object without an answer": GREETING + b'{"return": []}\n{"return": {"status": 7}}\n',
    "an answer that is an error": GREETING + b'{"error": {"desc": "\\u001b[2J no"}}\n',
    "an error that is no object": GREETING + b'{"error": ["x"]}\n',
}


@pytest.mark.parametrize("behave", FLOODS.values(), ids=FLOODS.keys())
def test_an_endless_answer_ends_in_time_and_takes_little_memory(tmp_path: Path, behave: Behaviour) -> None:
    begin = time.monotonic()
    tracemalloc.start()
    try:
        with hypervisor(tmp_path, behave) as path, pytest.raises(OSError) as caught:
            try:
                qmp.status(path, Deadline(SECONDS))
            finally:
                seconds, memory = time.monotonic() - begin, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seconds < MOST_SECONDS
    assert memory < MOST_MEMORY
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("data", NONSENSE.values(), ids=NONSENSE.keys())
def test_nonsense_is_a_plain_error(tmp_path: Path, data: bytes) -> None:
    with hypervisor(tmp_path, once(data)) as path, pytest.raises(OSError) as caught:
        qmp.status(path, Deadline(PATIENCE))
    assert isinstance(caught.value, (peer.PeerError, ConnectionError))
    assert str(caught.value).isprintable() and len(str(caught.value)) < 700


@pytest.mark.parametrize("status", ["running", "paused"])
def test_the_status_is_read_between_events(tmp_path: Path, status: str) -> None:
    answer = f'{{"return": {{}}}}\n{{"event": "RESUME"}}\n{{"return": {{"status": "{status}"}}}}\n'
    with hypervisor(tmp_path, once(GREETING + answer.encode())) as path:
        assert qmp.status(path, Deadline(PATIENCE)) == status


def test_a_status_that_is_hostile_is_made_printable(tmp_path: Path) -> None:
    answer = b'{"return": {}}\n{"return": {"status": "\\u001b]0;x\\u0007\\ud800"}}\n'
    with hypervisor(tmp_path, once(GREETING + answer)) as path:
        assert qmp.status(path, Deadline(PATIENCE)) == r"\x1b]0;x\x07\ud800"


def test_a_peer_that_reads_nothing_is_not_waited_for(tmp_path: Path) -> None:
    has_ended = threading.Event()

    def behave(_connection: socket.socket) -> None:
        # The end of the connection would be another error.
        has_ended.wait(MOST_SECONDS)

    with hypervisor(tmp_path, behave) as path:
        with pytest.raises(peer.PeerError, match="in time"), peer.connect_unix(path, Deadline(SECONDS)) as other:
            other.send(b"x" * (16 << 20))
        has_ended.set()


def test_lines_are_read_one_by_one_up_to_their_limit(tmp_path: Path) -> None:
    with (
        hypervisor(tmp_path, once(b"one\n\ntwo\n" + b"x" * 9 + b"\n")) as path,
        peer.connect_unix(path, Deadline(PATIENCE)) as other,
    ):
        assert [other.line(8), other.line(8), other.line(8)] == [b"one", b"", b"two"]
        with pytest.raises(peer.PeerError, match="more than 8 bytes"):
            other.line(8)


def test_a_port_that_nobody_answers_at_is_not_waited_for() -> None:
    begin = time.monotonic()
    with pytest.raises(OSError, match=r"in time|unreachable|refused"):
        peer.connect_tcp("192.0.2.1", 9, Deadline(SECONDS))
    # The kernel would try for two minutes.
    assert time.monotonic() - begin < MOST_SECONDS


def test_no_name_is_looked_up() -> None:
    with pytest.raises(OSError, match=r"not known|not supported"):
        peer.connect_tcp("localhost", 9, Deadline(SECONDS))
