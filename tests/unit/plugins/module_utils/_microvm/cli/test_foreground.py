# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program in the foreground, as a shell would have it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli import foreground
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.foreground import run_in_foreground
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError

CALL = """\
import sys
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.foreground import run_in_foreground
sys.exit(run_in_foreground(["sh", "-c", sys.argv[1]]).status)
"""


def test_errors_are_passed_on_and_kept(capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_in_foreground(
        ["sh", "-c", "echo output; echo first >&2; echo 'Permission denied (key).' >&2; exit 255"]
    )
    assert ended == (255, "first\nPermission denied (key).\n")
    assert capfd.readouterr() == ("output\n", ended.errors)


def test_only_the_last_of_many_errors_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    ended = run_in_foreground(["sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x >&2; printf last >&2"])
    assert len(ended.errors) == foreground.ERROR_BYTES and ended.errors.endswith("xlast")
    assert len(capfd.readouterr().err) == 100004


def test_a_program_that_a_signal_ends_has_the_status_of_a_shell() -> None:
    assert run_in_foreground(["sh", "-c", "kill -KILL $$"]).status == 137


def test_a_program_that_is_missing_is_named() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(HostError, match="nonexistent is not installed"):
        run_in_foreground(["nonexistent"])
    assert signal.getsignal(signal.SIGINT) == before


@contextlib.contextmanager
def start(script: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script in the foreground of another process, in a session that ends with the test."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", CALL, script]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=Path("/"), start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_a_program_that_stops_stops_the_command_until_both_go_on() -> None:
    with start("kill -STOP $$; exit 5") as process:
        _process, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        process.send_signal(signal.SIGCONT)
        assert process.wait(60) == 5


def test_a_request_to_end_is_the_program_s() -> None:
    with start("trap 'exit 7' TERM; echo ready; while true; do sleep 0.05; done") as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(60) == 7


def test_a_request_that_comes_before_the_program_s_number_is_known_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    create = subprocess.Popen

    def create_late(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = create(*arguments, **options)
        os.kill(os.getpid(), signal.SIGTERM)
        return process

    monkeypatch.setattr(subprocess, "Popen", create_late)
    assert run_in_foreground(["sleep", "60"]).status == 128 + signal.SIGTERM
