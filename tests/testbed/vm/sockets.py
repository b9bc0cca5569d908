# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sockets of a QEMU that starts or runs."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..commands import BedError

CONNECT_SECONDS = 60


class Lines:
    """Lines of text over a connection to QEMU; waiting for one has the time limit of the connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = connection.makefile("r", encoding="utf-8", errors="replace", newline="\n")

    def send(self, line: str) -> None:
        """Send a line. Raises BedError if nobody is there."""
        try:
            self._connection.sendall(f"{line}\n".encode())
        except OSError as error:
            raise BedError(f"QEMU does not listen: {error}") from error

    def receive(self, what: str) -> str:
        """Return the next line, without its end. Raises BedError, which names ``what``, if there is none in time."""
        try:
            line = self._reader.readline()
        except ConnectionResetError:  # It ended with something of ours unread.
            line = ""
        except OSError as error:
            raise BedError(f"{what}: {error}") from error
        if not line:
            raise BedError(f"{what}: QEMU has ended")
        return line.strip()


@contextmanager
def connected(path: Path, process: subprocess.Popen[bytes] | None, seconds: float) -> Iterator[Lines]:
    """Lines to and from the socket ``path`` that ``process`` makes; waiting for one takes ``seconds`` at most."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        _connect(connection, path, process)
        connection.settimeout(seconds)
        yield Lines(connection)


def _connect(connection: socket.socket, path: Path, process: subprocess.Popen[bytes] | None) -> None:
    end = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            connection.connect(str(path))
            return
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if process is not None and process.poll() is not None:
                raise BedError(f"QEMU ended with status {process.returncode}") from error
            if time.monotonic() > end:
                raise BedError(f"QEMU has not made {path} within {CONNECT_SECONDS} s") from error
            time.sleep(0.02)
