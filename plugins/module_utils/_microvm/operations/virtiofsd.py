# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the shares of a host that belong to no MicroVM into the declared state."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import List, Optional, Sequence, TypedDict

from ..declaration.names import share_service_unit
from ..declaration.virtiofsd.parse import parse_host_shares
from ..host.locks import locked
from ..resources.diffs import Diff, differences
from ..resources.executor import Outcome, execute
from ..resources.virtiofsd.handlers import HANDLERS, ShareJob
from ..resources.virtiofsd.observe import observe_shares
from ..resources.virtiofsd.plan import Action, Plan, plan_shares
from ..resources.virtiofsd.state import Observed

LOCK = "@virtiofsd"
"""Name of the lock; no MicroVM has such a name."""


class ShareResult(TypedDict):
    """Outcome for one share."""

    name: str
    changed: bool
    actions: List[str]
    socket: Optional[str]
    in_use: bool
    lacking: List[str]
    failed: bool
    msg: str


class SharesResult(TypedDict):
    """Outcome of a run over shares of a host."""

    changed: bool
    shares: List[ShareResult]
    diff: List[Diff]


@dataclass(frozen=True)
class SharesRequest:
    """Shares as they are wanted on a host."""

    shares: Sequence[object]
    replace_in_use: bool = False
    check_mode: bool = False


def reconcile_shares(request: SharesRequest) -> SharesResult:
    """Bring shares into the declared state, or say what that would mean.

    Raises DeclarationError, before anything has changed, and HostError.
    """
    shares = parse_host_shares(request.shares)
    with contextlib.nullcontext() if request.check_mode else locked([LOCK]):
        observed = observe_shares(shares)
        plans = plan_shares(observed, shares, request.replace_in_use)
        outcomes = {planned.name: Outcome[Action](done=list(planned.steps)) for planned in plans}
        if not request.check_mode:
            outcomes = execute([ShareJob(planned) for planned in plans], HANDLERS)
    results = [_result(observed, planned, outcomes[planned.name]) for planned in plans]
    return {
        "changed": any(result["changed"] for result in results),
        "shares": results,
        "diff": [diff for planned in plans if planned.steps for diff in _differences(planned)],
    }


def _result(observed: Observed, planned: Plan, outcome: Outcome[Action]) -> ShareResult:
    share = planned.share
    return {
        "name": share["name"],
        "changed": bool(outcome.done),
        "actions": [str(step) for step in outcome.done],
        "socket": share["socket"] if share["state"] == "present" else None,
        "in_use": share_service_unit(share["name"]) in observed.active and not planned.interrupts,
        "lacking": list(observed.lacking.get(share["name"], ())),
        "failed": outcome.error is not None,
        "msg": outcome.error or "",
    }


def _differences(planned: Plan) -> List[Diff]:
    units = sorted({*planned.before, *planned.after})
    changed = [unit for unit in units if planned.before.get(unit) != planned.after.get(unit)]
    return differences(changed, planned.before, planned.after)
