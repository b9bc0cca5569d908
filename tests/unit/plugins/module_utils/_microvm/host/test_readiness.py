# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Readiness against real sockets."""

from __future__ import annotations

import contextlib
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
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import (
    deadline,
    host_keys,
    own_addresses,
    readiness,
    systemd,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.deadline import Deadline
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.readiness import Readiness, check_readiness

UNIT = "microvm@x.service"
UP = systemd.Unit("loaded", "active", "running", invocation="a1", process="71")
FAILED = replace(UP, active_state="failed", sub_state="failed", result="exit-code", process="0")


def ready(check: str, port: int = 1, control_socket: str = "/nonexistent", timeout: float = 600) -> Readiness:
    return Readiness(UNIT, check, "127.0.0.1", port, timeout, control_socket)


@pytest.fixture(autouse=True)
def own_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this process for the MicroVM's, which has no control group here, and let a look at a guest take long."""
    monkeypatch.setattr(own_addresses, "processes", lambda _unit: [str(os.getpid())])
    monkeypatch.setattr(readiness, "PROBE_SECONDS", 60.0)


class Clock:
    """Clock that only sleeps advance, in the place of module ``time``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of all that waits for a guest."""
    clock = Clock()
    for module in (readiness, systemd, deadline):
        monkeypatch.setattr(module, "time", clock)
    return clock


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
        # As StratoVirt does: all that has come is one command.
        assert json.loads(connection.recv(4096)) == {"execute": "qmp_capabilities"}
        connection.sendall(b'{"event": "RESUME"}\n{"return": {}}\n')
        assert json.loads(connection.recv(4096)) == {"execute": "query-status"}
        state = {"status": status, "running": is_ready}
        connection.sendall(json.dumps({"return": state}).encode() + b"\n")

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
    monkeypatch.setattr(systemd, "explanation", lambda _name, problem: problem)
    if not is_read:
        os.close(reader)
    try:
        with pytest.raises(HostError, match="not up after 1 s" if is_read else "nobody reads"):
            readiness.wait(ready("tcp", timeout=1))
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
    monkeypatch.setattr(systemd, "explanation", lambda _name, problem: problem)
    begin = time.monotonic()
    with dripping(tmp_path / "s") as port, pytest.raises(HostError, match=f"not up after 1 s.*checked {check}"):
        readiness.wait(ready(check, port, str(tmp_path / "s"), timeout=1))
    # The line that is waited for would take more than two minutes.
    assert time.monotonic() - begin < 60


@contextmanager
def dripping(path: Path) -> Iterator[int]:
    """Serve two bytes a second at a socket and at a port, to whoever comes."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as port, socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        threads = [threading.Thread(target=_drip, args=(each, stop), daemon=True) for each in (port, server)]
        for thread in threads:
            thread.start()
        yield port.getsockname()[1]
        stop.set()
        for each in (port, server):
            # Ends the wait for a client.
            each.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(timeout=10)


def _drip(server: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(OSError), server.accept()[0] as connection:
            while not stop.wait(0.5):
                connection.sendall(b"x")


def test_what_a_guest_says_is_fit_for_a_terminal() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        serving(server, lambda connection: connection.sendall(b"\x1b]0;owned\x07\x9b2J\xff220 mail\r\n")),
    ):
        seen = look(ready("ssh", server.getsockname()[1]))
    assert seen is not None and seen.isprintable() and "220 mail" in seen


def units(monkeypatch: pytest.MonkeyPatch, *seen: systemd.Unit) -> list[systemd.Unit]:
    """Let each look at the unit see the next of these, and the last of them for ever."""
    left = list(seen)
    monkeypatch.setattr(readiness, "POLL_SECONDS", 0)
    monkeypatch.setattr(readiness, "_is_abandoned", lambda: False)
    monkeypatch.setattr(systemd, "explanation", lambda _name, problem: problem)
    monkeypatch.setattr(systemd, "show", lambda names: {names[0]: left.pop(0) if len(left) > 1 else left[0]})
    return left


RESTARTING = replace(UP, active_state="activating", sub_state="auto-restart", process="0")
AGAIN = replace(UP, invocation="b2", process="93")

MISLEADING: dict[str, tuple[list[systemd.Unit], str]] = {
    "the unit has failed before": ([FAILED], r"stopped .* \(exit-code\); what answered .* another machine or program"),
    "the unit fails meanwhile": ([UP, FAILED], "another machine or program"),
    "it waits for its next start": (
        [RESTARTING],
        r"not up after 1 s.*last seen: the unit is activating \(auto-restart",
    ),
    "it was not active before": ([RESTARTING, UP, FAILED], "another machine or program"),
    "it was started again": ([UP, AGAIN, UP, AGAIN, FAILED], "another machine or program"),
    "its process is another": ([UP, replace(UP, process="72"), UP, FAILED], "another machine or program"),
}
"""What is seen of a unit while somebody answers at the address of its guest, and the error."""


@pytest.mark.parametrize(("seen", "error"), MISLEADING.values(), ids=MISLEADING.keys())
@pytest.mark.parametrize("check", ["tcp", "ssh"])
def test_an_answer_counts_only_while_the_unit_runs_as_it_was_started(
    monkeypatch: pytest.MonkeyPatch, check: str, seen: list[systemd.Unit], error: str
) -> None:
    units(monkeypatch, *seen)
    monkeypatch.setitem(readiness.PREDICATES, check, lambda _ready, _deadline: None)
    with pytest.raises(HostError, match=error):
        readiness.wait(ready(check, timeout=1 if "not up after 1 s" in error else 600))


def test_a_guest_that_reboots_while_it_is_waited_for_is_up_after_its_next_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = units(monkeypatch, UP, AGAIN)
    monkeypatch.setitem(readiness.PREDICATES, "tcp", lambda _ready, _deadline: None)
    readiness.wait(ready("tcp"))
    assert left == [AGAIN]


@pytest.mark.parametrize("check", ["tcp", "none"])
def test_a_guest_whose_helpers_are_restarted_before_it_has_not_stopped(
    monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    down = replace(UP, active_state="inactive", sub_state="dead", process="0")
    left = units(monkeypatch, RESTARTING, replace(down, job="103"), replace(down, job="103"), AGAIN)
    monkeypatch.setitem(readiness.PREDICATES, check, lambda _ready, _deadline: None)
    readiness.wait(ready(check))
    assert left == [AGAIN]
    units(monkeypatch, RESTARTING, replace(down, job="0"))
    with pytest.raises(HostError, match="stopped before its guest was up"):
        readiness.wait(ready(check))


STRANGER = r"\(exit-code\); what answered in its place is another machine"


@pytest.mark.parametrize(
    ("check", "problem"), [("ssh", STRANGER), ("tcp", STRANGER), ("none", r"\(exit-code\)$"), ("vsock", None)]
)
def test_an_answer_that_is_not_the_hypervisors_counts_when_that_had_time_to_fail(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, check: str, problem: str | None
) -> None:
    """It fails 0.9 s after its start, and somebody else answers at once."""
    begin = clock.now
    started = replace(UP, active_since_monotonic=str(int(begin * 1e6)))
    units(monkeypatch, UP)
    monkeypatch.setattr(systemd, "show", lambda names: {names[0]: FAILED if clock.now > begin + 0.9 else started})
    monkeypatch.setitem(readiness.PREDICATES, check, lambda _ready, _deadline: None)
    with contextlib.nullcontext() if problem is None else pytest.raises(HostError, match=problem):
        readiness.wait(ready(check))


@pytest.mark.parametrize("number", [0, 3])
def test_guests_that_have_run_before_are_asked_with_one_question_to_systemd(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    questions: list[list[str]] = []
    now = {"gone": FAILED, "again": AGAIN, "up": UP, "slow": UP, "alone": UP, "late": RESTARTING}

    def show(names: list[str]) -> dict[str, systemd.Unit]:
        questions.append(names)
        return {name: now[name] for name in names}

    def answer(wanted: Readiness, _deadline: Deadline) -> str | None:
        return "refused" if wanted.unit == "slow" else None

    monkeypatch.setattr(systemd, "show", show)
    monkeypatch.setitem(readiness.PREDICATES, "tcp", answer)
    checks = {name: "none" if name in ("alone", "late") else "tcp" for name in now}
    guests = [replace(ready(check), unit=name) for name, check in checks.items()]
    before = {**dict.fromkeys(now, UP), "late": RESTARTING}
    assert readiness.running_guests_up(guests, before, 2 + number) == {"up", "alone"}
    assert questions == [["again", "gone", "up"]]


OTHERS = "10.66.3.1 is an address of this host, and another program than the hypervisor of microvm@x.service listens"


@pytest.mark.parametrize("check", ["tcp", "ssh"])
def test_another_program_of_the_host_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, check: str) -> None:
    units(monkeypatch, UP)
    monkeypatch.setattr(own_addresses, "is_own", lambda address: address == "10.66.3.1")
    monkeypatch.setattr(own_addresses, "listening", lambda _address, _port: {"4711"})
    with pytest.raises(HostError, match=OTHERS):
        readiness.wait(replace(ready(check, 22), address="10.66.3.1"))


@pytest.mark.parametrize(
    ("name", "answer", "is_ready"),
    [("web", None, True), ("web", "has not shown its host key", False), ("", "has not shown its host key", True)],
)
def test_the_host_key_of_a_guest_that_keeps_it_is_compared(
    monkeypatch: pytest.MonkeyPatch, name: str, answer: str | None, is_ready: bool
) -> None:
    monkeypatch.setitem(readiness.PREDICATES, "ssh", lambda _ready, _deadline: None)
    monkeypatch.setattr(host_keys, "check", lambda *_arguments: answer)
    assert (look(replace(ready("ssh"), host_key_name=name)) is None) == is_ready


def test_a_unit_that_is_started_again_and_again_does_not_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is active at each look, and never for long."""
    answers = [*[replace(UP, active_since_monotonic=str(10**15))] * 3, replace(FAILED, result="start-limit-hit")]
    monkeypatch.setattr(readiness, "SETTLE_SECONDS", 0.01)
    monkeypatch.setattr(readiness, "_is_abandoned", lambda: False)
    monkeypatch.setattr(systemd, "explanation", lambda _name, problem: problem)
    monkeypatch.setattr(systemd, "show", lambda names: {"stays": UP, "loops": answers.pop(0)})
    errors = readiness.settle({"stays": 600, "loops": 600})
    assert list(errors) == ["loops"] and "start-limit-hit" in str(errors["loops"]) and answers == []


def test_a_unit_that_never_stays_is_reported_after_its_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    units(monkeypatch, replace(UP, active_since_monotonic=str(10**15)))
    monkeypatch.setattr(readiness, "SETTLE_SECONDS", 0.01)
    assert "not up after 0 s" in str(readiness.settle({UNIT: 0.05})[UNIT])
