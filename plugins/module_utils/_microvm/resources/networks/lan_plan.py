# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans bridges onto interfaces of the host. Pure.

A change of an interface of the host may cut the host off, whether or not the interface itself has addresses. It is made
below /run only, and is taken back by a timer, or by a start of the host, unless a run confirms it: the controller
reaches the host then. The timer also stays while a run goes back to what is permanent, until that is done.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Dict, FrozenSet, Iterator, List, Mapping, Sequence, Tuple

from ...declaration.networks.lan import is_lan, lan_link, split_lans
from ...declaration.types import Network
from ...host.commands import HostError
from ...schema.errors import DeclarationError
from .lan_files import FIRST, PERMANENT, RUNTIME, is_port_of, lan_name, lan_of, lan_texts, paths, stacked
from .state import LanInterface, Observed, own_addresses


@dataclass(frozen=True)
class LanPlan:
    """Files of the bridges onto interfaces of a host when a run is done, and what of them waits for confirmation."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Content of the files below /run, and of the permanent ones."""
    unconfirmed: Tuple[str, ...] = ()
    """Bridges whose change is made, or was made by an earlier run, and waits for its confirmation."""
    changing: FrozenSet[str] = frozenset()
    """Those of them whose change this run makes."""
    leaving: Tuple[Network, ...] = ()
    """Networks that are no longer declared, whose rules stay until that is confirmed."""
    confirmed: Tuple[str, ...] = ()
    """Bridges whose change was made by an earlier run, and becomes permanent by this one."""


def plan_lans(
    observed: Observed, networks: Sequence[Network], former: Sequence[Network], path: str, confirm: bool
) -> LanPlan:
    """Return the plan of those among ``networks`` that have an interface of the host; ``former`` is the record.

    Raises DeclarationError, with a path below ``path``, and HostError if there is nothing left to confirm.
    """
    for index, network in enumerate(networks):
        _refuse_other_link(observed, network, former, f"{path}[{index}].link")
    _others, lans = split_lans(networks)
    wanted: Dict[str, str] = {}
    for network in lans:
        index = networks.index(network)
        wanted.update(_texts(observed, network, f"{path}[{index}]"))
    by_name = {network["name"]: network for network in [*former, *networks]}
    files: Dict[str, str] = {}
    unconfirmed: List[str] = []
    changed: List[str] = []
    confirmed: List[str] = []
    for name in _names(observed, wanted):
        runtime = {file: wanted[file] for file in paths(name, RUNTIME) if file in wanted}
        changes = any(observed.files.get(file) != runtime.get(file) for file in paths(name, RUNTIME))
        # Somebody may have deleted the files of a bridge that goes.
        changes = changes or (not runtime and name in observed.links)
        is_permanent = _is_permanent(observed, name, runtime)
        waits = not is_permanent and (changes or (observed.unconfirmed and not confirm))
        if waits and changes and confirm:
            raise HostError(_taken_back(name))
        files.update(runtime)
        files.update(_permanent_files(observed, name, runtime, waits))
        unconfirmed += [name] if waits else []
        changed += [name] if changes else []
        confirmed += [name] if observed.unconfirmed and not is_permanent and not waits else []
    if confirmed and changed:
        # What this one changes would have no timer.
        raise HostError(_taken_back(changed[0]))
    declared = {network["name"] for network in networks}
    leaving = tuple(by_name[name] for name in unconfirmed if name not in declared and name in by_name)
    return LanPlan(files, tuple(unconfirmed), frozenset(unconfirmed) & frozenset(changed), leaving, tuple(confirmed))


def _taken_back(name: str) -> str:
    return (
        f"the change of network {name!r} cannot be confirmed, since it was taken back or is not what is declared now: "
        "see journalctl -u microvm-fleet-lan-return, and run again without confirm"
    )


def _names(observed: Observed, wanted: Mapping[str, str]) -> Sequence[str]:
    """Return the bridges that files are about, those that go included."""
    return sorted({name for name in map(lan_name, [*observed.files, *wanted]) if name is not None})


def _permanent(file: str) -> str:
    return file.replace(RUNTIME, PERMANENT, 1)


def _is_permanent(observed: Observed, name: str, runtime: Mapping[str, str]) -> bool:
    """Return whether files below /run would be there after a start of the host."""
    return all(observed.files.get(_permanent(file)) == runtime.get(file) for file in paths(name, RUNTIME))


def _permanent_files(observed: Observed, name: str, runtime: Mapping[str, str], waits: bool) -> Dict[str, str]:
    """Return the permanent files of a bridge, which stay as they are while a change waits for its confirmation."""
    if not waits:
        return {_permanent(file): text for file, text in runtime.items()}
    return {file: observed.files[file] for file in paths(name, PERMANENT) if file in observed.files}


def _refuse_other_link(observed: Observed, network: Network, former: Sequence[Network], path: str) -> None:
    """Refuse to put a bridge that exists onto another interface, or onto none."""
    for other in former:
        is_there = other["name"] == network["name"] and other["name"] in observed.links
        if is_there and lan_link(other) != lan_link(network):
            raise DeclarationError(
                path,
                f"the link of {network['name']!r} does not change while the network exists: it is "
                f"{lan_link(other) or 'none'}. To change it, {two_runs(network['name'])}",
            )


def two_runs(name: str) -> str:
    """Return how an interface of the host gets from one bridge to another, as an order.

    Playbook site refuses MicroVMs on a network that is not declared, and a bridge stays while MicroVMs run on it.
    """
    return (
        f"stop the MicroVMs on it, run without {name} in the declared networks (playbook site: with --tags network, "
        f"which does not look at the declared MicroVMs), then run with {name} again (playbook site: without --tags)"
    )


def _texts(observed: Observed, network: Network, path: str) -> Dict[str, str]:
    """Return the files of a bridge below /run. What the interface had is taken over once, when it becomes a port."""
    for directory in (RUNTIME, PERMANENT):
        if is_port_of(observed.files, network, directory):
            files = [observed.files[file] for file in paths(network["name"], directory)]
            return dict(zip(paths(network["name"], RUNTIME), files))
    link = lan_link(network)
    interface = observed.lan_interfaces.get(link)
    if interface is None:
        raise DeclarationError(f"{path}.link", f"the host has no interface {link!r}; name one that it has")
    reason = _reason(observed, network, interface)
    if reason:
        raise DeclarationError(f"{path}.link", f"{link!r} {reason}")
    return lan_texts(network, interface)


def _reason(observed: Observed, network: Network, interface: LanInterface) -> str:
    """Return why an interface cannot become a port of a bridge, as a predicate, and what to do."""
    link = lan_link(network)
    instead = (
        f"make the bridge there, for example br0 with the port {link}, and give interfaces of MicroVMs bridge: br0 "
        "instead of this network"
    )
    if interface.obstacle:
        return f"{interface.obstacle}; name an Ethernet interface"
    bridges = [name for name, other in observed.links.items() if link in other.ports and name != network["name"]]
    if bridges and bridges[0] in map(lan_name, observed.files):
        return (
            f"is the link of the network {bridges[0]!r}, which is no longer declared; to release it, "
            f"{two_runs(network['name'])}"
        )
    if bridges:
        return f"is a port of {bridges[0]!r} already; give interfaces of MicroVMs bridge: {bridges[0]}, or release it"
    if interface.master not in ("", network["name"]):
        return f"belongs to {interface.master!r}; name that instead, or release the interface"
    if interface.manager:
        return f"is managed by {interface.manager}, whose configuration this collection leaves alone; {instead}"
    if not interface.file and own_addresses(observed.links.get(link)):
        return (
            "has addresses which systemd-networkd has not given it, so they would be lost; let systemd-networkd "
            f"configure the interface, or {instead}"
        )
    if lan_of(interface.file) is not None:
        return (
            f"is configured by {interface.file}, but other files of this collection are missing; restart "
            "systemd-networkd.service, which restores them, or the host"
        )
    if interface.file and interface.file.rpartition("/")[2] < FIRST:
        return f"is configured by {interface.file}, which comes before {FIRST}*; rename it so that it comes after"
    setting = stacked(interface.text)
    if setting:
        return f"is configured with {setting}= by systemd-networkd ({interface.file}); {instead}"
    return ""


def lan_pairs(networks: Sequence[Network]) -> Dict[str, str]:
    """Return the bridges onto interfaces of the host, each with its interface."""
    return {network["name"]: lan_link(network) for network in networks if is_lan(network)}


def with_bridges_and_links(interfaces: Sequence[str], pairs: Mapping[str, str]) -> Tuple[str, ...]:
    """Return interfaces, each bridge with its interface and the other way round: one of them has the addresses."""
    links = {link: name for name, link in pairs.items()}
    listed = [(name, *filter(None, (pairs.get(name), links.get(name)))) for name in interfaces]
    return tuple(sorted({name for names in listed for name in names}))


def host_addresses(observed: Observed, pairs: Mapping[str, str]) -> Tuple[str, ...]:
    """Return the IPv4 addresses that the host has in the LANs that guests are in, and those of its routers there."""
    interfaces = {*pairs, *pairs.values()}
    addresses = [address for name in interfaces for address in own_addresses(observed.links.get(name))]
    own = [ipaddress.ip_interface(address).ip for address in addresses]
    routers = [gateway for device, gateway in observed.gateways if device in interfaces]
    return tuple(sorted({*(str(address) for address in own if address.version == 4), *routers}))


def confirmable(planned: LanPlan) -> Iterator[str]:
    """Yield the bridges whose change was made by an earlier run, and waits for its confirmation."""
    yield from (name for name in planned.unconfirmed if name not in planned.changing)
