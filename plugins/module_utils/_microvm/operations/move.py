# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host's part in the move of a MicroVM to another host, which a playbook conducts."""

from __future__ import annotations

import contextlib
import glob
import os
from dataclasses import replace
from typing import Iterator, List, Optional, Sequence, TypedDict

from ..declaration.names import MOVE_TARGET
from ..host import files, readiness
from ..host.commands import HostError
from ..host.locks import locked
from ..host.places import Places
from ..resources.executor import execute
from ..resources.moves import plan as plans
from ..resources.moves.handlers import HANDLERS, MoveJob
from ..resources.moves.observe import access_directory, digest_of_image, incoming_directory, observe
from ..resources.moves.plan import Action, Plan
from ..resources.moves.state import Observed, VolumeFile
from ..resources.vms.observe import observe_name
from ..resources.vms.observe_guests import recorded_readiness
from ..resources.vms.plan_lifecycle import plan_start

HOST_KEYS = "/etc/ssh/ssh_host_*_key.pub"


class VolumeResult(TypedDict):
    """Image of a MicroVM, in a result."""

    image: str
    size: int
    allocated: int
    digest: Optional[str]


class MoveResult(TypedDict):
    """Outcome of one host's part."""

    changed: bool
    actions: List[str]
    installed: bool
    running: bool
    side: Optional[str]
    peer: Optional[str]
    received: bool
    volumes: List[VolumeResult]
    incoming: List[VolumeResult]
    directory: str
    incoming_directory: str
    access_directory: str
    guest_key_file: Optional[str]
    guest_keys: List[str]
    host_keys: List[str]
    warnings: List[str]


def move(
    name: str,
    state: str,
    peer: str,
    images: Sequence[str],
    digests: bool,
    places: Places,
    check_mode: bool,
    former: Optional[str] = None,
    guest_keys: Sequence[str] = (),
) -> MoveResult:
    """Bring one host to a stage of the move, or say what that would mean. Raises HostError and OSError."""
    with contextlib.nullcontext() if check_mode or state == "examined" else locked([name]):
        observed = observe(places, name, former)
        if check_mode:
            # Role `host` brings the units to this version; in check mode, it has changed nothing yet.
            observed = replace(observed, knows_holds=True)
        planned = _plan(observed, state, peer, images, guest_keys)
        if planned is not None and not check_mode:
            _carry_out(planned, places)
            observed = observe(places, name)
    result = _result(observed, planned, digests, places)
    return {**result, "warnings": [*_warnings(observed)]} if state == "held" else result


def _plan(
    observed: Observed, state: str, peer: str, images: Sequence[str], guest_keys: Sequence[str]
) -> Optional[Plan]:
    if state == "accepted":
        return plans.plan_accepted(observed, peer, images, guest_keys)
    planners = {
        "held": plans.plan_held,
        "incoming": plans.plan_incoming,
        "released": plans.plan_released,
        "discarded": plans.plan_discarded,
        "finished": plans.plan_finished,
    }
    return planners[state](observed, peer) if state in planners else None


def _carry_out(planned: Plan, places: Places) -> None:
    error = execute([MoveJob(planned, places)], HANDLERS)[planned.name].error
    if error is not None:
        raise HostError(error)
    if any(step.action is Action.START for step in planned.steps):
        running = plan_start(observe_name(places, planned.name))
        readiness.wait(recorded_readiness(running, places))


def _result(observed: Observed, planned: Optional[Plan], digests: bool, places: Places) -> MoveResult:
    hold = observed.hold or observed.receipt
    work, incoming = places.real_work(observed.name), incoming_directory(places, observed.name)
    return {
        "changed": bool(planned and planned.steps),
        "actions": [str(step) for step in planned.steps] if planned else [],
        "installed": observed.is_installed,
        "running": observed.is_running,
        "side": hold.side if hold else None,
        "peer": hold.peer if hold else None,
        "received": observed.hold is None and hold is not None and hold.side == MOVE_TARGET,
        "volumes": [_volume(volume, work, digests) for volume in observed.volumes],
        "incoming": [_volume(volume, incoming, digests) for volume in observed.incoming],
        "directory": work,
        "incoming_directory": incoming,
        "access_directory": access_directory(observed.name),
        "guest_key_file": observed.made_key,
        "guest_keys": list(observed.recorded_keys),
        "warnings": [],
        "host_keys": [(files.read_text(path) or "").strip() for path in sorted(glob.glob(HOST_KEYS))],
    }


def _warnings(observed: Observed) -> Iterator[str]:
    """Yield what stays, though the guest may miss it."""
    if observed.shared:
        yield (
            f"{observed.name} shares {', '.join(observed.shared)} with its guest. What is in there stays on this host: "
            "copy it if the guest is to have it on the other one, where missing directories are created empty"
        )


def _volume(volume: VolumeFile, directory: str, digests: bool) -> VolumeResult:
    content = digest_of_image(os.path.join(directory, volume.image)) if digests else None
    return {"image": volume.image, "size": volume.size, "allocated": volume.allocated, "digest": content}
