# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command line of a hypervisor, and all that a package needs to know beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Optional, Tuple, Union

from .requests import Balloon, GuestShutdown, Notify, Shutdown
from .words import Word


@dataclass(frozen=True)
class Command:
    """Command line of a hypervisor, and what goes with it in a package."""

    argv: Tuple[Word, ...]
    shutdown: Union[Shutdown, GuestShutdown, None] = None
    balloon: Optional[Balloon] = None
    sets_balloon: bool = False
    """True if the balloon gets its first size by a request when the hypervisor runs, since no argument can give it."""
    live_options: Tuple[str, ...] = ()
    """Options of the command line whose values a MicroVM that runs can be given without a restart."""
    multi_queue: bool = False
    """True if taps have several queues: a hypervisor opens a tap only if it was made with the same flags."""
    macvtaps: Tuple[Tuple[str, int], ...] = ()
    """Interfaces and file descriptors that they must be open at."""
    stale: Tuple[str, ...] = ()
    """Sockets that a killed hypervisor leaves and that the next would stumble over."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Files of the package by their name below ``share/microvm``."""
    events: bool = False
    """True if the hypervisor takes commands and reports events, such as the reason of its end, over the two FIFOs of
    ``EVENTS_PIPE`` (QMP)."""
    sidecar: Tuple[Word, ...] = ()
    """Command line of a program that runs beside the hypervisor, and makes ``sidecar_socket`` before it starts."""
    sidecar_socket: str = ""
    io_uring: bool = False
    """True if files are read and written by io_uring(7) without a word of it on the command line."""
    notify: Optional[Notify] = None
    notify_port: Optional[int] = None
    """Port of the host's vsock(7) at which the relay of this MicroVM listens for the guest's notification."""
    initrd_credentials: Tuple[str, ...] = ()
    """Names of the credentials that are appended to the initial RAM disk."""
    initrd_descriptor: int = 0
    """File descriptor that the initial RAM disk with credentials is open at."""
    needs_home: bool = False
    """True if the hypervisor keeps its control socket in its home, which is the working directory then."""
    terminal: bool = False
    """True if the hypervisor ends unless its standard input is a terminal."""
    clean_end: str = ""
    """Meaning of an end without failure or reason, ``poweroff`` or ``reboot``, where it is not always the profile's."""
    programs: Tuple[str, ...] = ()
    """Programs that the command runs beside the hypervisor's own."""
