# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Words of a command line: literal strings, and what is known only where and when it runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Tuple, Union


class Variable(Enum):
    """Parts of a command line that are known only where and when it runs: variables of the scripts."""

    PACKAGE = "package"
    """Path of the runner package."""
    TSC_PARAMETER = "tsc_parameter"
    """Blank and ``tsc_early_khz=…``, or nothing where the host's frequency is not known."""
    WORKING_DIRECTORY = "PWD"
    """State directory."""
    PROCESSORS = "processors"
    """Number of the host's processors."""
    WAYLAND_DISPLAY = "wayland_display"
    """Socket of the Wayland compositor that a display is shown by."""
    BALLOON_BYTES = "balloon_bytes"
    """Bytes that the balloon shall take."""
    BALLOON_MEBIBYTES = "balloon_mebibytes"
    """MiB that the balloon shall take."""
    GUEST_BYTES = "guest_bytes"
    """Bytes that the balloon shall leave to the guest."""
    DIFFERENCE = "difference"
    """MiB by which the balloon shall grow or shrink."""


@dataclass(frozen=True)
class TapDevice:
    """Path of the character device of a macvtap, by the interface's name."""

    interface: str


@dataclass(frozen=True)
class CredentialFile:
    """Path of a credential: systemd's copy where the unit has one (systemd.exec(5), LoadCredential), else the
    declared file. ``path`` is written as the hypervisor's option wants it."""

    name: str
    path: str


Part = Union[str, Variable, TapDevice, CredentialFile]


@dataclass(frozen=True)
class Word:
    """Argument, put together from literal strings and variables."""

    parts: Tuple[Part, ...]


Text = Union[str, Word]


def words(*texts: Text) -> Tuple[Word, ...]:
    """Return literal arguments as words."""
    return tuple(text if isinstance(text, Word) else Word((text,)) for text in texts)


def join(*parts: Part) -> Word:
    """Return a word of several parts."""
    return Word(parts)
