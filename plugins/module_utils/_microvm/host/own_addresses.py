# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses of the host itself, where its own programs answer and guests do only through their hypervisors."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
from typing import Iterable, Iterator, Optional, Set, Tuple

from . import files
from .commands import HostError

PROC = "/proc"
LISTENING = "0A"
"""State of a socket in proc_pid_net(5): TCP_LISTEN."""

_MAPPED = struct.pack("!10xH", 0xFFFF)
"""Beginning of an IPv4 address as IPv6 (RFC 4291, section 2.5.5.2)."""


class OtherProgram(HostError):
    """Answer of a program of the host where a guest was asked."""


def check(unit: str, address: Optional[str], port: int) -> None:
    """Refuse a port of the host itself, unless a process of the unit listens there: the forwarded port of a guest.

    Raises OtherProgram where another program listens, and ConnectionRefusedError where none does.
    """
    if address is None or not is_own(address):
        return
    sockets = listening(address, port)
    if not sockets:
        raise ConnectionRefusedError(
            f"refused: nothing listens at port {port} of {address}, which is an address of this host"
        )
    if sockets.isdisjoint(sockets_of(processes(unit))):
        raise OtherProgram(
            f"{address} is an address of this host, and another program than the hypervisor of {unit} listens at its "
            f"port {port}; give the guest another address, or set ready.address and ready.port to where it answers"
        )


def is_own(address: str) -> bool:
    """Return whether an address belongs to an interface of the host: the kernel would send from it, too."""
    if ipaddress.ip_address(address).is_loopback:
        return True
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: a datagram socket only looks for its way (udp(7)).
            probe.connect((address, 9))
        except OSError:
            return False
        source: str = probe.getsockname()[0]
    return socket.inet_pton(family, source) == socket.inet_pton(family, address)


def listening(address: str, port: int) -> Set[str]:
    """Return the sockets, by their inodes, that accept connections to a port of an address."""
    places = {f"{place}:{port:04X}" for place in _written(address)}
    return {
        fields[9]
        for file in ("net/tcp", "net/tcp6")
        for fields in socket_rows(os.path.join(PROC, file))
        if fields[3] == LISTENING and fields[1] in places
    }


def _written(address: str) -> Iterator[str]:
    """Yield an address, and those of sockets that listen at any, as proc_pid_net(5) has them: words of the machine."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    forms = [packed, bytes(len(packed))] if len(packed) == 16 else [packed, bytes(4), _MAPPED + packed, bytes(16)]
    for form in forms:
        yield "".join(f"{word:08X}" for (word,) in struct.iter_unpack("=I", form))


def socket_rows(path: str) -> Iterator[Tuple[str, ...]]:
    """Yield the columns of a table of sockets."""
    # A kernel without IPv6 has no such file.
    with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii", errors="replace") as file:
        next(file, None)
        for line in file:
            yield tuple(line.split())


def processes(unit: str) -> Iterator[str]:
    """Yield the numbers of the processes of a unit: those in its control group, or in one below."""
    for number in filter(str.isdecimal, os.listdir(PROC)):
        # Processes end at any time.
        with contextlib.suppress(OSError), open(os.path.join(PROC, number, "cgroup"), encoding="utf-8") as file:
            if any(unit in line.rstrip("\n").split("/") for line in file):
                yield number


def sockets_of(numbers: Iterable[str]) -> Set[str]:
    """Return the sockets, by their inodes, that processes hold."""
    inodes: Set[str] = set()
    for number in numbers:
        directory = os.path.join(PROC, number, "fd")
        with contextlib.suppress(OSError):
            targets = [files.link_target(os.path.join(directory, entry)) or "" for entry in os.listdir(directory)]
            inodes.update(target[len("socket:[") : -1] for target in targets if target.startswith("socket:["))
    return inodes
