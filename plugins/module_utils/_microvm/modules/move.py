# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``main()`` of microvm_move."""

from __future__ import annotations

from ..host.places import Places
from ..host.settings import state_directory
from ..operations.move import MoveResult, move
from .fleet_module import FleetModule, Parameters
from .options import MOVE_MODULE_OPTIONS


def run_move() -> None:
    """Do one host's part in a move, and report it."""
    module = FleetModule(MOVE_MODULE_OPTIONS, lambda parameters: None)
    module.exit_json(**module.attempt(_move))


def _move(parameters: Parameters, check_mode: bool) -> MoveResult:
    return move(
        parameters["name"],
        parameters["state"],
        parameters["peer"] or "",
        parameters["images"] or (),
        parameters["digests"],
        Places(state_directory("state_dir", parameters["state_dir"])),
        check_mode,
        parameters["renamed_from"],
        parameters["guest_keys"] or (),
    )
