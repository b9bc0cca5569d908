# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Summary of a run by MicroVM, for people: what has changed or is wrong, and why. Pure."""

from __future__ import annotations

from typing import List, Optional, Sequence

from ..declaration.names import NIX_STORE
from ..schema.excerpts import excerpt, first_line
from .report import VmResult

HEAD = ("MICROVM", "OUTCOME", "GUEST", "WHY")

WHY_CHARACTERS = 200
"""Limit of the reason in a line of the table."""

FIRST_CHARACTERS = 1000
"""Limit of a reason below the table, which is too long for it."""

PACKAGE_CHARACTERS = 8
"""How much of a package's digest is shown, as the command does."""


def summarize(vms: Sequence[VmResult], undeclared: Sequence[str], purge: str, check: bool) -> List[str]:
    """Return the lines of a summary; none where nothing has changed and nothing is wrong."""
    shown = [vm for vm in vms if outcome_of(vm, check) != "unchanged"]
    lines = _table([_row(vm, check) for vm in shown]) if shown else []
    if shown and len(shown) < len(vms):
        lines.append(f"Unchanged: {len(vms) - len(shown)} more.")
    if undeclared:
        lines.append(f"Installed on the host but not declared (microvm_purge: {purge}): {', '.join(undeclared)}")
    for vm in shown:
        details = _details(vm["msg"])
        if details:
            lines += [f"{vm['name']}:", *(f"  {line}" for line in details)]
    return lines


def _details(message: str) -> List[str]:
    """Return the lines of a message that the table has not, or not whole: its end often has the reason."""
    first, *others = message.split("\n")
    return [excerpt(first, FIRST_CHARACTERS), *others] if len(first) > WHY_CHARACTERS else others


def outcome_of(vm: VmResult, check: bool = False) -> str:
    """Return the outcome for a MicroVM in a word or two, the worst if there are several."""
    outcomes = (
        (vm["rolled_back"], "rolled back"),
        (bool(vm["refused_package"]), "refused"),
        (vm["failed"], "failed"),
        (vm["changed"], "would change" if check else "changed"),
        (vm["restart_pending"], "pending"),
    )
    return next((word for is_so, word in outcomes if is_so), "unchanged")


def _row(vm: VmResult, check: bool) -> Sequence[str]:
    guest = vm["consequence"] if vm["changed"] or vm["restart_pending"] else "-"
    return vm["name"], outcome_of(vm, check), guest, excerpt(_why(vm), WHY_CHARACTERS)


def _why(vm: VmResult) -> str:
    if vm["failed"]:
        return first_line(vm["msg"])
    reasons = []
    if vm["refused_package"]:
        reasons.append(f"{vm['refused_package']} is marked bad; see: microvm generations {vm['name']}")
    if vm["changed"]:
        reasons.append(_changes(vm))
    if vm["restart_pending"]:
        reasons.append(f"to apply it: microvm restart {vm['name']}")
    return "; ".join(reasons)


def _changes(vm: VmResult) -> str:
    """Return what a run changes: the options that differ, or else its steps."""
    if vm["state"] == "absent":
        kept = f", keeps {', '.join(vm['kept'])}" if vm["kept"] else ""
        return f"removed{kept}"
    if vm["previous_package"] is None and vm["package"] is not None:
        return "new"
    options = ", ".join(change["option"] for change in vm["changes"])
    if options or vm["package"] in (None, vm["previous_package"]):
        return options or ", ".join(vm["actions"])
    # A package that says nothing of its options. What it takes to install it is the same for all.
    renames = [action for action in vm["actions"] if action.startswith("rename ")]
    return ", ".join([f"package {_shown(vm['previous_package'])} -> {_shown(vm['package'])}", *renames])


def _shown(package: Optional[str]) -> str:
    """Return the beginning of a package's digest, or what stands for a package that nobody has evaluated yet."""
    name = str(package).removeprefix(f"{NIX_STORE}/")
    return name if "/" in name else name[:PACKAGE_CHARACTERS]


def _table(rows: Sequence[Sequence[str]]) -> List[str]:
    widths = [max(len(row[column]) for row in (HEAD, *rows)) for column in range(len(HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in (HEAD, *rows)]
