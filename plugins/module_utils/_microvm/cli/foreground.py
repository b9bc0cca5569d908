# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program in the foreground, with the terminal of the command, whose errors are passed on and kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from types import FrameType
from typing import IO, Iterator, List, NamedTuple, Optional

from ..host.commands import HostError, search_path

ERROR_BYTES = 4096
"""Bytes of the errors that are kept, the last ones."""

_RELAY_SECONDS = 2.0
"""Time limit of the errors that come after the program's end, since another process may hold their pipe open."""

_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)
"""Signals that the terminal sends to both, for the program to decide about."""

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP)


class Ended(NamedTuple):
    """A program that has ended."""

    status: int
    errors: str
    """The last of its errors."""


def run_in_foreground(argv: List[str]) -> Ended:
    """Run a program as a shell would, and wait for it. Raises HostError where it is not installed."""
    sys.stdout.flush()
    with _signals_left_to_program() as program:
        try:
            environment = {**os.environ, "PATH": search_path()}
            process = subprocess.Popen(argv, stderr=subprocess.PIPE, env=environment, bufsize=0)
        except FileNotFoundError:
            raise HostError(f"{argv[0]} is not installed on this host") from None
        program.begin(process.pid)
        errors = bytearray()
        relay = threading.Thread(target=_relay, args=(process.stderr, errors), daemon=True)
        relay.start()
        process.returncode = _await(process.pid)
    relay.join(_RELAY_SECONDS)
    return Ended(process.returncode, bytes(errors).decode(errors="replace"))


class _Program:
    """Receiver of the signals that are passed on, also of those that come before its number is known."""

    def __init__(self) -> None:
        self._process: Optional[int] = None
        self._early: List[int] = []

    def begin(self, process: int) -> None:
        """Give the program its number, and the signals that have come since it was started."""
        self._process = process
        for number in self._early:
            self._send(process, number)

    def handle(self, number: int, _frame: Optional[FrameType]) -> None:
        """Handle a signal of this process."""
        if number not in _PASSED_ON:
            return
        if self._process is None:
            self._early.append(number)
        else:
            self._send(self._process, number)

    @staticmethod
    def _send(process: int, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


@contextlib.contextmanager
def _signals_left_to_program() -> Iterator[_Program]:
    """Leave signals to a program."""
    program = _Program()
    # Functions, not SIG_IGN, which the program would inherit.
    handlers = {number: signal.signal(number, program.handle) for number in (*_FROM_TERMINAL, *_PASSED_ON)}
    try:
        yield program
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _relay(stream: IO[bytes], errors: bytearray) -> None:
    for data in iter(lambda: os.read(stream.fileno(), ERROR_BYTES), b""):
        with contextlib.suppress(OSError):
            sys.stderr.buffer.write(data)
            sys.stderr.buffer.flush()
        errors += data
        del errors[:-ERROR_BYTES]


def _await(process: int) -> int:
    """Wait for the end of a program, and stop as often as it does. Returns the status as a shell has it."""
    while True:
        _process, status = os.waitpid(process, os.WUNTRACED)
        if os.WIFEXITED(status):
            return os.WEXITSTATUS(status)
        if os.WIFSIGNALED(status):
            return 128 + os.WTERMSIG(status)
        # Else the shell would wait for this process, and this one for the other.
        os.kill(os.getpid(), signal.SIGSTOP)
        os.kill(process, signal.SIGCONT)
