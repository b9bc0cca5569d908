# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls of systemctl are tried again when the connection to systemd is lost, and a restart happens once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import bus, systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError

LOST = (
    "Failed to connect to bus: No such file or directory",
    "Failed to connect to bus: Connection refused",
    "Failed to connect to system scope bus via local transport: Connection refused",
    "Failed to get properties: Connection reset by peer",
    "Failed to get properties: Transport endpoint is not connected",
    "Failed to start microvm@web.service: Message recipient disconnected from message bus without replying",
    "Warning! D-Bus connection terminated.",
    "Failed to wait for response: Connection reset by peer",
    "Failed to start microvm@web.service: Connection timed out",
    "Failed to reload daemon: Remote peer disconnected",
    "Failed to get properties: Broken pipe",
)
OTHER = (
    "Failed to connect to bus: Permission denied",
    "Failed to start microvm@web.service: Unit microvm@web.service is masked.",
    "Job for microvm@web.service failed because the control process exited with error code.",
    "Failed to reset failed state of unit microvm@web.service: Unit microvm@web.service not loaded.",
)
UNIT = "microvm@web.service"


class Systemd:
    """A systemd whose answers are given: to each verb a list, of which the last one stays."""

    def __init__(self, **answers: list[str | HostError]) -> None:
        self.answers = answers
        self.calls: list[str] = []

    def run(self, argv: Sequence[str], timeout: float | None = 300) -> str:
        """Stand for ``run`` of a systemctl command."""
        verb = argv[1]
        self.calls.append(verb)
        answers = self.answers.get(verb, [""])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, HostError):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def _booted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.isdir", lambda path: True)
    monkeypatch.setattr(bus, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(systemd, "explanation", lambda _name, problem: problem)


def install(monkeypatch: pytest.MonkeyPatch, **answers: list[str | HostError]) -> Systemd:
    fake = Systemd(**answers)
    for module in (bus, systemd):
        monkeypatch.setattr(module, "run", fake.run)
    return fake


def shown(invocation: str, state: str, job: str = "") -> str:
    return f"InvocationID={invocation}\nActiveState={state}\n" + (f"Job={job}\n" if job else "")


@pytest.mark.parametrize("message", LOST)
def test_questions_are_repeated_until_systemd_answers(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, show=[HostError(f"`systemctl show` failed: {message}")] * 7 + ["Id=x\n"])
    assert list(systemd.show(["x"])) == ["x"] and fake.calls == ["show"] * 8


@pytest.mark.parametrize("message", OTHER)
def test_other_errors_are_errors_at_once(message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, show=[HostError(message)], start=[HostError(message)])
    with pytest.raises(HostError):
        systemd.show(["x"])
    assert fake.calls == ["show"]
    with pytest.raises(HostError):
        systemd.start(UNIT)
    assert fake.calls.count("start") == 1


def test_the_number_of_attempts_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    reload: list[str | HostError] = [HostError(LOST[0])]
    fake = install(monkeypatch, **{"daemon-reload": reload})
    with pytest.raises(HostError):
        systemd.daemon_reload()
    assert len(fake.calls) == bus.ATTEMPTS


def test_a_host_without_systemd_is_an_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, show=[HostError(LOST[0])])
    monkeypatch.setattr("os.path.isdir", lambda path: False)
    with pytest.raises(HostError):
        systemd.show(["x"])
    assert fake.calls == ["show"]


LOSS = HostError(LOST[3])


@pytest.mark.parametrize(
    ("states", "restarts"),
    [
        ([shown("a", "active"), shown("b", "active")], 1),
        ([shown("a", "active"), shown("a", "active")], 2),
        (
            [
                shown("a", "active"),
                shown("a", "deactivating", "7"),
                shown("b", "activating", "7"),
                shown("b", "active"),
            ],
            1,
        ),
        ([shown("a", "active"), LOSS, shown("b", "active")], 1),
        ([shown("", "inactive"), shown("b", "active")], 1),
        ([shown("", "inactive"), shown("", "inactive")], 2),
    ],
    ids=["heard", "not heard", "still at work", "lost again", "of a unit that was down", "not heard, down"],
)
def test_a_restart_happens_once(states: list[str | HostError], restarts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, restart=[LOSS, ""], show=states)
    systemd.restart(UNIT)
    assert fake.calls.count("restart") == restarts


def test_a_start_that_was_heard_and_has_failed_is_the_failure_of_the_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, start=[LOSS, ""], show=[shown("b", "activating", "7"), shown("b", "failed")])
    with pytest.raises(HostError, match="was started and has failed"):
        systemd.start(UNIT)
    assert fake.calls.count("start") == 1


def test_a_start_without_waiting_is_heard_when_its_job_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, start=[LOSS, ""], show=[shown("", "inactive", "7")])
    systemd.start(UNIT, wait=False)
    assert fake.calls.count("start") == 1


def test_a_stop_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = install(monkeypatch, stop=[LOSS, LOSS, ""])
    systemd.stop([UNIT])
    assert fake.calls == ["stop", "stop", "stop", "reset-failed"]
