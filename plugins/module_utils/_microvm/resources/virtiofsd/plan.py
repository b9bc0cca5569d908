# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans shares that belong to no MicroVM: from those of the host and the declared ones to steps. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Iterator, List, Optional, Sequence, Tuple

from ...declaration.names import share_service_unit, share_socket_unit
from ...declaration.types import HostShare
from ...schema.errors import DeclarationError
from ..steps import BaseAction, Cost, Phase, Step, in_order
from .state import Observed, UnitContents, UserNumbers
from .units import units_of


class Action(BaseAction):
    """Actions on shares, in the order in which they are carried out."""

    # The socket first: a hypervisor that connects again must not start another daemon.
    STOP = ("stop", Phase.ALONE, Cost.RESTART)
    DISABLE = ("disable", Phase.TOGETHER)
    REMOVE_UNIT = "remove"
    CREATE_SOURCE = "create directory"
    WRITE_UNIT = "write"
    # Before systemd reads the units: the links are part of what it compares.
    ENABLE = ("enable", Phase.TOGETHER)
    RELOAD_SYSTEMD = ("reload systemd for", Phase.TOGETHER)
    START = "start"


@dataclass(frozen=True)
class Plan:
    """Steps for one share."""

    share: HostShare
    steps: Tuple[Step[Action], ...] = ()
    before: UnitContents = field(default_factory=dict)
    """Contents of the files of its units before; empty where there are none."""
    after: UnitContents = field(default_factory=dict)
    owner: Optional[UserNumbers] = None
    """Owner of a directory that is made."""
    interrupts: bool = False
    """True if the daemon is stopped while a hypervisor is connected to it."""

    @property
    def name(self) -> str:
        """Name of the share."""
        return self.share["name"]


def plan_shares(
    observed: Observed, shares: Sequence[HostShare], may_interrupt: bool, path: str = "shares"
) -> List[Plan]:
    """Return the plans. Raises DeclarationError, with a path below ``path``, for what cannot or must not be done."""
    plans: List[Plan] = []
    for index, share in enumerate(shares):
        place = f"{path}[{index}]"
        if share["state"] == "present":
            _refuse_impossible(observed, share, place)
        planned = _present(observed, share) if share["state"] == "present" else _absent(observed, share)
        if share["state"] == "present":
            # Several guests may be served the same directory.
            observed = replace(observed, sources=observed.sources | {share["source"] or ""})
        if planned.interrupts and not may_interrupt:
            verb = "changed" if share["state"] == "present" else "removed"
            raise DeclarationError(
                f"{place}.name",
                f"share {share['name']} cannot be {verb} while a hypervisor is connected to it, which would lose its "
                "files; stop the virtual machine first, or set `replace_in_use: true`",
            )
        plans.append(planned)
    return plans


def _refuse_impossible(observed: Observed, share: HostShare, place: str) -> None:
    problem = observed.problems.get(share["name"])
    if problem is not None:
        raise DeclarationError(f"{place}.{problem.option}", problem.reason)
    if share["package"] not in observed.programs:
        raise DeclarationError(
            f"{place}.package",
            f"the program {share['package']} does not exist on this host; install the package virtiofsd, or name the "
            "program",
        )


def _present(observed: Observed, share: HostShare) -> Plan:
    socket, service = share_socket_unit(share["name"]), share_service_unit(share["name"])
    after = units_of(share, observed.accounts[share["user"]], observed.programs[share["package"]])
    before = _files(observed, share)
    changed = [name for name, content in after.items() if before.get(name) != content]
    is_used = service in observed.active
    # A socket that does not listen cannot be started while its daemon runs.
    stops = socket not in observed.active or socket in changed or (is_used and bool(changed))
    steps = [Step(Action.STOP, name) for name in (socket, service) if stops and name in observed.active]
    if share["source"] not in observed.sources:
        steps.append(Step(Action.CREATE_SOURCE, share["source"] or ""))
    steps += [Step(Action.WRITE_UNIT, name) for name in changed]
    if socket not in observed.enabled:
        steps.append(Step(Action.ENABLE, socket))
    if changed or socket not in observed.enabled or observed.stale & {socket, service}:
        steps.append(Step(Action.RELOAD_SYSTEMD, share["name"]))
    if stops:
        steps.append(Step(Action.START, socket))
    return Plan(share, in_order(steps), before, after, observed.owners[share["name"]], interrupts=stops and is_used)


def _absent(observed: Observed, share: HostShare) -> Plan:
    socket, service = share_socket_unit(share["name"]), share_service_unit(share["name"])
    before = _files(observed, share)
    up = observed.active | observed.failed
    steps = [Step(Action.STOP, name) for name in (socket, service) if name in up]
    if socket in observed.enabled:
        steps.append(Step(Action.DISABLE, socket))
    steps += [Step(Action.REMOVE_UNIT, name) for name in before]
    if before:
        steps.append(Step(Action.RELOAD_SYSTEMD, share["name"]))
    return Plan(share, in_order(steps), before, interrupts=service in observed.active)


def _files(observed: Observed, share: HostShare) -> UnitContents:
    return dict(_listed(observed, share["name"]))


def _listed(observed: Observed, name: str) -> Iterator[Tuple[str, str]]:
    for unit in (share_socket_unit(name), share_service_unit(name)):
        if unit in observed.units:
            yield unit, observed.units[unit]
