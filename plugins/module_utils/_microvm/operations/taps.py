# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings tap and macvtap devices of a host into the declared state."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Collection, List, Optional, Sequence, TypedDict

from ..declaration.taps.parse import parse_taps
from ..declaration.types import HostTap
from ..host.device_users import macvtap_node
from ..host.locks import locked
from ..host.netlink import Links, find_index, opened_links
from ..resources.diffs import Diff, difference
from ..resources.executor import Outcome, execute
from ..resources.taps.handlers import HANDLERS, TapJob
from ..resources.taps.links import is_link_down
from ..resources.taps.observe import observe_taps
from ..resources.taps.plan import Action, Plan, plan
from ..resources.taps.state import Observed, Traits, shown

LOCK = "@taps"
"""Name of the lock; no MicroVM has such a name."""


class TapResult(TypedDict):
    """Outcome for one device."""

    name: str
    changed: bool
    actions: List[str]
    replaced: bool
    device: Optional[str]
    link_down: bool
    failed: bool
    msg: str


class TapsResult(TypedDict):
    """Outcome of a run over devices of a host."""

    changed: bool
    taps: List[TapResult]
    diff: List[Diff]


@dataclass(frozen=True)
class TapsRequest:
    """Devices as they are wanted on a host."""

    taps: Sequence[object]
    state_directory: str
    replace_in_use: bool = False
    expected_bridges: Sequence[str] = ()
    """Bridges that may be missing in check mode."""
    check_mode: bool = False


def reconcile_taps(request: TapsRequest) -> TapsResult:
    """Bring devices into the declared state, or say what that would mean.

    Raises DeclarationError, before anything has changed, and HostError.
    """
    taps = parse_taps(request.taps)
    with contextlib.nullcontext() if request.check_mode else locked([LOCK]), opened_links() as links:
        bridges = request.expected_bridges if request.check_mode else ()
        observed = observe_taps(links, taps, request.state_directory, bridges)
        plans = plan(observed, taps, request.replace_in_use)
        outcomes = [Outcome[Action](done=list(planned.steps)) for planned in plans]
        if not request.check_mode:
            outcomes = _carry_out(links, observed, plans)
        down = {tap["name"] for tap in taps if is_link_down(observed, tap, taps)}
        results = [_result(*each, down, request.check_mode) for each in zip(taps, plans, outcomes)]
    return {
        "changed": any(result["changed"] for result in results),
        "taps": results,
        "diff": [_difference(planned) for planned in plans if planned.steps],
    }


def _carry_out(links: Links, observed: Observed, plans: Sequence[Plan]) -> List[Outcome[Action]]:
    groups = tuple({device.group for device in observed.devices.values()})
    # Links of macvtaps may be taps that are replaced.
    in_turn = sorted(plans, key=lambda planned: planned.after.get("type") == "macvtap")
    outcomes = execute([TapJob(planned, links, groups) for planned in in_turn], HANDLERS)
    return [outcomes[planned.name] for planned in plans]


def _result(
    tap: HostTap, planned: Plan, outcome: Outcome[Action], down: Collection[str], check_mode: bool
) -> TapResult:
    return {
        "name": planned.name,
        "changed": bool(outcome.done),
        "actions": [str(step) for step in outcome.done],
        "replaced": bool(planned.replaced_for),
        # A new device has another number.
        "device": None if check_mode and planned.takes_away else _device(tap),
        "link_down": planned.name in down,
        "failed": outcome.error is not None,
        "msg": outcome.error or "",
    }


def _device(tap: HostTap) -> Optional[str]:
    """Return the character device that processes open; ``None`` where there is none, or none yet."""
    index = find_index(tap["name"]) if tap["state"] == "present" and tap["type"] == "macvtap" else None
    return None if index is None else macvtap_node(index)


def _difference(planned: Plan) -> Diff:
    return difference(planned.name, _text(planned.before), _text(planned.after))


def _text(traits: Traits) -> str:
    return "".join(f"{key}: {shown(traits[key])}\n" for key in sorted(traits))
