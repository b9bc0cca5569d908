# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Readiness against real sockets."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import readiness, systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.deadline import Deadline
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.readiness import Readiness, check_readiness


def ready(check: str, port: int = 1, control_socket: str = "/nonexistent") -> Readiness:
    return Readiness("microvm@x.service", check, "127.0.0.1", port, 1, control_socket)


def look(wanted: Readiness) -> str | None:
    """Look once, with much time."""
    return check_readiness(wanted, Deadline(60))


@contextmanager
def serving(server: socket.socket, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """Serve the answer to one client."""

    def accept() -> None:
        connection, _address = server.accept()
        with connection:
            answer(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield
    thread.join(timeout=10)


@pytest.mark.parametrize(
    ("greeting", "check", "is_ready"),
    [(b"SSH-2.0-x\r\n", "ssh", True), (b"HTTP/1.1 400\r\n", "ssh", False), (b"", "ssh", False), (b"", "tcp", True)],
)
def test_a_guest_is_ready_when_its_port_answers(greeting: bytes, check: str, is_ready: bool) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        serving(server, lambda connection: connection.sendall(greeting)),
    ):
        seen = look(ready(check, server.getsockname()[1]))
    assert (seen is None) == is_ready


def test_a_closed_port_is_reported() -> None:
    assert "refused" in str(look(ready("ssh")))
    assert "No such file" in str(look(ready("hypervisor")))


@pytest.mark.parametrize(("status", "is_ready"), [("running", True), ("internal-error", False)])
def test_a_guest_is_ready_when_qmp_reports_that_it_runs(tmp_path: Path, status: str, is_ready: bool) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b'{"QMP": {}}\n')
        connection.recv(4096)
        state = {"status": status, "running": is_ready}
        connection.sendall(b'{"return": {}}\n' + json.dumps({"return": state}).encode() + b"\n")

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        with serving(server, answer):
            seen = look(ready("hypervisor", control_socket=str(tmp_path / "s")))
    assert (seen is None) == is_ready


@pytest.mark.parametrize("is_read", [True, False])
def test_a_run_that_nobody_listens_to_any_more_ends(monkeypatch: pytest.MonkeyPatch, is_read: bool) -> None:
    reader, writer = os.pipe()
    monkeypatch.setattr(readiness, "STDOUT", writer)
    monkeypatch.setattr(systemd, "show", lambda names: {names[0]: systemd.Unit("loaded", "active", "running")})
    monkeypatch.setattr(systemd, "journal", lambda _name: "")
    if not is_read:
        os.close(reader)
    try:
        with pytest.raises(HostError, match="not up after 1 s" if is_read else "nobody reads"):
            readiness.wait(ready("tcp"))
    finally:
        os.close(writer)
        if is_read:
            os.close(reader)


@pytest.mark.parametrize(("answer", "is_ready"), [(b"OK 1073741824\n", True), (b"", False)])
def test_a_vsock_behind_a_unix_socket_is_connected(tmp_path: Path, answer: bytes, is_ready: bool) -> None:
    """A server stands in for Firecracker, which answers where the guest listens, and hangs up where it does not."""
    (tmp_path / "vsock-socket").write_text("x.vsock\n")
    asked = []

    def serve(connection: socket.socket) -> None:
        asked.append(connection.recv(64))
        connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "x.vsock"))
        server.listen()
        wanted = replace(ready("vsock", 22, str(tmp_path / "x.sock")), vsock_socket=str(tmp_path / "vsock-socket"))
        with serving(server, serve):
            seen = look(wanted)
    assert asked == [b"CONNECT 22\n"]
    assert (seen is None) == is_ready


@pytest.mark.parametrize("check", ["ssh", "hypervisor"])
def test_a_guest_that_drips_does_not_outlast_the_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    monkeypatch.setattr(readiness, "_is_abandoned", lambda: False)
    monkeypatch.setattr(systemd, "show", lambda names: {names[0]: systemd.Unit("loaded", "active", "running")})
    monkeypatch.setattr(systemd, "journal", lambda _name: "")
    begin = time.monotonic()
    with dripping(tmp_path / "s") as port, pytest.raises(HostError, match=f"not up after 1 s.*checked {check}"):
        readiness.wait(ready(check, port, str(tmp_path / "s")))
    assert time.monotonic() - begin < 1.6


@contextmanager
def dripping(path: Path) -> Iterator[int]:
    """Serve a byte now and then at a socket and at a port, to whoever comes."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as port, socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        threads = [threading.Thread(target=_drip, args=(each, stop), daemon=True) for each in (port, server)]
        for thread in threads:
            thread.start()
        yield port.getsockname()[1]
        stop.set()
        for thread in threads:
            thread.join(timeout=10)


def _drip(server: socket.socket, stop: threading.Event) -> None:
    server.settimeout(0.1)
    while not stop.is_set():
        try:
            connection, _address = server.accept()
        except TimeoutError:
            continue
        with connection:
            try:
                while not stop.wait(0.05):
                    connection.sendall(b"x")
            except OSError:
                pass


def test_what_a_guest_says_is_fit_for_a_terminal() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        serving(server, lambda connection: connection.sendall(b"\x1b]0;owned\x07\x9b2J\xff220 mail\r\n")),
    ):
        seen = look(ready("ssh", server.getsockname()[1]))
    assert seen is not None and seen.isprintable() and "220 mail" in seen


def test_a_unit_that_is_started_again_and_again_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    active = systemd.Unit(active_state="active", restarts="0")
    looping = [replace(active, restarts=str(number)) for number in (1, 2, 3)]
    answers = [*looping, systemd.Unit(active_state="failed", result="start-limit-hit")]
    monkeypatch.setattr(readiness, "SETTLE_SECONDS", 0)
    monkeypatch.setattr(readiness, "_is_abandoned", lambda: False)
    monkeypatch.setattr(systemd, "journal", lambda _name: "")
    monkeypatch.setattr(systemd, "show", lambda names: {"stays": active, "loops": answers.pop(0)})
    errors = readiness.settle({"stays": 10, "loops": 10})
    assert list(errors) == ["loops"] and "start-limit-hit" in str(errors["loops"]) and answers == []


def test_a_guest_that_has_rebooted_once_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [systemd.Unit(active_state="active", restarts="1")] * 2
    monkeypatch.setattr(readiness, "SETTLE_SECONDS", 0)
    monkeypatch.setattr(readiness, "_is_abandoned", lambda: False)
    monkeypatch.setattr(systemd, "show", lambda names: {"reboots": answers.pop()})
    assert readiness.settle({"reboots": 10}) == {} and answers == []
