# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""State of a MicroVM on one of the two hosts of a move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from ...host.holds import Hold


@dataclass(frozen=True)
class VolumeFile:
    """Image with its size."""

    image: str
    """Path relative to the working directory."""
    size: int
    """Bytes that a reader sees."""
    allocated: int
    """Bytes that the image has on the disk, which a copy takes at most."""


@dataclass(frozen=True)
class Observed:
    """A MicroVM as one of the hosts has it."""

    name: str
    hold: Optional[Hold] = None
    receipt: Optional[Hold] = None
    is_installed: bool = False
    is_up: bool = False
    """True if it runs, or something of it is left."""
    is_running: bool = False
    is_enabled: bool = False
    volumes: Tuple[VolumeFile, ...] = ()
    """Images in the working directory that a move takes along."""
    outside: Tuple[str, ...] = ()
    """Images elsewhere that it writes to, which a move does not take along."""
    shared: Tuple[str, ...] = ()
    """Directories that it shares with its guest, which a move does not take along."""
    irregular: Tuple[str, ...] = ()
    """Images in the working directory that a link leads to, or that are no regular files."""
    replaced: Optional[str] = None
    """Former name of it under which this host has another MicroVM, whose place it would take."""
    has_incoming: bool = False
    """True if the directory is there that volumes arrive in."""
    incoming: Tuple[VolumeFile, ...] = ()
    """Images that have arrived, as a whole or in part."""
    recorded_keys: Tuple[str, ...] = ()
    """Types and public SSH host keys of its guest, as far as this host has recorded them."""
    made_key: Optional[str] = None
    """File of the SSH host key that this host gives its guest."""
    incoming_key: Optional[str] = None
    """File of the SSH host key that the other host has given its guest, and that has arrived."""
    knows_holds: bool = True
    """True if the units of the host look for holds."""
