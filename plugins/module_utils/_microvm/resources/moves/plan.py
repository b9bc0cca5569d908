# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan the sides of a move, step by step: hold and stop, receive, accept, take back, finish. Pure.

At no point may a MicroVM start on both hosts. So the target is held before the source is, the source is held for as
long as the target may start, and no hold ends before the other host's part of the agreement is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Sequence, Tuple

from ...declaration.names import MOVE_SOURCE, MOVE_TARGET, unit_name
from ...host.commands import HostError
from ...host.holds import Hold
from ..steps import BaseAction, Cost, Phase, Step, in_order
from .state import Observed


class Action(BaseAction):
    """Action on one side of a move: what keeps it from starting comes first, what lets it start comes last."""

    HOLD = "keep from starting:"
    DISABLE = "systemctl disable", Phase.TOGETHER
    STOP = "systemctl stop", Phase.ALONE, Cost.RESTART
    CREATE_INCOMING = "create the directory for the volumes of"
    TAKE_VOLUME = "take out volume"
    PUT_HOST_KEY = "put into place the SSH host key of"
    RECORD_HOST_KEY = "record the SSH host key"
    PUT_VOLUME = "put into place volume"
    REMOVE_INCOMING = "remove the directory for the volumes of"
    ENABLE = "systemctl enable", Phase.TOGETHER
    READ_UNITS = "systemctl daemon-reload for", Phase.TOGETHER
    ACCEPT = "let start, with the volumes in place:"
    RELEASE = "let start again:"
    START = "systemctl start", Phase.ALONE
    FORGET_HOLD = "delete the hold of"
    FORGET_RECEIPT = "delete the receipt of"


@dataclass(frozen=True)
class Plan:
    """Steps of one side."""

    name: str
    steps: Tuple[Step[Action], ...]
    hold: Hold


def plan_held(observed: Observed, peer: str) -> Plan:
    """Plan that a MicroVM is stopped on the source, and cannot start there. Raises HostError."""
    name = observed.name
    _refuse_others(observed, MOVE_SOURCE, peer)
    _refuse_unless(observed.is_installed, f"there is no MicroVM {name!r} on this host")
    outside = ", ".join(observed.outside)
    _refuse_unless(
        not outside, f"{name} writes to {outside}, outside of its working directory, which a move does not take along"
    )
    irregular = ", ".join(observed.irregular)
    _refuse_unless(
        not irregular,
        f"{name} has volumes that a move does not take along, since they are links or no regular files: {irregular}; "
        "put the images into their place",
    )
    before = Hold(MOVE_SOURCE, peer, observed.is_enabled, observed.is_running)
    return _plan(observed, [*_blocking(observed)], observed.hold or observed.receipt or before)


def plan_incoming(observed: Observed, peer: str) -> Plan:
    """Plan that the target can receive volumes, and cannot start the MicroVM. Raises HostError."""
    name, is_ours = observed.name, observed.hold is not None or observed.receipt is not None
    _refuse_others(observed, MOVE_TARGET, peer)
    own = ", ".join(volume.image for volume in observed.volumes)
    _refuse_unless(
        is_ours or not (own or observed.is_up or observed.is_installed),
        f"this host has a MicroVM {name!r} of its own{f' with the volumes {own}' if own else ''}; remove it with its "
        "volumes first",
    )
    _refuse_unless(
        observed.replaced is None,
        f"this host has a MicroVM {observed.replaced!r} of its own, whose place {name} would take; remove renamed_from "
        f"from the declaration of {name}",
    )
    steps = [*_blocking(observed)]
    steps += [] if observed.has_incoming else [Step(Action.CREATE_INCOMING, name)]
    steps += [Step(Action.TAKE_VOLUME, volume.image) for volume in observed.volumes]
    return _plan(observed, steps, observed.hold or Hold(MOVE_TARGET, peer))


def plan_accepted(observed: Observed, peer: str, images: Sequence[str], guest_keys: Sequence[str] = ()) -> Plan:
    """Plan that volumes and host keys are in place on the target, and that it may start the MicroVM.

    ``guest_keys`` are the public ones that the source has recorded. Raises HostError.
    """
    name, hold = observed.name, observed.hold or Hold(MOVE_TARGET, peer)
    _refuse_others(observed, MOVE_TARGET, peer)
    if observed.hold is None and observed.receipt is not None:
        return _plan(observed, [], hold)
    arrived = [volume.image for volume in observed.incoming]
    missing = set(images) - {*arrived, *(volume.image for volume in observed.volumes)}
    _refuse_unless(observed.hold is not None, f"{name} is not expected on this host")
    _refuse_unless(observed.is_installed, f"{name} is not installed on this host yet")
    _refuse_unless(not missing, f"these volumes of {name} have not arrived: {', '.join(sorted(missing))}")
    steps = [Step(Action.PUT_HOST_KEY, name)] if observed.incoming_key else []
    steps += [Step(Action.RECORD_HOST_KEY, key) for key in guest_keys if key not in observed.recorded_keys]
    steps += [Step(Action.PUT_VOLUME, image) for image in images if image in arrived]
    steps += [Step(Action.REMOVE_INCOMING, name)] if observed.has_incoming else []
    return _plan(observed, [*steps, Step(Action.ACCEPT, name)], hold)


def plan_released(observed: Observed, peer: str) -> Plan:
    """Plan that a MicroVM is on the source as it was before. Raises HostError."""
    name, hold = observed.name, observed.hold or observed.receipt
    _refuse_others(observed, MOVE_SOURCE, peer)
    # What the target has is the only one then.
    _refuse_unless(
        observed.is_installed,
        f"{name} cannot be taken back: it has been removed from this host; run the move again, which finishes it",
    )
    if hold is None:
        return _plan(observed, [], Hold(MOVE_SOURCE, peer))
    unit, steps = unit_name(name), [Step(Action.RELEASE, name)] if observed.hold else []
    if hold.enabled and not observed.is_enabled:
        steps += [Step(Action.ENABLE, unit), Step(Action.READ_UNITS, unit)]
    steps += [Step(Action.START, unit)] if hold.running and not observed.is_running else []
    # A run that is killed before the start is completed by the next one.
    return _plan(observed, [*steps, Step(Action.FORGET_RECEIPT, name)], hold)


def plan_discarded(observed: Observed, peer: str) -> Plan:
    """Plan that nothing reminds of a move that was taken back, on the target. Raises HostError."""
    name, hold = observed.name, observed.hold or Hold(MOVE_TARGET, peer)
    _refuse_others(observed, MOVE_TARGET, peer)
    _refuse_unless(not observed.is_installed, f"{name} is still installed on the target")
    steps = [Step(Action.REMOVE_INCOMING, name)] if observed.has_incoming else []
    return _plan(observed, [*steps, *([Step(Action.FORGET_HOLD, name)] if observed.hold else [])], hold)


def plan_finished(observed: Observed, peer: str) -> Plan:
    """Plan that nothing reminds of a move that is complete. Raises HostError."""
    name, hold = observed.name, observed.hold or Hold(MOVE_SOURCE, peer)
    _refuse_unless(hold.side == MOVE_SOURCE, f"{name} has not arrived on this host")
    _refuse_unless(observed.hold is None or not observed.is_installed, f"{name} is still installed on the source")
    steps = [Step(Action.FORGET_HOLD, name)] if observed.hold else []
    return _plan(observed, [*steps, *([Step(Action.FORGET_RECEIPT, name)] if observed.receipt else [])], hold)


def _blocking(observed: Observed) -> Iterator[Step[Action]]:
    unit = unit_name(observed.name)
    _refuse_unless(
        observed.knows_holds, "the units of this host are of an earlier version; run the role microvm.fleet.host first"
    )
    if observed.hold is None:
        yield Step(Action.HOLD, observed.name)
    if observed.is_enabled:
        yield Step(Action.DISABLE, unit)
        yield Step(Action.READ_UNITS, unit)
    # Until there was a hold, anybody could start it: after this host was observed, too.
    if observed.is_up or (observed.hold is None and observed.is_installed):
        yield Step(Action.STOP, unit)
    if observed.receipt is not None:
        yield Step(Action.FORGET_RECEIPT, observed.name)


def _refuse_others(observed: Observed, side: str, peer: str) -> None:
    """Refuse what belongs to another move: to another host, or in the other direction."""
    for hold in (observed.hold, observed.receipt):
        if hold is not None and (hold.side, hold.peer) != (side, peer):
            direction = "to" if hold.side == MOVE_SOURCE else "from"
            raise HostError(f"{observed.name} is already being moved {direction} {hold.peer}; complete that move first")


def _refuse_unless(condition: bool, message: str) -> None:
    if not condition:
        raise HostError(message)


def _plan(observed: Observed, steps: Sequence[Step[Action]], hold: Hold) -> Plan:
    return Plan(observed.name, in_order(steps), hold)
