# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Last words of units that have failed, from the journal of their last start: of a helper unit that a MicroVM needs, of
its hypervisor, and of its guest."""

from __future__ import annotations

from typing import List, NamedTuple, Sequence

from ..declaration.names import unit_name, unit_names
from ..schema.excerpts import last_lines
from .bus import ask, blocks
from .capture import capture
from .commands import HostError
from .lost_shares import lost_shares
from .reasons import reason_of_guest, reason_of_hypervisor

JOURNAL_SECONDS = 30
"""Time limit of a look into the journal, which may be long and on a slow disk."""

LINES = 12
"""Lines of a unit that are shown."""

READ_LINES = 200
"""Lines of a unit that are read; a kernel that panics says why before it says where."""

WARNING, INFO, DEBUG = "warning", "info", "debug"
"""Priorities of the hypervisor's errors, of the host's messages and of the guest's console (docs/units.md)."""


class _Unit(NamedTuple):
    """Unit as systemd knows it."""

    name: str
    active_state: str
    result: str
    invocation: str
    """Identifier of the last start; it is empty for a unit that was not started."""


def explanation(name: str, problem: str) -> str:
    """Return a problem of a unit with the words that explain it, the most telling ones in the first line.

    Where a helper unit has failed, systemd only says that a dependency has, so the helper's own words are quoted.
    """
    vm = _microvm(name)
    units = _show(unit_names(vm) if vm else (name,))
    failed = [unit for unit in units if unit.name != name and unit.active_state == "failed"]
    paragraphs = [_of_helper(name, unit) for unit in failed] or [_of_service(units[0], problem)]
    return "\n".join([*paragraphs, f"More: microvm logs {vm}" if vm else f"More: journalctl --unit {name}"])


def with_remark(error: object, remark: str) -> HostError:
    """Return an error with a remark in its first line, before the lines of a journal."""
    first, _break, rest = str(error).partition("\n")
    return HostError("\n".join(filter(None, (f"{first}; {remark}", rest))))


def _microvm(name: str) -> str:
    """Return the name of the MicroVM whose service a unit is; empty for any other unit."""
    vm = name.partition("@")[2].rpartition(".")[0]
    return vm if vm and unit_name(vm) == name else ""


def _show(names: Sequence[str]) -> List[_Unit]:
    """Return units in the order of their names."""
    properties = "Id,ActiveState,Result,InvocationID"
    try:
        output = ask(["systemctl", "show", f"--property={properties}", "--", *names])
    except HostError:
        # The problem itself is what has to be said.
        output = ""
    keys = properties.split(",")
    shown = {values.get("Id", ""): _Unit(*(values.get(key, "") for key in keys)) for values in blocks(output)}
    return [shown.get(name, _Unit(name, "", "", "")) for name in names]


def _of_helper(name: str, helper: _Unit) -> str:
    words = (_lines(helper, INFO, is_own=True) or _lines(helper, WARNING))[-LINES:]
    return _paragraph(f"{helper.name}, which {name} needs, has failed ({helper.result})", words[-1:], words[:-1])


def _of_service(service: _Unit, problem: str) -> str:
    first_line = problem.strip().partition("\n")[0]
    lost = lost_shares(_microvm(service.name), service.invocation)
    if lost is not None:
        # What the hypervisor says is what follows from that.
        daemons = _Unit("", "failed", lost.result, lost.daemons)
        return _paragraph(first_line, [lost.words], _lines(daemons, INFO, is_own=True)[-LINES:])
    hypervisor, every = _lines(service, WARNING, is_own=True), _lines(service, DEBUG)
    reason = reason_of_guest(every) or reason_of_hypervisor(hypervisor)
    # What the hypervisor has said last is no reason: a log of its end, for example.
    words = [reason] if reason else (_lines(service, INFO, is_own=True) or hypervisor or _lines(service, WARNING))[-1:]
    errors = hypervisor[-LINES:]
    others = [*errors, *(line for line in every[-LINES:] if line not in errors)]
    return _paragraph(first_line, words, [line for line in others if line.strip() not in words])


def _paragraph(problem: str, words: Sequence[str], others: Sequence[str]) -> str:
    """Return a problem, the words that explain it in the same line, and other lines of the journal."""
    first = f"{problem}: {words[0]}" if words else problem
    return "\n".join([first, *(["Last lines of its journal:", *others] if others else [])])


def _lines(unit: _Unit, priority: str, is_own: bool = False) -> List[str]:
    """Return the last lines of a unit's last start with a priority or a higher one, fit for a message.

    ``is_own`` leaves out what systemd says about the unit.
    """
    start = unit.invocation
    matches = [f"_SYSTEMD_INVOCATION_ID={start}", *([] if is_own else ["+", f"INVOCATION_ID={start}"])]
    # The last line first: where there is more than is read, the last lines are.
    options = ["--lines", str(READ_LINES), "--reverse", "--priority", priority, "--no-pager", "--quiet"]
    try:
        # A line has no limit where a program has written it to the journal's socket itself.
        command = ["journalctl", *options, "--output", "cat", *matches]
        text = capture(command, JOURNAL_SECONDS).text if start else ""
    except HostError as error:
        return [f"({error})"]
    lines = [line for line in reversed(text.split("\n")) if line.strip()]
    return last_lines("\n".join(lines), READ_LINES).split("\n") if lines else []
