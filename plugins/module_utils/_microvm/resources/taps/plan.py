# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans tap and macvtap devices: from those of the host and the declared ones to steps. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Collection, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ...declaration.types import HostTap
from ...host.netlink import NetworkDevice
from ...schema.errors import DeclarationError
from ..steps import BaseAction, Cost, Phase, Step, in_order
from .refusals import refuse_impossible
from .state import (
    PACKET_FORMAT,
    PORT_DEFAULTS,
    Observed,
    Traits,
    kept_traits,
    new_traits,
    observed_traits,
    shown,
    wanted_traits,
)


class Action(BaseAction):
    """Actions on devices, in the order in which they are carried out."""

    REMOVE = ("remove", Phase.TOGETHER, Cost.RESTART)
    # Before others get them.
    DROP_NAMES = ("remove alternative names", Phase.TOGETHER, Cost.LIVE)
    CREATE = "create"
    SET_TAP = "set"
    # Before another bridge gets a port that does not have its settings yet.
    TAKE_DOWN = ("take down", Phase.ALONE, Cost.LIVE)
    CONFIGURE = ("configure", Phase.ALONE, Cost.LIVE)
    ADD_NAMES = ("add alternative names", Phase.ALONE, Cost.LIVE)
    DISABLE_IPV6 = ("switch off IPv6 on", Phase.ALONE, Cost.LIVE)
    SET_NODE = ("set character device:", Phase.ALONE, Cost.LIVE)
    # Before the tap is up: a port that is to be isolated reaches no other one meanwhile.
    SET_PORT = ("set bridge port:", Phase.ALONE, Cost.LIVE)
    BRING_UP = ("bring up", Phase.ALONE, Cost.LIVE)


_KEYS: Mapping[Action, Tuple[str, ...]] = {
    Action.CONFIGURE: ("mode", "mtu", "mac", "link_group", "all_multicast", "bridge"),
    Action.SET_PORT: tuple(PORT_DEFAULTS),
}
"""Properties that an action sets, of devices of both types."""

_OF_TYPES: Mapping[str, Mapping[Action, Tuple[str, ...]]] = {
    "tap": {Action.SET_TAP: ("owner", "group", "vnet_hdr", "packet_information")},
    "macvtap": {Action.SET_NODE: ("owner", "group", "permissions")},
}

_FIXED = ("type", "link", "multi_queue", "persistent")
"""Properties that a device keeps as long as it exists."""

_PATHS = {"link": "macvtap.link", "mode": "macvtap.mode", "persistent": "name"}
"""Options that set properties, where they have another name."""


@dataclass(frozen=True)
class Plan:
    """Steps for one device."""

    name: str
    steps: Tuple[Step[Action], ...] = ()
    device: Optional[NetworkDevice] = None
    """The device as it was observed; ``None`` where there was none."""
    before: Traits = field(default_factory=dict)
    """Properties before; empty where there was no device."""
    after: Traits = field(default_factory=dict)
    """Properties when it is done; empty where the device is removed."""
    changes: Traits = field(default_factory=dict)
    """Properties that steps set."""
    replaced_for: Tuple[str, ...] = ()
    """Properties for which an existing device is replaced."""

    @property
    def takes_away(self) -> bool:
        """Return whether a device is removed, or replaced."""
        return any(step.action is Action.REMOVE for step in self.steps)

    @property
    def concerns_users(self) -> bool:
        """Return whether a process that has the device open loses it, or keeps the device from being set."""
        return any(step.action in (Action.REMOVE, Action.SET_TAP) for step in self.steps)

    def is_on(self, indices: Collection[int]) -> bool:
        """Return whether the device stays where it is, on one of the interfaces with these indices."""
        return self.device is not None and not self.takes_away and self.device.link in indices


def plan(observed: Observed, taps: Sequence[HostTap], may_interrupt: bool, path: str = "taps") -> List[Plan]:
    """Return the plans. Raises DeclarationError, with a path below ``path``, for what cannot or must not be done."""
    plans = draft(observed, taps, path)
    if not may_interrupt:
        taken_away = [planned.name for planned in plans if planned.takes_away]
        for index, planned in enumerate(plans):
            _refuse_interruption(observed, planned, f"{path}[{index}]")
            _refuse_loss(observed, planned, taken_away, f"{path}[{index}]")
    return plans


def draft(observed: Observed, taps: Sequence[HostTap], path: str = "taps") -> List[Plan]:
    """Return the plans, whoever uses the devices. Raises DeclarationError for what cannot be done."""
    refuse_impossible(observed, taps, path)
    plans = [_absent(observed, tap) if tap["state"] == "absent" else _present(observed, tap) for tap in taps]
    lost = {planned.device.index for planned in plans if planned.takes_away and planned.device is not None}
    return [
        _present(observed, tap, is_lost=True) if planned.is_on(lost) else planned for tap, planned in zip(taps, plans)
    ]


def _absent(observed: Observed, tap: HostTap) -> Plan:
    name = tap["name"]
    device = observed.devices.get(name)
    if device is None:
        return Plan(name)
    return Plan(name, (Step(Action.REMOVE, f"{device.kind} {name}"),), device, observed_traits(observed, device))


def _present(observed: Observed, tap: HostTap, is_lost: bool = False) -> Plan:
    """Return the plan of a device that is to be there; ``is_lost`` if it ends with its link, which is replaced."""
    name, wanted = tap["name"], wanted_traits(observed, tap)
    device = observed.devices.get(name)
    before = {} if device is None else observed_traits(observed, device)
    replaced_for = () if device is None else tuple(_replacing(device, before, wanted))
    if is_lost:
        replaced_for = ("link",)
    is_made = device is None or bool(replaced_for)
    if device is not None and device.is_attached and not is_made:
        wanted = {key: value for key, value in wanted.items() if key not in PACKET_FORMAT}
    if replaced_for:
        wanted = {**kept_traits(observed, before, wanted), **wanted}
    base = new_traits(observed, wanted) if is_made else before
    changes = _changes(base, wanted)
    steps = [*(_removal(device) if replaced_for else ()), *_steps(name, base, wanted, changes, is_made)]
    after = {**{key: before[key] for key in before if not is_made}, **wanted}
    return Plan(name, in_order(steps), device, before, after, changes, replaced_for)


def _removal(device: Optional[NetworkDevice]) -> Iterator[Step[Action]]:
    if device is not None:
        yield Step(Action.REMOVE, f"{device.kind} {device.name}")


def _changes(base: Traits, wanted: Traits) -> Traits:
    """Return the properties to set. A port of another bridge is a new one, and what is no port has none of its own."""
    port = {key: wanted[key] for key in PORT_DEFAULTS if wanted.get("bridge") is not None}
    own = {key: value for key, value in wanted.items() if key not in PORT_DEFAULTS}
    is_same_port = base.get("bridge") == wanted.get("bridge")
    return {**_differing(base, own), **_differing(base if is_same_port else PORT_DEFAULTS, port)}


def _differing(base: Traits, wanted: Traits) -> Traits:
    return {key: value for key, value in wanted.items() if base.get(key) != value}


def _replacing(device: NetworkDevice, before: Traits, wanted: Traits) -> Iterator[str]:
    """Yield the properties that differ and that a device of this state cannot change."""
    for key in _differing(before, wanted):
        if key in _FIXED or (key == "mode" and "passthru" in (before.get(key), wanted[key])):
            yield key
        elif key in ("owner", "group") and device.kind == "tap" and (device.is_attached or wanted[key] is None):
            # They are set by whoever has the tap open, and never taken away.
            yield key


def _steps(name: str, base: Traits, wanted: Traits, changes: Traits, is_made: bool) -> Iterator[Step[Action]]:
    if is_made:
        place = f" on {shown(wanted['link'])}" if "link" in wanted else ""
        yield Step(Action.CREATE, f"{shown(wanted['type'])} {name}{place}")
    for action, keys in {**_KEYS, **_OF_TYPES[str(wanted["type"])]}.items():
        settings = [f"{key} {shown(changes[key])}" for key in keys if key in changes]
        if settings:
            yield Step(action, ", ".join(settings))
    if "altnames" in changes:
        yield from _names(base["altnames"], changes["altnames"])
    if "ipv6" in changes:
        yield Step(Action.DISABLE_IPV6, name)
    is_up_before, is_up_after = bool(base["up"]), bool(wanted["up"])
    is_interrupted = is_up_before and is_up_after and _is_unset_port(base, wanted)
    if is_up_before and (is_interrupted or not is_up_after):
        yield Step(Action.TAKE_DOWN, name)
    if is_up_after and (is_interrupted or not is_up_before):
        yield Step(Action.BRING_UP, name)


def _is_unset_port(base: Traits, wanted: Traits) -> bool:
    """Return whether a bridge gets a port that for a moment has other settings than the declared ones."""
    is_new = wanted.get("bridge") is not None and base.get("bridge") != wanted["bridge"]
    return is_new and any(wanted[key] != default for key, default in PORT_DEFAULTS.items())


def _names(before: object, after: object) -> Iterator[Step[Action]]:
    dropped, added = changed_names(before, after)
    if dropped:
        yield Step(Action.DROP_NAMES, ", ".join(dropped))
    if added:
        yield Step(Action.ADD_NAMES, ", ".join(added))


def changed_names(before: object, after: object) -> Tuple[List[str], List[str]]:
    """Return the alternative names that are removed, and those that are added."""
    old, new = (value if isinstance(value, tuple) else () for value in (before, after))
    return [name for name in old if name not in new], [name for name in new if name not in old]


def _refuse_interruption(observed: Observed, planned: Plan, path: str) -> None:
    device = planned.device
    if device is None or not planned.steps:
        return
    microvm = observed.microvms.get(planned.name)
    if microvm is not None:
        raise DeclarationError(
            f"{path}.name",
            f"{planned.name} belongs to the MicroVM {microvm}, which is running, and whose units make and remove it; "
            "change the declaration of the MicroVM instead, or stop it, or set replace_in_use",
        )
    user = observed.user(device) if planned.takes_away else None
    if user is not None:
        raise DeclarationError(f"{path}.{_cause(planned)}", f"{_consequence(planned, user)}, or set replace_in_use")


def _refuse_loss(observed: Observed, planned: Plan, taken_away: Collection[str], path: str) -> None:
    """Refuse to take away a device with which interfaces of others would end."""
    if planned.device is None or not planned.takes_away:
        return
    for upper in observed.on_top_of(planned.device):
        if upper.name not in taken_away:
            verb = "replaced" if planned.replaced_for else "removed"
            raise DeclarationError(
                f"{path}.{_cause(planned)}",
                f"{planned.name} cannot be {verb}, because the interface {upper.name} is on it, and would end with it; "
                "remove that first, or set replace_in_use",
            )


def _cause(planned: Plan) -> str:
    if not planned.replaced_for:
        return "state"
    return _PATHS.get(planned.replaced_for[0], planned.replaced_for[0])


def _consequence(planned: Plan, user: str) -> str:
    if not planned.replaced_for:
        return f"{planned.name} cannot be removed, because {user} uses it; stop the process"
    differences: Dict[str, str] = {key: f"{key} is {shown(planned.before.get(key))}" for key in planned.replaced_for}
    if "link" in differences and planned.before.get("link") == planned.after.get("link"):
        differences["link"] = f"link {shown(planned.before['link'])} is replaced"
    return (
        f"{planned.name} would have to be replaced, because {user} uses it and its "
        f"{', its '.join(differences.values())}; stop the process"
    )
