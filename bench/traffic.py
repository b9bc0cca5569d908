# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Program that ``devices.py`` sends to a host: it starts a MicroVM, and measures the guest's start or its traffic.

``start UNIT ADDRESS`` prints the seconds from the start of a unit to the banner of an SSH server. ``transfer UNIT``
starts a unit, whose guest connects to one port after another, and prints the bytes in each second of each transfer.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

FIRST_PORT = 7000
DIRECTIONS = ("host to guest", "guest to host")
"""What is measured by turns, at one port after another, as often as ``ROUNDS`` says and on each of ``PATHS``."""

PATHS = ("plain tap", "vhost-net")
ROUNDS = 3
TRANSFERS = tuple((path, direction) for _round in range(ROUNDS) for direction in DIRECTIONS for path in PATHS)
"""Path and direction of each transfer. The port of the first one is ``FIRST_PORT``."""

SECONDS = 8.0
"""Duration of a transfer."""

PATIENCE_SECONDS = 900.0
"""Time limit of all waiting: a guest without KVM, on a host without one, takes minutes for its start."""

CHUNK = 256 * 1024
BANNER = b"SSH-"


def sent(connection: socket.socket, seconds: float = SECONDS) -> float:
    """Send for some time. Returns the bytes in each second until the other side has received all, and has closed."""
    begin, count, chunk = time.monotonic(), 0, bytes(CHUNK)
    while time.monotonic() - begin < seconds:
        connection.sendall(chunk)
        count += len(chunk)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(CHUNK):
        pass
    return count / (time.monotonic() - begin)


def received(connection: socket.socket, seconds: float = SECONDS) -> float:
    """Receive for some time. Returns the bytes in each second since the first ones came."""
    connection.recv(CHUNK)
    begin, count = time.monotonic(), 0
    while (passed := time.monotonic() - begin) < seconds and (data := connection.recv(CHUNK)):
        count += len(data)
    return count / passed


def banner_seconds(address: tuple[str, int], begin: float, patience: float = PATIENCE_SECONDS) -> float:
    """Return the seconds from a time of the monotonic clock until an SSH server shows its banner.

    An address that nobody has is asked again and again; whoever has accepted a connection is not hurried, since each
    connection costs an emulated guest much of its time.
    """
    while (left := begin + patience - time.monotonic()) > 0:
        try:
            with socket.create_connection(address, timeout=min(left, 10)) as connection:
                connection.settimeout(left)
                if connection.recv(len(BANNER), socket.MSG_WAITALL) == BANNER:
                    return time.monotonic() - begin
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"no SSH server at {address[0]} within {patience:g} s")


def start(unit: str) -> float:
    """Begin the start of a unit. Returns the time of the monotonic clock before."""
    begin = time.monotonic()
    subprocess.run(["systemctl", "start", "--no-block", unit], check=True)
    return begin


def transfer(unit: str) -> list[float]:
    """Start a unit whose guest connects to each port, and return the bytes in each second."""
    listeners = [socket.create_server(("", FIRST_PORT + index)) for index in range(len(TRANSFERS))]
    measures: dict[str, Callable[[socket.socket], float]] = dict(zip(DIRECTIONS, (sent, received), strict=True))
    start(unit)
    speeds = []
    for listener, (_path, direction) in zip(listeners, TRANSFERS, strict=True):
        listener.settimeout(PATIENCE_SECONDS)
        connection, _peer = listener.accept()
        with connection:
            connection.settimeout(PATIENCE_SECONDS)
            speeds.append(measures[direction](connection))
    return speeds


def main(words: Sequence[str]) -> None:
    """Do what the words ask for."""
    if words[0] == "start":
        print(banner_seconds((words[2], 22), start(words[1])))
    else:
        print(*transfer(words[1]), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
