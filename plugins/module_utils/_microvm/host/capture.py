# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run programs that print what somebody else decides: bounded in time and in bytes, whoever holds their pipes open."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
from dataclasses import dataclass
from typing import IO, Dict, Iterator, Optional, Sequence

from .commands import HostError, program_environment
from .deadline import Deadline

OUTPUT_BYTES = 1 << 16
"""Limit of what is read of a program's output, and of its errors."""

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Captured:
    """Outcome of a program."""

    status: Optional[int]
    """Exit status; ``None`` for one that was ended here."""
    output: bytes
    errors: bytes
    is_cut: bool
    """True if it printed more than the limit."""

    @property
    def text(self) -> str:
        """Output as a string."""
        return self.output.decode(errors="replace")


def capture(
    argv: Sequence[str],
    seconds: float,
    limit: int = OUTPUT_BYTES,
    until: bytes = b"",
    source: Optional[IO[bytes]] = None,
) -> Captured:
    """Run a program without a terminal, and end it after ``seconds``, ``limit`` bytes, or the bytes ``until``.

    ``source`` is a file that it reads as its standard input. Raises HostError where it is not installed.
    """
    deadline = Deadline(seconds)
    try:
        # Of a session of its own, so that it does not reach the terminal of whoever asks.
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if source is None else source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=program_environment(),
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise HostError(f"{argv[0]} is not installed on this host") from error
    with _ending(process):
        reader = _Reader(process, limit, until)
        while not (reader.is_done or deadline.is_over):
            reader.read(min(POLL_SECONDS, deadline.remaining))
        return Captured(process.poll(), reader.output, reader.errors, reader.is_cut)


@contextlib.contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        # Without waiting for the end of the output: another process may hold it open.
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        if process.poll() is None:
            process.kill()
        process.wait()


class _Reader:
    """What a process prints, as far as it is wanted."""

    def __init__(self, process: subprocess.Popen[bytes], limit: int, until: bytes) -> None:
        self._process, self._limit, self._until = process, limit, until
        self._buffers: Dict[int, bytearray] = {}
        self._selector = selectors.PollSelector()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                self._add(stream)
        self._has_ended = False

    def _add(self, stream: IO[bytes]) -> None:
        os.set_blocking(stream.fileno(), False)
        self._buffers[stream.fileno()] = bytearray()
        self._selector.register(stream.fileno(), selectors.EVENT_READ)

    @property
    def output(self) -> bytes:
        """Bytes of the standard output, up to the limit."""
        return bytes(next(iter(self._buffers.values()))[: self._limit])

    @property
    def errors(self) -> bytes:
        """Bytes of the standard error, up to the limit."""
        return bytes(list(self._buffers.values())[-1][: self._limit])

    @property
    def is_cut(self) -> bool:
        """Return whether there is more than the limit."""
        return any(len(buffer) > self._limit for buffer in self._buffers.values())

    @property
    def is_done(self) -> bool:
        """Return whether nothing more is wanted, or nothing more comes."""
        return self._has_ended or self.is_cut or (bool(self._until) and self._until in self.output)

    def read(self, seconds: float) -> None:
        """Read what comes within some seconds; all that is there of a process that has ended."""
        ended = self._process.poll() is not None
        ready = self._selector.select(0 if ended else seconds) if self._selector.get_map() else []
        for key, _events in ready:
            self._take(key.fd)
        if not self._selector.get_map():
            self._await(seconds)
        self._has_ended = ended and not ready

    def _take(self, descriptor: int) -> None:
        data = os.read(descriptor, OUTPUT_BYTES)
        self._buffers[descriptor] += data
        if not data:
            self._selector.unregister(descriptor)

    def _await(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
