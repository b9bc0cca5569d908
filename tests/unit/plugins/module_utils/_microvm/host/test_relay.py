# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies between a connection and descriptors, in both directions and to their ends."""

from __future__ import annotations

import os
import socket
import threading
from typing import Iterator, Tuple

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import peer
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.deadline import Deadline
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.relay import relay

MEGABYTES = b"0123456789abcdef" * (1 << 18)
"""More than sockets and pipes take without somebody who reads."""


@pytest.fixture
def connected() -> Iterator[Tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    ours, theirs = socket.socketpair()
    ours.settimeout(30)
    theirs.settimeout(30)
    with ours, theirs:
        yield ours, theirs


def answer(server: socket.socket) -> None:
    """Send back all that is received, after its end."""
    received = b""
    data = server.recv(1 << 16)
    while data:
        received += data
        data = server.recv(1 << 16)
    server.sendall(received)
    server.shutdown(socket.SHUT_WR)


def collect(descriptor: int, collected: bytearray) -> None:
    """Read a pipe to its end."""
    with os.fdopen(descriptor, "rb") as file:
        collected += file.read()


def test_both_directions_are_copied_to_their_ends(connected: Tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = connected
    source, writer = os.pipe()
    reader, target = os.pipe()
    collected = bytearray()
    threads = [
        threading.Thread(target=answer, args=(theirs,)),
        threading.Thread(target=collect, args=(reader, collected)),
        threading.Thread(target=lambda: os.fdopen(writer, "wb").write(MEGABYTES)),
    ]
    for thread in threads:
        thread.start()
    relay(ours, b"SSH-2.0", source, target)
    os.close(target)
    for thread in threads:
        thread.join(30)
    os.close(source)
    assert bytes(collected) == b"SSH-2.0" + MEGABYTES


def test_the_end_of_the_other_side_ends_it_though_the_source_stays_open(
    connected: Tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = connected
    source, writer = os.pipe()
    reader, target = os.pipe()
    theirs.sendall(b"bye")
    theirs.close()
    relay(ours, b"", source, target)
    assert os.read(reader, 9) == b"bye"
    for descriptor in (writer, source, reader, target):
        os.close(descriptor)


def test_what_came_with_the_answer_of_a_hypervisor_is_not_lost(connected: Tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = connected
    theirs.sendall(b"OK 1073741824\nSSH-2.0-x\r\n")
    hypervisor = peer.Peer(ours, Deadline(60))
    assert hypervisor.line() == b"OK 1073741824"
    connection, received = hypervisor.detach()
    # It has no time limit any more.
    assert connection is ours and ours.gettimeout() is None
    assert received == b"SSH-2.0-x\r\n"
