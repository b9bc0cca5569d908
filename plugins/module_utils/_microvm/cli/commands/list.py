# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm list``."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import List, Mapping, Optional, Sequence

from ...host.commands import HostError
from ...operations.condition import DOWN, FAILED, OK, PENDING, REFUSED, worst
from ...operations.flake_states import OUTDATED, UNKNOWN, FlakeState, advice, flake_states
from ...operations.info import Information, inform
from ..host import places
from ..output import complain, say
from ..table import GREEN, RED, YELLOW, bytes_in_words, colours, table

HEAD = ("NAME", "STATE", "GENERATION", "CURRENT", "BOOTED", "CONDITION", "RESTARTS", "MEMORY", "SINCE")

STATUSES = {OK: 0, PENDING: 2, REFUSED: 2, DOWN: 3, FAILED: 3}
"""Exit statuses of list by the worst condition of a MicroVM."""

States = Mapping[str, FlakeState]
"""Comparisons of MicroVMs with their flakes, by name."""

SHOWN_DIGITS = 8
"""Digits of a digest that are shown."""


def list_vms(arguments: Namespace) -> int:
    """``microvm list``."""
    where = places(arguments)
    vms = inform(where, arguments.names or None)
    missing = sorted(set(arguments.names) - {vm["name"] for vm in vms})
    if missing:
        raise HostError(f"there is no MicroVM {', '.join(missing)} in {where.state_directory}; see: microvm list")
    if arguments.tag is not None:
        vms = [vm for vm in vms if arguments.tag in vm["tags"]]
    states = flake_states(vms, where) if arguments.evaluate else None
    if arguments.json:
        say(json.dumps(_for_programs(vms, states), indent=2, sort_keys=True))
    elif vms:
        _show(vms, states)
    else:
        tagged = f" with the tag {arguments.tag}" if arguments.tag is not None else ""
        say(f"there are no MicroVMs{tagged} in {where.state_directory}")
    words = [state["state"] for state in (states or {}).values()]
    if complain_of(vms) or UNKNOWN in words:
        return 1
    return max(STATUSES[worst(vm["condition"] for vm in vms)], STATUSES[PENDING] if OUTDATED in words else 0)


def _for_programs(vms: Sequence[Information], states: Optional[States]) -> Sequence[Mapping[str, object]]:
    return vms if states is None else [{**vm, "flake": states.get(vm["name"])} for vm in vms]


def _show(vms: Sequence[Information], states: Optional[States]) -> None:
    """Say a line for each MicroVM, and what is wrong with any."""
    paint = [_colour(vm) for vm in vms] if colours() else ()
    rows = [row(vm) for vm in vms]
    if states is not None:
        rows = [[*cells, states[vm["name"]]["state"] if vm["name"] in states else "-"] for cells, vm in zip(rows, vms)]
    say(table(HEAD if states is None else (*HEAD, "FLAKE"), rows, paint), has_colours=True)
    for vm in vms:
        for reason in vm["reasons"]:
            complain(f"{vm['name']}: {reason}")
        remark = advice(vm["name"], states[vm["name"]]) if vm["name"] in (states or {}) and states else ""
        if remark:
            complain(f"{vm['name']}: {remark}")


def complain_of(vms: Sequence[Information]) -> bool:
    """Say what is wrong with files of MicroVMs; returns whether anything is."""
    damaged = [vm for vm in vms if vm["error"] is not None]
    for vm in damaged:
        complain(f"microvm: {vm['name']}: {vm['error']}")
    return bool(damaged)


def row(vm: Information) -> List[str]:
    """Cells of one MicroVM."""
    return [
        vm["name"],
        vm["state"] + (" (foreign)" if vm["foreign"] else "") + (" (damaged)" if vm["error"] else ""),
        text(vm["generation"]),
        short(vm["current"]),
        short(vm["booted"]),
        vm["condition"],
        str(vm["restarts"]),
        bytes_in_words(vm["memory"]),
        since(vm["active_since"]),
    ]


def short(package: Optional[str]) -> str:
    """The beginning of a package's digest, ours or Nix's; a dash where there is none."""
    return (package or "").rpartition("/")[2][:SHOWN_DIGITS] or "-"


def since(words: Optional[str]) -> str:
    """systemd's time without the day of the week."""
    return (words or "").partition(" ")[2] or "-"


def text(value: object) -> str:
    return "-" if value in (None, "", []) else str(value)


def _colour(vm: Information) -> Optional[str]:
    if vm["condition"] in (DOWN, FAILED) or vm["error"] is not None:
        return RED
    if vm["condition"] in (PENDING, REFUSED) or vm["state"] in ("activating", "deactivating"):
        return YELLOW
    return GREEN if vm["state"] == "active" else None
