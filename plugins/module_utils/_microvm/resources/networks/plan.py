# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From the networks that are there and those that are declared to steps. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Iterator, Mapping, Optional, Sequence, Tuple

from ...declaration.names import NETWORK_UNIT
from ...declaration.networks.parse import Network, refuse_clash
from ...host.systemd import Unit
from ...schema.errors import DeclarationError
from ..steps import BaseAction, Step
from .configuration import NETWORKD_DIRECTORY, RULES, SYSCTLS, UNIT, bridge_of, configuration, recorded, rules_digest

NETWORKD = "systemd-networkd.service"


class Action(BaseAction):
    """What a step does, in the order in which steps are carried out."""

    UNLOAD_RULES = "systemctl disable --now"
    # Before its files: they tell the next run that the bridge is ours.
    DELETE_BRIDGE = "delete bridge"
    WRITE = "write"
    REMOVE = "remove"
    RELOAD_SYSTEMD = "read unit file of"
    ENABLE = "systemctl enable"
    START_NETWORKD = "systemctl start"
    RELOAD_NETWORKD = "read configuration of"
    RECONFIGURE = "configure bridge"
    FORWARD = "apply"
    LOAD_RULES = "load rules of"


@dataclass(frozen=True)
class Link:
    """A network interface of the host."""

    is_bridge: bool
    addresses: Tuple[str, ...] = ()
    """With their prefix length."""
    ports: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Observed:
    """The networks as the host has them."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Content of the files that are ours, by path."""
    interrupted: bool = False
    """Whether a run has changed files and was ended before it could tell systemd."""
    links: Mapping[str, Link] = field(default_factory=dict)
    rules: Optional[str] = None
    """Digest of the rules that are loaded."""
    forwarding: bool = False
    networkd: Unit = field(default_factory=Unit)
    unit: Unit = field(default_factory=Unit)
    """The one that loads the rules."""


@dataclass(frozen=True)
class Plan:
    """What is to be done for the networks of a host."""

    steps: Tuple[Step[Action], ...]
    files: Mapping[str, str]
    """Content of every file when it is done."""
    kept: Mapping[str, Tuple[str, ...]]
    """Networks that are no longer declared and stay for now, with the ports that still need each."""

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.steps)

    def targets(self, *actions: Action) -> Tuple[str, ...]:
        """What the planned steps of some kinds change."""
        return tuple(step.target for step in self.steps if step.action in actions)


def plan(observed: Observed, networks: Sequence[Network], path: str = "networks") -> Plan:
    """Raises DeclarationError, with a path below ``path``, for what another interface or network of the host has."""
    kept = {network["name"]: network for network in recorded(observed.files) if _stays(observed, network, networks)}
    for index, network in enumerate(networks):
        place = f"{path}[{index}]"
        _refuse_foreign(observed, network["name"], f"{place}.name")
        for other in kept.values():
            refuse_clash(network, other, place)
    files = configuration([*networks, *kept.values()])
    steps = (*_files(observed, files), *_networkd(observed, files, networks), *_rules(observed, files))
    order = list(Action)
    ports = {name: observed.links[name].ports for name in kept}
    return Plan(tuple(sorted(steps, key=lambda step: order.index(step.action))), files, ports)


def _stays(observed: Observed, network: Network, declared: Sequence[Network]) -> bool:
    """Whether a network of before is no longer declared, but not taken away from under the MicroVMs that are on it."""
    name = network["name"]
    is_used = name in observed.links and observed.links[name].ports
    return bool(is_used) and name not in [one["name"] for one in declared]


def _refuse_foreign(observed: Observed, name: str, path: str) -> None:
    ours = any(bridge_of(file) == name for file in observed.files)
    if name in observed.links and not (ours and observed.links[name].is_bridge):
        raise DeclarationError(
            path, f"the host has an interface {name!r} that is not from here; choose another name, or remove that one"
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


def has_address(link: Link, network: Network) -> bool:
    """Whether a bridge has its network's address."""
    wanted = ipaddress.ip_interface(network["address"])
    return any(ipaddress.ip_interface(address) == wanted for address in link.addresses)


def _differs(observed: Observed, files: Mapping[str, str], beginning: str) -> bool:
    """Whether files below a path are, or may be, other ones than the program that reads them has read."""
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
    if SYSCTLS in files and not observed.forwarding:
        yield Step(Action.FORWARD, SYSCTLS)
