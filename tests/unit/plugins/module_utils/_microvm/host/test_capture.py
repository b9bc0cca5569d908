# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs whose output somebody else decides."""

from __future__ import annotations

import os
import signal
import time

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.capture import capture
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError

LIMIT, NEVER = 60, 600
"""Seconds that all takes at most, however busy the machine is, and seconds after which all ends without what is tested.
"""


def shell(script: str, seconds: float = NEVER, **options: bytes | int) -> tuple[int | None, bytes, bytes, bool]:
    captured = capture(["bash", "-c", script], seconds, **options)  # type: ignore[arg-type]
    return captured.status, captured.output, captured.errors, captured.is_cut


@pytest.mark.parametrize("status", [0, 3])
def test_output_errors_and_status_are_captured(status: int) -> None:
    assert shell(f"echo out; echo err >&2; exit {status}") == (status, b"out\n", b"err\n", False)
    assert shell(f"exec >&- 2>&-; sleep 0.2; exit {status}") == (status, b"", b"", False)


@pytest.mark.parametrize("redirection", ["", ">&2"])
def test_a_flood_is_cut(redirection: str) -> None:
    begin = time.monotonic()
    status, output, errors, is_cut = shell(f"yes {redirection}", limit=1000)
    assert (status, len(output + errors), is_cut) == (None, 1000, True)
    assert time.monotonic() - begin < LIMIT


def test_all_that_a_program_has_printed_is_captured() -> None:
    _status, output, _errors, is_cut = shell("head -c 300000 /dev/zero", limit=400_000)
    assert (len(output), is_cut) == (300_000, False)


@pytest.mark.parametrize("script", [f"sleep {NEVER}", f"exec >&- 2>&-; sleep {NEVER}"])
def test_a_program_that_does_not_end_is_ended(script: str) -> None:
    begin = time.monotonic()
    assert shell(script, 0.5)[0] is None
    assert time.monotonic() - begin < LIMIT


def test_a_pipe_that_another_process_holds_open_is_not_waited_for() -> None:
    begin = time.monotonic()
    status, output, _errors, _is_cut = shell(f"setsid sleep {NEVER} & echo $!; exit 0")
    os.kill(int(output), signal.SIGKILL)
    assert status == 0
    assert time.monotonic() - begin < LIMIT


def test_the_words_that_are_waited_for_end_a_program() -> None:
    begin = time.monotonic()
    assert b"Linux version" in shell(f"echo boot; echo Linux version; sleep {NEVER}", until=b"Linux version")[1]
    assert time.monotonic() - begin < LIMIT


def test_a_program_has_a_session_of_its_own_and_reads_nothing() -> None:
    _status, output, _errors, _is_cut = shell("ps -o sid= -p $$; cat")
    assert int(output) != os.getsid(0)


def test_a_missing_program_is_named() -> None:
    with pytest.raises(HostError, match="no-such-program is not installed"):
        capture(["no-such-program"], 1)
