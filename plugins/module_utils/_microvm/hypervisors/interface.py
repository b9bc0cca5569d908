# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a hypervisor is to the rest: a command line for a declaration, and how it is talked to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Iterator, Mapping, Optional, Tuple, Union

from ..declaration.vms.parse import Declaration
from ..schema.errors import DeclarationError
from .capabilities import CAPABILITIES, Capabilities

Version = Tuple[int, ...]


@dataclass(frozen=True)
class HostFacts:
    """What of a host decides a command line.

    ``accel`` is ``kvm`` or ``tcg``, what ``auto`` came to; ``auto`` where no host was asked. ``versions`` are those of
    the programs, by the hypervisor's name, or ``virtiofsd``; one that is not known counts as the newest.
    """

    architecture: str = "x86_64"
    accel: str = "kvm"
    system: str = "linux"
    versions: Mapping[str, Version] = field(default_factory=dict)

    def has(self, program: str, *version: int) -> bool:
        """Whether a program is of this version or newer."""
        known = self.versions.get(program)
        return known is None or known >= version

    def guest(self, declaration: Declaration) -> str:
        """The guest's architecture."""
        return str(declaration["guest_system"] or f"{self.architecture}-{self.system}").partition("-")[0]


class Variable(Enum):
    """Parts of a command line that are known only where and when it runs: variables of the scripts."""

    PACKAGE = "package"
    """Path of the runner package."""
    TSC_PARAMETER = "tsc_parameter"
    """A blank and ``tsc_early_khz=…``, or nothing where the host's frequency is not known."""
    WORKING_DIRECTORY = "PWD"
    """The state directory."""
    PROCESSORS = "processors"
    """Number of the host's processors."""
    WAYLAND_DISPLAY = "wayland_display"
    """Socket of the Wayland compositor that a display is shown by."""
    BALLOON_BYTES = "balloon_bytes"
    """What the balloon shall take."""
    BALLOON_MEBIBYTES = "balloon_mebibytes"
    """The same in MiB."""
    GUEST_BYTES = "guest_bytes"
    """What it shall leave to the guest."""
    DIFFERENCE = "difference"
    """By how many MiB the balloon shall grow or shrink."""


@dataclass(frozen=True)
class TapDevice:
    """Path of the character device of a macvtap, by the interface's name."""

    interface: str


@dataclass(frozen=True)
class CredentialFile:
    """Path of a credential: systemd's copy where the unit was given one (systemd.exec(5), LoadCredential), else the
    declared file. ``path`` is written as the hypervisor's option wants it."""

    name: str
    path: str


Part = Union[str, Variable, TapDevice, CredentialFile]


@dataclass(frozen=True)
class Word:
    """One argument, put together from literal text and variables."""

    parts: Tuple[Part, ...]


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
    body: Word = Word(())


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


@dataclass(frozen=True)
class Command:
    """All that a package needs to know of a hypervisor."""

    argv: Tuple[Word, ...]
    shutdown: Optional[Shutdown] = None
    balloon: Optional[Balloon] = None
    tells_balloon: bool = False
    """The balloon is told its first size when the hypervisor runs, since its command line cannot."""
    multi_queue: bool = False
    """Taps have several queues: a hypervisor opens a tap only if it was made with the same flags."""
    macvtaps: Tuple[Tuple[str, int], ...] = ()
    """Interfaces and file descriptors that they must be open at."""
    stale: Tuple[str, ...] = ()
    """Sockets that a hypervisor that was killed has left and that the next would stumble over."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Files of the package by their name below ``share/microvm``."""
    events: bool = False
    """It is told and tells over the two FIFOs of ``EVENTS_PIPE`` (QMP), among others why it ends."""
    companion: Tuple[Word, ...] = ()
    """A program that runs beside the hypervisor, and makes ``companion_socket`` before it starts."""
    companion_socket: str = ""
    notify: Optional[Notify] = None
    appended: Tuple[str, ...] = ()
    """Names of the credentials that the initial RAM disk is given, and the descriptor that it is then open at."""
    appended_at: int = 0
    needs_home: bool = False
    """It keeps its control socket in its home, which is the state directory then."""
    needs_terminal: bool = False
    """The hypervisor does not start where standard input is no terminal."""
    programs: Tuple[str, ...] = ()
    """Programs that it runs itself."""


class Hypervisor(ABC):
    """One file in this folder for each; ``registry.py`` knows them by name."""

    name: str

    @property
    def capabilities(self) -> Capabilities:
        """What it can do, as data."""
        return CAPABILITIES[self.name]

    @abstractmethod
    def command(self, declaration: Declaration, facts: HostFacts) -> Command:
        """The command line for a declaration that ``registry.check`` accepts.

        Raises DeclarationError, with a path relative to the declaration, for what only the command line shows.
        """


Text = Union[str, Word]


def words(*texts: Text) -> Tuple[Word, ...]:
    """Literal arguments as words."""
    return tuple(text if isinstance(text, Word) else Word((text,)) for text in texts)


def join(*parts: Part) -> Word:
    """One word of several parts."""
    return Word(parts)


def program(package: Optional[str], name: str) -> str:
    """What to run for the option ``package``: a directory, a program's path or its name, see the option."""
    if package is None:
        return name
    package = package.rstrip("/")
    is_program = not package.startswith("/") or package.split("/")[-2] in ("bin", "sbin", "libexec")
    return package if is_program else f"{package}/bin/{name}"


def refuse_in(declaration: Declaration, paths: Tuple[str, ...], characters: str, name: str) -> None:
    """Raises DeclarationError for the first value at one of the options' paths (``shares[].tag``) that has one of the
    characters; of a mapping, its values are meant."""
    for path in paths:
        for key, text in _values(declaration, path):
            refuse_characters(text or "", characters, key, name)


def _values(declaration: Mapping[str, Any], path: str) -> Iterator[Tuple[str, Any]]:
    head, _dot, rest = path.partition(".")
    if head.endswith("[]"):
        for index, element in enumerate(declaration[head[:-2]]):
            yield from ((f"{head[:-1]}{index}].{key}", value) for key, value in _values(element, rest))
    elif rest:
        yield from ((f"{head}.{key}", value) for key, value in _values(declaration[head], rest))
    elif isinstance(declaration[head], Mapping):
        yield from ((f"{head}.{key}", value) for key, value in declaration[head].items())
    else:
        yield head, declaration[head]


def refuse_characters(text: str, characters: str, key: str, name: str) -> None:
    """Raises DeclarationError for what a hypervisor's way of writing options cannot express."""
    found = sorted({character for character in text if character in characters})
    if found:
        listed = " and ".join(repr(character) for character in found)
        raise DeclarationError(key, f"{name} cannot be told a value with {listed}; use another name")
