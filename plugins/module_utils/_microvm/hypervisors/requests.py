# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to a hypervisor that runs, and to its guest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple, Union

from ..declaration.vms.parse import Declaration
from .words import Variable, Word, join

NO_BODY = Word(())


@dataclass(frozen=True)
class QmpRequest:
    """A command of the QEMU Machine Protocol, as JSON."""

    socket: str
    command: Word


@dataclass(frozen=True)
class HttpRequest:
    """A request over a Unix socket; the body is JSON, or empty."""

    socket: str
    method: str
    path: str
    body: Word = NO_BODY


@dataclass(frozen=True)
class CommandRequest:
    """A program that is run."""

    argv: Tuple[Word, ...]


Request = Union[QmpRequest, HttpRequest, CommandRequest]

SHUTDOWN_TIMEOUT = 120
"""Seconds, where nothing else is said (``STOP_TIMEOUT`` in the environment)."""


@dataclass(frozen=True)
class Shutdown:
    """Asks the guest to end: again and again, since a guest hears it only once it has booted, until the hypervisor's
    process has ended or ``timeout`` seconds are over."""

    request: Request
    timeout: int = SHUTDOWN_TIMEOUT


@dataclass(frozen=True)
class Balloon:
    """Tells the balloon its size; or, where only a difference can be told, to grow and to shrink."""

    request: Request
    shrink: Optional[Request] = None


@dataclass(frozen=True)
class Notify:
    """The guest's systemd tells the host's that it is up: over a port of the vsock, which is the socket here."""

    socket: str
    port: int = 8888

    @property
    def credential(self) -> str:
        """The value of ``vmm.notify_socket`` (systemd.system-credentials(7))."""
        return f"vsock-stream:2:{self.port}"


def qmp_balloon(declaration: Declaration) -> Optional[Balloon]:
    """The command ``balloon`` of the QEMU Machine Protocol, which says what is left to the guest."""
    if not declaration["balloon"] or declaration["socket"] is None:
        return None
    command = join('{"execute":"balloon","arguments":{"value":', Variable.GUEST_BYTES, "}}")
    return Balloon(QmpRequest(declaration["socket"], command))
