# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans networks: from those of the host and the declared ones to steps. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator, Mapping, Sequence, Tuple

from ...declaration.names import NETWORK_UNIT
from ...declaration.networks.parse import refuse_clash
from ...declaration.types import Network
from ...schema.errors import DeclarationError
from ..steps import BaseAction, Step, in_order
from .configuration import (
    FORWARDING,
    FORWARDING_MARK,
    NETWORKD_DIRECTORY,
    RULES,
    SYSCTLS,
    UNIT,
    bridge_of,
    configuration,
    recorded_networks,
    rules_digest,
)
from .routes import refuse_overlaps
from .state import NETWORKD, Observed, has_address


class Action(BaseAction):
    """Actions on networks, in the order in which they are carried out."""

    RECORD_FORWARDING = "record that forwarding was off, in"
    UNLOAD_RULES = "systemctl disable --now"
    # Before its files: they tell the next run that the bridge is ours.
    DELETE_BRIDGE = "delete bridge"
    WRITE = "write"
    REMOVE = "remove"
    RELOAD_SYSTEMD = "systemctl daemon-reload for"
    ENABLE = "systemctl enable"
    START_NETWORKD = "systemctl start"
    RELOAD_NETWORKD = "reload configuration of"
    RECONFIGURE = "configure bridge"
    FORWARD = "apply"
    STOP_FORWARDING = "switch off"
    FORGET_FORWARDING = "delete"
    LOAD_RULES = "load nftables rules of"


@dataclass(frozen=True)
class Plan:
    """Steps for the networks of a host."""

    steps: Tuple[Step[Action], ...]
    files: Mapping[str, str]
    """Content of every file when it is done."""
    kept: Mapping[str, Tuple[str, ...]]
    """Networks that are no longer declared and stay for now, with the ports that still need each."""
    still_forwarding: str = ""
    """Reason why forwarding, which was switched on for networks that go, stays on."""

    @property
    def changed(self) -> bool:
        """Return whether there is anything to do."""
        return bool(self.steps)

    def targets(self, *actions: Action) -> Tuple[str, ...]:
        """Return the targets of the steps of some actions."""
        return tuple(step.target for step in self.steps if step.action in actions)


def plan(observed: Observed, networks: Sequence[Network], path: str = "networks") -> Plan:
    """Return the plan. Raises DeclarationError, with a path below ``path``, for a clash with what the host has."""
    staying = {
        network["name"]: network for network in recorded_networks(observed.files) if _stays(observed, network, networks)
    }
    for index, network in enumerate(networks):
        place = f"{path}[{index}]"
        _refuse_foreign(observed, network["name"], f"{place}.name")
        for other in staying.values():
            refuse_clash(network, other, place)
    own = {bridge_of(file) for file in observed.files}
    refuse_overlaps(networks, observed.routes, {name for name in own if name}, path)
    files = configuration([*networks, *staying.values()])
    steps = (
        *_files(observed, files),
        *_networkd(observed, files, networks),
        *_rules(observed, files),
        *_forwarding(observed, SYSCTLS in files),
    )
    ports = {name: observed.links[name].ports for name in staying}
    ends = observed.switched_on and observed.forwarding and SYSCTLS not in files
    return Plan(in_order(steps), files, ports, observed.other_forwarding if ends else "")


def _stays(observed: Observed, network: Network, declared: Sequence[Network]) -> bool:
    """Return whether a network that is no longer declared stays, since MicroVMs are on it."""
    name = network["name"]
    is_used = name in observed.links and observed.links[name].ports
    return bool(is_used) and name not in [other["name"] for other in declared]


def _refuse_foreign(observed: Observed, name: str, path: str) -> None:
    ours = any(bridge_of(file) == name for file in observed.files)
    if name in observed.links and not (ours and observed.links[name].is_bridge):
        raise DeclarationError(
            path,
            f"the host has an interface {name!r} that this collection has not created; "
            "choose another name, or remove the interface",
        )


def _files(observed: Observed, files: Mapping[str, str]) -> Iterator[Step[Action]]:
    for path, text in files.items():
        if observed.files.get(path) != text:
            yield Step(Action.WRITE, path)
    for path in observed.files:
        if path not in files:
            yield Step(Action.REMOVE, path)


def _networkd(observed: Observed, files: Mapping[str, str], networks: Sequence[Network]) -> Iterator[Step[Action]]:
    names = {bridge_of(path) for path in files}
    for name in sorted({bridge_of(path) for path in observed.files} - names - {None}, key=str):
        if name in observed.links:
            yield Step(Action.DELETE_BRIDGE, str(name))
    if networks and not observed.networkd.enabled:
        yield Step(Action.ENABLE, NETWORKD)
    if observed.networkd.running:
        absent = any(network["name"] not in observed.links for network in networks)
        if absent or _differs(observed, files, NETWORKD_DIRECTORY):
            yield Step(Action.RELOAD_NETWORKD, NETWORKD)
    elif networks:
        yield Step(Action.START_NETWORKD, NETWORKD)
    for network in networks:
        link = observed.links.get(network["name"])
        if link is not None and not has_address(link, network):
            yield Step(Action.RECONFIGURE, network["name"])


def _differs(observed: Observed, files: Mapping[str, str], beginning: str) -> bool:
    """Return whether files below a path differ, or may differ, from those that their reader has read."""
    paths = [path for path in (*observed.files, *files) if path.startswith(beginning)]
    return observed.interrupted or any(observed.files.get(path) != files.get(path) for path in paths)


def _rules(observed: Observed, files: Mapping[str, str]) -> Iterator[Step[Action]]:
    if UNIT in observed.files and UNIT not in files:
        yield Step(Action.UNLOAD_RULES, NETWORK_UNIT)
    if _differs(observed, files, UNIT) or observed.unit.stale:
        yield Step(Action.RELOAD_SYSTEMD, NETWORK_UNIT)
    if RULES not in files:
        return
    if not observed.unit.enabled:
        yield Step(Action.ENABLE, NETWORK_UNIT)
    if not observed.unit.running or observed.rules != rules_digest(files[RULES]):
        yield Step(Action.LOAD_RULES, NETWORK_UNIT)


def _forwarding(observed: Observed, is_needed: bool) -> Iterator[Step[Action]]:
    """Yield the steps after which packets are forwarded, or are no longer if that is due to us alone."""
    if is_needed:
        if SYSCTLS not in observed.files and not observed.forwarding and not observed.switched_on:
            yield Step(Action.RECORD_FORWARDING, FORWARDING_MARK)
        if not observed.forwarding:
            yield Step(Action.FORWARD, SYSCTLS)
    elif observed.switched_on:
        if observed.forwarding and not observed.other_forwarding:
            yield Step(Action.STOP_FORWARDING, FORWARDING)
        yield Step(Action.FORGET_FORWARDING, FORWARDING_MARK)
