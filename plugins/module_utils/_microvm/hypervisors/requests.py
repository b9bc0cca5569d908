# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to a hypervisor that runs, and to its guest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple, Union

from ..declaration.vms.parse import Declaration
from ..schema.errors import DeclarationError
from .words import Variable, Word, join

NO_BODY = Word(())


@dataclass(frozen=True)
class QmpRequest:
    """Command of the QEMU Machine Protocol, as JSON."""

    socket: str
    command: Word
    negotiates: bool = True
    """True if capabilities are negotiated before the command."""


@dataclass(frozen=True)
class HttpRequest:
    """Request over a Unix socket; the body is JSON, or empty."""

    socket: str
    method: str
    path: str
    body: Word = NO_BODY


@dataclass(frozen=True)
class CommandRequest:
    """Program that is run."""

    argv: Tuple[Word, ...]


Request = Union[QmpRequest, HttpRequest, CommandRequest]

SHUTDOWN_TIMEOUT = 120
"""Seconds that a guest has to end unless ``STOP_TIMEOUT`` in the environment gives others."""


@dataclass(frozen=True)
class Shutdown:
    """Request that asks the guest to end.

    It is repeated, since a guest hears it only once it has booted, until the hypervisor's process has ended or
    ``timeout`` seconds are over.
    """

    request: Request
    timeout: int = SHUTDOWN_TIMEOUT


@dataclass(frozen=True)
class GuestRequest:
    """Word that the guest itself takes over its vsock, if it is of an image of ours."""

    context: int
    """Context identifier of the guest's vsock."""
    word: str
    """``poweroff`` or ``reboot``, whichever ends the hypervisor."""

    @property
    def answer(self) -> str:
        """Return what a guest says that does so."""
        return {"poweroff": "powering off", "reboot": "rebooting"}[self.word]


@dataclass(frozen=True)
class GuestShutdown:
    """Word that ends a guest whose hypervisor has no power button."""

    guest: GuestRequest
    timeout: int = SHUTDOWN_TIMEOUT


def guest_shutdown(declaration: Declaration, word: str) -> Optional[GuestShutdown]:
    """Return how a guest without a power button is ended; not at all without a vsock."""
    context = declaration["vsock"]["cid"]
    return None if context is None else GuestShutdown(GuestRequest(context, word))


@dataclass(frozen=True)
class Balloon:
    """Request that sets the size of the balloon; or, where only a difference can be set, two requests.

    To ``shrink`` a balloon by more than is in it must have no effect, and be no error.
    """

    request: Request
    shrink: Optional[Request] = None


@dataclass(frozen=True)
class Notify:
    """Socket on the host, behind a port of the vsock, over which the guest's systemd notifies that it is up."""

    socket: str
    port: int = 8888

    @property
    def credential(self) -> str:
        """Return the value of ``vmm.notify_socket`` (systemd.system-credentials(7))."""
        return f"vsock-stream:2:{self.port}"


LEAST_NOTIFY_PORT = 1024
"""First port of vsock(7) at which others than root may listen."""

MOST_CONTEXT = 0xFFFFFFFE - LEAST_NOTIFY_PORT
"""Greatest context identifier that has a port of its own."""


def notify_port(declaration: Declaration) -> Optional[int]:
    """Return the port of the host's vsock(7) that the guest notifies, if it shall, where the host has a listener.

    It is the guest's own, as its context identifier is. Raises DeclarationError for an identifier that has none.
    """
    context = declaration["vsock"]["cid"]
    if not declaration["use_notify_sockets"] or context is None:
        return None
    if context > MOST_CONTEXT:
        raise DeclarationError(
            "vsock.cid",
            f"{context} has no port for the notification of use_notify_sockets; use {MOST_CONTEXT} or less",
        )
    return LEAST_NOTIFY_PORT + context


def notify_parameters(declaration: Declaration) -> List[str]:
    """Return the parameter of the guest's kernel by which its systemd knows that port (systemd(1))."""
    port = notify_port(declaration)
    return [] if port is None else [f"systemd.set_credential=vmm.notify_socket:vsock-stream:2:{port}"]


def qmp_balloon(declaration: Declaration, negotiates: bool = True) -> Optional[Balloon]:
    """Return the request to set a balloon over the QEMU Machine Protocol, by what is left to the guest."""
    if not declaration["balloon"] or declaration["socket"] is None:
        return None
    command = join('{"execute":"balloon","arguments":{"value":', Variable.GUEST_BYTES, "}}")
    return Balloon(QmpRequest(declaration["socket"], command, negotiates))
