# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out the steps of tap and macvtap devices."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Callable, Dict, Optional, Sequence, Tuple, cast

from ...host import files
from ...host.commands import HostError
from ...host.device_users import macvtap_node
from ...host.netlink import IFF_ALLMULTI, Links, Value, find_index
from ..executor import Handlers
from ..steps import Step
from .plan import Action, Plan, changed_names
from .state import NODE_MODE, PORT_DEFAULTS, Traits

NODE_SECONDS = 5.0
"""Time limit for udev, which makes the character device of a new macvtap."""


@dataclass(frozen=True)
class TapJob:
    """The plan of a device, for the executor."""

    plan: Plan
    links: Links
    groups: Tuple[int, ...] = ()
    """Groups that interfaces of the host are in."""

    @property
    def name(self) -> str:
        """Name of the device."""
        return self.plan.name

    @property
    def steps(self) -> Tuple[Step[Action], ...]:
        """Steps of the plan."""
        return self.plan.steps


def _remove(pairs: Sequence[Tuple[TapJob, str]]) -> None:
    jobs = [job for job, _target in pairs]
    jobs[0].links.delete([job.plan.device for job in jobs if job.plan.device is not None], jobs[0].groups)


def _drop_names(pairs: Sequence[Tuple[TapJob, str]]) -> None:
    for job, _target in pairs:
        job.links.drop_names(job.name, _names(job)[0])


def _names(job: TapJob) -> Tuple[Sequence[str], Sequence[str]]:
    before = () if job.plan.takes_away else job.plan.before.get("altnames")
    return changed_names(before, job.plan.changes.get("altnames"))


def _create(job: TapJob, _target: str) -> None:
    wanted = job.plan.after
    if wanted["type"] == "macvtap":
        job.links.create_macvtap(
            job.name, str(wanted["link"]), str(wanted["mode"]), cast(Optional[str], wanted.get("mac"))
        )
    else:
        job.links.create_tap(job.name, *_tap(wanted))


def _tap(wanted: Traits) -> Tuple[Optional[int], Optional[int], bool, bool]:
    accounts = cast(Tuple[Optional[int], Optional[int]], (wanted["owner"], wanted["group"]))
    return (*accounts, bool(wanted["multi_queue"]), bool(wanted["vnet_hdr"]))


_ATTRIBUTES: Dict[str, Callable[[object], Dict[str, Value]]] = {
    "mtu": lambda value: {"mtu": cast(int, value)},
    "mac": lambda value: {"address": str(value)},
    "link_group": lambda value: {"group": cast(int, value)},
    "mode": lambda value: {"kind": "macvtap", "macvtap_mode": str(value)},
    "all_multicast": lambda value: {"flags": IFF_ALLMULTI if value else 0, "change": IFF_ALLMULTI},
}
"""Attributes of netlink that set a property."""


def _configure(job: TapJob, _target: str) -> None:
    changes = job.plan.changes
    attributes: Dict[str, Value] = {}
    for key, attributes_of in _ATTRIBUTES.items():
        if key in changes:
            attributes.update(attributes_of(changes[key]))
    if "bridge" in changes:
        job.links.attach(job.name, cast(Optional[str], changes["bridge"]), attributes)
    else:
        job.links.change(job.name, attributes)


def _set_port(job: TapJob, _target: str) -> None:
    changes = job.plan.changes
    settings: Dict[str, Value] = {key: int(bool(changes[key])) for key in PORT_DEFAULTS if key in changes}
    job.links.change(job.name, {"kind": "bridge_slave", **settings})


def _set_node(job: TapJob, _target: str) -> None:
    path = _node(job.name)
    wanted = job.plan.after
    # Nobody else can open it meanwhile.
    os.chmod(path, int(NODE_MODE, 8))
    os.chown(path, cast(int, wanted["owner"]), cast(int, wanted["group"]))


def _node(name: str) -> str:
    """Return the path of the character device of a macvtap, which udev makes. Raises HostError."""
    index = find_index(name)
    if index is None:
        raise HostError(f"there is no interface {name} any more; run this again")
    path = macvtap_node(index)
    deadline = time.monotonic() + NODE_SECONDS
    while not _is_of(path, name, index):
        if time.monotonic() > deadline:
            raise HostError(f"{path}, the character device of {name}, has not appeared; see whether systemd-udevd runs")
        time.sleep(0.05)
    return path


def _is_of(path: str, name: str, index: int) -> bool:
    """Return whether a character device is that of a macvtap, and not one of another network namespace."""
    try:
        number = os.stat(path).st_rdev
        listed = files.read_text(f"/sys/class/net/{name}/tap{index}/dev")
    except OSError:
        return False
    return listed is None or listed.strip() == f"{os.major(number)}:{os.minor(number)}"


def _disable_ipv6(_job: TapJob, name: str) -> None:
    path = f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6"
    # A kernel without IPv6 has no such file.
    if os.path.exists(path):
        with open(path, "w", encoding="ascii") as file:
            file.write("1")


HANDLERS: Handlers[TapJob, Action] = Handlers(
    Action,
    {
        Action.CREATE: _create,
        Action.SET_TAP: lambda job, _target: job.links.set_tap(job.name, *_tap(job.plan.after)),
        Action.CONFIGURE: _configure,
        Action.ADD_NAMES: lambda job, _target: job.links.name_also(job.name, _names(job)[1]),
        Action.DISABLE_IPV6: _disable_ipv6,
        Action.SET_NODE: _set_node,
        Action.SET_PORT: _set_port,
        Action.BRING_UP: lambda job, name: job.links.change(name, {"state": "up"}),
        Action.TAKE_DOWN: lambda job, name: job.links.change(name, {"state": "down"}),
    },
    {Action.REMOVE: _remove, Action.DROP_NAMES: _drop_names},
    # Names that were removed could not be removed again.
    frozenset((Action.REMOVE,)),
)
