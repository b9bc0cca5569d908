# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conditions of MicroVMs: whether each is as it was declared, and what is not. Pure."""

from __future__ import annotations

from typing import Iterable, List, Mapping, NamedTuple, Optional, Sequence

from ..declaration.names import unit_name
from ..host.lost_shares import LostShares
from ..host.records import Record
from ..host.systemd import Unit
from .outcomes import refusal

OK, PENDING, REFUSED, DOWN, FAILED = CONDITIONS = ("ok", "pending", "refused", "down", "failed")
"""Words for conditions, the worst last."""


class Condition(NamedTuple):
    """Condition of a MicroVM, and why it is not ``ok``, with what to do: worst first."""

    word: str
    reasons: List[str]


def condition(
    name: str,
    unit: Unit,
    failed_helpers: Mapping[str, Unit],
    record: Optional[Record],
    is_pending: bool,
    lost: Optional[LostShares] = None,
) -> Condition:
    """Return the condition of a MicroVM.

    ``failed_helpers`` are its helper units that have failed, by name; ``lost`` is why its last start lost its shares.
    """
    reasons = {
        FAILED: _failures(name, unit, failed_helpers, lost),
        DOWN: _absence(name, unit, record),
        REFUSED: [refusal(record)] if record is not None and record.refused else [],
        PENDING: [f"a restart is pending: microvm restart {name}"] if is_pending else [],
    }
    if reasons[FAILED]:
        # What has failed is down as well.
        reasons[DOWN] = []
    words = [word for word in reversed(CONDITIONS) if reasons.get(word)]
    return Condition(words[0] if words else OK, [reason for word in words for reason in reasons[word]])


def worst(words: Iterable[str]) -> str:
    """Return the worst of some conditions; that of no MicroVM is ``ok``."""
    return max(words, key=CONDITIONS.index, default=OK)


def _failures(name: str, unit: Unit, failed_helpers: Mapping[str, Unit], lost: Optional[LostShares]) -> Sequence[str]:
    results = {helper: state.result for helper, state in failed_helpers.items()}
    if unit.active_state == "failed":
        results[unit_name(name)] = f"{unit.result}, since {lost.words}" if lost is not None else unit.result
    return [f"{failing} has failed ({result}); see: microvm logs {name}" for failing, result in results.items()]


def _absence(name: str, unit: Unit, record: Optional[Record]) -> Sequence[str]:
    """Return that a MicroVM does not run though it should: by its declaration, or else as it starts with the host."""
    state = record.state if record is not None else None
    should_run = state == "started" or (state is None and unit.enabled)
    if unit.running or not should_run:
        return []
    return [f"it should run and does not ({unit.active_state}); start it: microvm start {name}"]
