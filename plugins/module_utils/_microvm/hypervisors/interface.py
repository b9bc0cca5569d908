# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a hypervisor is to the rest: a command line for a declaration, and what it can do, as data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import Optional, Tuple, Union

from ..declaration.parse import Declaration


@dataclass(frozen=True)
class HostFacts:
    """What of a host decides a command line. ``accel`` is ``kvm`` or ``tcg``: what ``auto`` came to."""

    architecture: str = "x86_64"
    accel: str = "kvm"


class Variable(Enum):
    """Parts of a command line that are known only where and when it runs."""

    PACKAGE = "package"
    """Path of the runner package."""
    TSC_PARAMETER = "tsc_parameter"
    """A blank and ``tsc_early_khz=…``, or nothing where the host's frequency is not known."""


Part = Union[str, Variable]


@dataclass(frozen=True)
class Word:
    """One argument, put together from literal text and variables."""

    parts: Tuple[Part, ...]


@dataclass(frozen=True)
class Shutdown:
    """Asks the guest to end. ``requests`` are lines written to the ``socket``, the last one again and again until the
    hypervisor has closed it or ``timeout`` seconds are over: a guest hears the button only once it has booted."""

    socket: str
    requests: Tuple[str, ...]
    timeout: int


@dataclass(frozen=True)
class Command:
    """All that a package needs to know of a hypervisor."""

    argv: Tuple[Word, ...]
    shutdown: Optional[Shutdown]
    tap_flags: Tuple[str, ...]
    """Flags of `ip tuntap`: the hypervisor opens a tap only if it was made with the same ones."""


@dataclass(frozen=True)
class Capabilities:
    """What a hypervisor can do; validation, documentation and tests read it."""

    architectures: Tuple[str, ...]
    interface_types: Tuple[str, ...]
    share_protocols: Tuple[str, ...]
    accelerators: Tuple[str, ...]
    credentials: bool
    """Guests can be configured by systemd credentials."""
    vcpus: int
    """Number of virtual processors that its machine has place for."""
    devices: int
    """Number of volumes, interfaces and shares together that its machine has place for."""


class Hypervisor(ABC):
    """One file in this folder for each; ``registry.py`` knows them by name."""

    name: str
    capabilities: Capabilities

    @abstractmethod
    def command(self, declaration: Declaration, facts: HostFacts) -> Command:
        """The command line for a declaration that ``registry.check`` accepts."""


def words(*texts: Union[str, Word]) -> Tuple[Word, ...]:
    """Literal arguments as words."""
    return tuple(text if isinstance(text, Word) else Word((text,)) for text in texts)
