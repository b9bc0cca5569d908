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

TAIL_BYTES = 4096
"""How much of what the guest said before is shown."""


class Log:
    """What the guest says, from its last lines on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: Optional[int] = None
        self._open(TAIL_BYTES)

    def _open(self, tail: Optional[int] = None) -> bool:
        """Open what lies at the path now: from its beginning, or from its last ``tail`` bytes."""
        try:
            file = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return False
        if self._file is not None:
            os.close(self._file)
        self._file = file
        if tail is not None:
            size = os.fstat(file).st_size
            os.lseek(file, max(0, size - tail), os.SEEK_SET)
            if size > tail:
                # From the beginning of a line.
                beginning = os.read(file, tail)
                os.lseek(file, max(0, size - tail) + beginning.find(b"\n") + 1, os.SEEK_SET)
        return True

    def read(self) -> bytes:
        """What is new; empty where nothing is."""
        if self._file is None and not self._open():
            return b""
        assert self._file is not None
        data = os.read(self._file, 1 << 16)
        if data:
            return data
        if os.lseek(self._file, 0, os.SEEK_CUR) > os.fstat(self._file).st_size:
            # It was cut.
            os.lseek(self._file, 0, os.SEEK_SET)
            return os.read(self._file, 1 << 16)
        return os.read(self._file, 1 << 16) if self._was_moved() and self._open() and self._file else b""

    def _was_moved(self) -> bool:
        try:
            now = os.stat(self._path, follow_symlinks=False)
        except OSError:
            return False
        assert self._file is not None
        return not os.path.samestat(now, os.fstat(self._file))

    def close(self) -> None:
        """Let go of it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Console:
    """Both directions. Raises HostError where there is none."""

    def __init__(self, name: str, directory: str = CONSOLE_DIRECTORY) -> None:
        place = os.path.join(directory, name)
        self._input = _open_fifo(os.path.join(place, FIFO), name)
        self.log = Log(os.path.join(place, LOG))

    @property
    def has_ended(self) -> bool:
        """Whether nobody listens any more."""
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
    """For writing. The directory is the MicroVM's user's: what lies there must be what it should be."""
    try:
        fifo = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except PermissionError:
        raise HostError(f"the console of {name} is closed to this user; attach it as root") from None
    except OSError:
        raise HostError(f"{name} has no console: it does not run; see: microvm info {name}") from None
    if not stat.S_ISFIFO(os.fstat(fifo).st_mode):
        os.close(fifo)
        raise HostError(f"{path} is no FIFO; restart the MicroVM")
    return fifo
