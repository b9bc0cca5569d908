# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A question to a DNS server, and what counts as the answer."""

from __future__ import annotations

import socket
import struct
import threading
from typing import Callable

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import name_server

ADDRESS = "10.66.1.1"
NAME = "host.microvm0.internal"
QUESTION = b"\x04host\x08microvm0\x08internal\x00\x00\x01\x00\x01"


def answer(question: bytes, code: int = 0, address: str = ADDRESS) -> bytes:
    """Return a message with one address."""
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton(address)
    return question[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, 1, 0, 0) + question[12:] + record


def asked(monkeypatch: pytest.MonkeyPatch, reply: Callable[[bytes], bytes]) -> bool:
    """Ask a server that makes its answer of the question."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        monkeypatch.setattr(name_server, "PORT", server.getsockname()[1])

        def serve() -> None:
            question, asker = server.recvfrom(512)
            assert question[2:] == struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + QUESTION
            server.sendto(reply(question), asker)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            return name_server.resolves("127.0.0.1", NAME, ADDRESS, 60)
        finally:
            thread.join()


def test_the_address_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(monkeypatch, answer)


@pytest.mark.parametrize(
    "reply",
    [
        lambda question: answer(question, code=3),
        lambda question: answer(question, address="10.66.1.2"),
        lambda question: b"\xff\xff" + answer(question)[2:] if question[:2] != b"\xff\xff" else b"",
        lambda question: question,
        lambda question: question[:3],
        lambda question: b"",
    ],
    ids=["error", "another address", "another question", "no record", "short", "empty"],
)
def test_nothing_else_is(monkeypatch: pytest.MonkeyPatch, reply: Callable[[bytes], bytes]) -> None:
    assert not asked(monkeypatch, reply)


def test_nobody_who_listens_is_no_answer_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setattr(name_server, "PORT", free.getsockname()[1])
    assert not name_server.resolves("127.0.0.1", NAME, ADDRESS, 60)
