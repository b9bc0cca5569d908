# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Order the MicroVMs of a run: those that give up an address, a port, an image or a device end before others that need
it start. Pure.

All stops of a run come before its first start. A restart is neither, so one that gives something up becomes a stop and
a start; all other restarts stay as short as they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ...declaration.types import PackagedVm
from ...declaration.vms.claims import Claim, claims
from ...declaration.vms.disks import Disks
from ...schema.errors import DeclarationError
from ..steps import Step
from .actions import Action, Plan, Predecessor, ordered
from .state import Observed


class Member(NamedTuple):
    """A MicroVM of a run."""

    plan: Plan
    observed: Observed
    declaration: Optional[PackagedVm]
    """The declaration that it is to run; ``None`` for one that is removed."""
    path: str = ""
    """Begins the paths in error messages."""


class Handover(NamedTuple):
    """A thing of the host that one MicroVM has and another one needs."""

    giver: Member
    taker: Member
    claim: Claim
    """The claim of the one that needs it."""


_Held = Dict[Tuple[str, str], List[Tuple[Member, Claim]]]
"""What MicroVMs have that run, by the thing."""


def hand_over(members: Sequence[Member], disks: Disks) -> Dict[str, Plan]:
    """Return the plans by name, in which whatever one MicroVM needs of another one is free when it starts.

    Raises DeclarationError where the other one goes on with it.
    """
    takers = [member for member in members if _begins(member.plan) and member.declaration is not None]
    handovers = list(_handovers(takers, _held(members, disks), disks)) if takers else []
    for handover in handovers:
        _refuse_pending(handover)
    return {member.plan.name: _with_order(member.plan, handovers) for member in members}


def _begins(plan: Plan) -> bool:
    return plan.has(Action.START, Action.RESTART)


def _held(members: Sequence[Member], disks: Disks) -> _Held:
    held: _Held = {}
    for member in members:
        if member.observed.is_up and member.observed.booted_declared is not None:
            for claim in _things(member.observed.booted_declared, disks):
                held.setdefault((claim.kind, claim.subject), []).append((member, claim))
    return held


def _handovers(takers: Sequence[Member], held: _Held, disks: Disks) -> Iterator[Handover]:
    for taker in takers:
        for claim in _things(taker.declaration, disks) if taker.declaration else ():
            for giver, other in held.get((claim.kind, claim.subject), ()):
                if giver is not taker and claim.excludes(other):
                    yield Handover(giver, taker, claim)


def _things(declaration: PackagedVm, disks: Disks) -> Iterator[Claim]:
    """Yield what a MicroVM has as long as it runs: all that it claims but its name."""
    return (claim for claim in claims(declaration, disks) if claim.kind != "name")


def _refuse_pending(handover: Handover) -> None:
    giver, taker, claim = handover
    if giver.plan.has(Action.STOP, Action.RESTART) or not giver.observed.unit.running:
        return
    raise DeclarationError(
        f"{taker.path}.{claim.key}" if taker.path else claim.key,
        f"the {claim.kind} {claim.value!r} is still used by {giver.plan.name!r}, which runs as it was declared before; "
        f"restart it first: microvm restart {giver.plan.name}, or set its `restart_policy: if_changed`",
    )


def _with_order(plan: Plan, handovers: Sequence[Handover]) -> Plan:
    taken = {handover.giver.plan.name: _predecessor(handover) for handover in handovers if _is(plan, handover.taker)}
    given = {handover.taker.plan.name: None for handover in handovers if _is(plan, handover.giver)}
    steps = [new for step in plan.steps for new in (_ended_first(step) if given else [step])]
    return replace(plan, steps=ordered(steps), predecessors=tuple(taken.values()), successors=tuple(given))


def _is(plan: Plan, member: Member) -> bool:
    return plan.name == member.plan.name


def _ended_first(step: Step[Action]) -> List[Step[Action]]:
    if step.action is not Action.RESTART:
        return [step]
    return [Step(Action.STOP, step.target), Step(Action.START, step.target)]


def _predecessor(handover: Handover) -> Predecessor:
    observed, claim = handover.giver.observed, handover.claim
    return Predecessor(observed.name, observed.booted or observed.current or "", f"the {claim.kind} {claim.value!r}")
