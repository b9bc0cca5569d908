# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Holds of MicroVMs that are being moved between hosts: as long as one is there, the unit does not start.

A hold says on which side of the move this host is. It becomes a receipt when the MicroVM may start: on the target as
soon as the volumes are in place, until the MicroVM is removed from the source; on the source when the move is taken
back, until the MicroVM runs again.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import List, Optional

from ..declaration.names import MOVE_DIRECTORY, MOVE_SOURCE, MOVE_TARGET
from ..schema.options import Option, Options
from . import files
from .json_files import read_json_record

_HOLD_SUFFIX, _RECEIPT_SUFFIX = ".hold", ".receipt"

_HOLD: Options = (
    Option("side", "str", "See Hold; the others too.", required=True, choices=(MOVE_SOURCE, MOVE_TARGET)),
    Option("peer", "str", "", required=True),
    Option("enabled", "bool", "", default=False),
    Option("running", "bool", "", default=False),
)


@dataclass(frozen=True)
class Hold:
    """Side of a move that a host is on."""

    side: str
    peer: str
    """Name of the other host in the inventory."""
    enabled: bool = False
    """True if the MicroVM started with the host before."""
    running: bool = False
    """True if the MicroVM ran before."""


def read_hold(name: str) -> Optional[Hold]:
    """Return the hold of a MicroVM; ``None`` where there is none. Raises UnreadableFile."""
    return _read(hold_path(name))


def read_receipt(name: str) -> Optional[Hold]:
    """Return the receipt of a MicroVM; ``None`` where there is none. Raises UnreadableFile."""
    return _read(_receipt_path(name))


def held_names() -> List[str]:
    """Return the names of the MicroVMs that have a hold."""
    try:
        entries = os.listdir(MOVE_DIRECTORY)
    except FileNotFoundError:
        return []
    return sorted(entry[: -len(_HOLD_SUFFIX)] for entry in entries if entry.endswith(_HOLD_SUFFIX))


def coming_names() -> List[str]:
    """Return the names of the MicroVMs that are being moved to this host. Raises UnreadableFile."""
    held = {name: read_hold(name) for name in held_names()}
    return [name for name, hold in held.items() if hold is not None and hold.side == MOVE_TARGET]


def is_moving(name: str) -> bool:
    """Return whether a MicroVM is being moved, also when it may start already. Raises UnreadableFile."""
    return read_hold(name) is not None or read_receipt(name) is not None


def write_hold(name: str, hold: Hold) -> None:
    """Hold a MicroVM, on the disk when this returns."""
    os.makedirs(MOVE_DIRECTORY, 0o700, exist_ok=True)
    files.replace_file(hold_path(name), (json.dumps(asdict(hold), sort_keys=True) + "\n").encode())


def remove_hold(name: str) -> None:
    """Forget that a MicroVM was held."""
    files.remove(hold_path(name))
    files.sync_directory(MOVE_DIRECTORY)


def to_receipt(name: str) -> None:
    """Let a MicroVM start, and remember how it was before."""
    os.replace(hold_path(name), _receipt_path(name))
    files.sync_directory(MOVE_DIRECTORY)


def remove_receipt(name: str) -> None:
    """Forget that a MicroVM was moved, or was about to be."""
    files.remove(_receipt_path(name))


def hold_path(name: str) -> str:
    """Path that units look for."""
    return os.path.join(MOVE_DIRECTORY, name + _HOLD_SUFFIX)


def _receipt_path(name: str) -> str:
    return os.path.join(MOVE_DIRECTORY, name + _RECEIPT_SUFFIX)


def _read(path: str) -> Optional[Hold]:
    values = read_json_record(path, _HOLD)
    return None if values is None else Hold(**values)


def reason(name: str) -> Optional[str]:
    """Return why a MicroVM must not start; ``None`` where it may."""
    hold = read_hold(name)
    if hold is None:
        return None
    where = f"to {hold.peer}" if hold.side == MOVE_SOURCE else f"from {hold.peer} to this host"
    return (
        f"{name} is being moved {where} and does not start meanwhile; run the playbook microvm.fleet.move again, which "
        "completes the move, or takes it back with `-e microvm_move_back=true`"
    )
