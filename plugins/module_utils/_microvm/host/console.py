# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The console of a MicroVM that runs: a log that is moved away or cut when it is long, and a FIFO."""

from __future__ import annotations

import os
import select
import stat
from typing import Optional

from ..declaration.names import CONSOLE_DIRECTORY
from .commands import HostError

LOG, FIFO = "console.log", "console.in"

BLOCK = 1 << 16
"""Bytes that are read at once."""

TAIL_BYTES = 4096
"""Bytes of the guest's earlier output that are shown."""


class Log:
    """Log of the guest's output, from its last lines on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = _open_log(path)
        """Descriptor of the log; ``None`` as long as there is none."""
        if self._file is not None:
            _skip_to_tail(self._file)

    def read(self) -> bytes:
        """Return new output; empty where there is none."""
        if self._file is None:
            self._file = _open_log(self._path)
        return b"" if self._file is None else self._read_from(self._file)

    def _read_from(self, file: int) -> bytes:
        data = os.read(file, BLOCK)
        if data:
            return data
        if os.lseek(file, 0, os.SEEK_CUR) > os.fstat(file).st_size:
            # The file was truncated.
            os.lseek(file, 0, os.SEEK_SET)
            return os.read(file, BLOCK)
        new = _open_log(self._path)
        if new is None:
            return b""
        if os.path.samestat(os.fstat(new), os.fstat(file)):
            os.close(new)
            return b""
        # The file was moved away, and was read to its end.
        os.close(file)
        self._file = new
        return os.read(new, BLOCK)

    def close(self) -> None:
        """Let go of it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _open_log(path: str) -> Optional[int]:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    return None


def _skip_to_tail(file: int) -> None:
    """Move to the beginning of a line."""
    begin = max(0, os.fstat(file).st_size - TAIL_BYTES)
    os.lseek(file, begin, os.SEEK_SET)
    if begin:
        tail = os.read(file, TAIL_BYTES)
        os.lseek(file, begin + tail.find(b"\n") + 1, os.SEEK_SET)


class Console:
    """Console of a MicroVM, in both directions. Raises HostError where there is none."""

    def __init__(self, name: str, directory: str = CONSOLE_DIRECTORY) -> None:
        place = os.path.join(directory, name)
        self._input = _open_fifo(os.path.join(place, FIFO), name)
        self.log = Log(os.path.join(place, LOG))

    @property
    def has_ended(self) -> bool:
        """Return whether nobody listens any more."""
        poll = select.poll()
        # POLLERR need not be asked for (poll(2)).
        poll.register(self._input, 0)
        return bool(poll.poll(0))

    def write(self, data: bytes) -> bytes:
        """Tell the guest; returns what it has no room for now. Raises HostError when it has ended."""
        try:
            return data[os.write(self._input, data) :]
        except BlockingIOError:
            return data
        except BrokenPipeError:
            raise HostError("the MicroVM has ended") from None

    def close(self) -> None:
        """Let go of both."""
        os.close(self._input)
        self.log.close()


def _open_fifo(path: str, name: str) -> int:
    """Open the FIFO for writing. The directory is the MicroVM's user's: what lies there must be what it should be."""
    try:
        fifo = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except PermissionError:
        raise HostError(f"this user may not open the console of {name}; run the command as root") from None
    except OSError:
        raise HostError(f"{name} has no console because it is not running; see: microvm info {name}") from None
    if not stat.S_ISFIFO(os.fstat(fifo).st_mode):
        os.close(fifo)
        raise HostError(f"{path} is not a FIFO; restart the MicroVM")
    return fifo
