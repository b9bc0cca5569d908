# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replace selectors in ``allow`` by the addresses of the guests that they select. Pure.

Addresses are those that are declared: static ones, and static leases by MAC address. So rules follow a changed
declaration in the run that brings it.
"""

from __future__ import annotations

import contextlib
import ipaddress
from typing import Dict, FrozenSet, Iterator, List, Mapping, NamedTuple, Sequence, Tuple

from ...schema.errors import DeclarationError
from ...schema.suggestions import suggestion
from ..types import GuestNetwork, Interface, Network, NetworkAllow, Vm
from .lan import split_lans
from .parse import parse_networks
from .passages import check_passages, origin_problem
from .selectors import MICROVM, Selector, selector_of
from .subnets import subnet


class Resolved(NamedTuple):
    """Networks whose ``allow`` has addresses alone, and what is worth a warning."""

    networks: List[object]
    warnings: List[str]


class EmptyTag(NamedTuple):
    """Tag in ``allow`` that selects no guest, so that nothing is allowed."""

    path: str
    tag: str
    where: str
    """Networks on which it would have to."""


def with_addresses(raw: Sequence[object], vms: Sequence[Vm], path: str) -> Resolved:
    """Return the networks of a host as they were written, apart from selectors.

    Raises DeclarationError for networks that are refused, and for guests whose addresses are not known.
    """
    networks = parse_networks(raw, path)
    guests = _Guests(split_lans(networks)[0], vms)
    resolved = [
        _with_addresses(written, network, guests, f"{path}[{index}].allow")
        for index, (written, network) in enumerate(zip(raw, networks))
    ]
    warnings = [f"{empty.path}: {empty_tag_message(empty, tags_of(vms))}" for empty in guests.empty_tags]
    return Resolved(resolved, warnings)


def tags_of(vms: Sequence[Vm]) -> FrozenSet[str]:
    """Return the tags that MicroVMs have."""
    return frozenset(tag for vm in vms for tag in vm["tags"])


def empty_tag_message(empty: EmptyTag, tags: FrozenSet[str], of_all: bool = False) -> str:
    """Return a warning about a tag; ``tags`` are those that MicroVMs have: ``of_all`` hosts, or of one.

    So that a misspelt tag is found, the message says what tag may have been meant.
    """
    if empty.tag in tags:
        return f"no MicroVM on {empty.where} has the tag {empty.tag!r}; this allows nothing"
    hint = suggestion(empty.tag, tags)
    if of_all:
        hint = hint or "correct it, or remove the element of allow"
        return f"no MicroVM of the inventory has the tag {empty.tag!r}, so this allows nothing; {hint}"
    # Hosts of a group may have the same networks.
    return (
        f"no MicroVM of this host has the tag {empty.tag!r}, so this allows nothing here, as it should be if only "
        f"other hosts have MicroVMs with the tag; otherwise {hint or 'correct it'}"
    )


def _with_addresses(written: object, network: Network, guests: _Guests, path: str) -> object:
    """Return a network as it was written, with the addresses of selected guests."""
    if not isinstance(written, Mapping) or not any(map(_has_selector, network["allow"])):
        return written
    allowed: List[Dict[str, object]] = []
    for index, entry in enumerate(network["allow"]):
        pairs = guests.pairs(entry, network, f"{path}[{index}]")
        allowed += [{"from": origin, "to": destination, "ports": entry["ports"]} for origin, destination in pairs]
    return {**written, "allow": allowed}


def _has_selector(allowed: NetworkAllow) -> bool:
    return any(selector_of(text) for text in (allowed["from"], allowed["to"]))


class _Guests:
    """Guests of a host, and its networks."""

    def __init__(self, networks: Sequence[Network], vms: Sequence[Vm]) -> None:
        self._networks = networks
        self._vms = vms
        self.empty_tags: List[EmptyTag] = []

    def pairs(self, allowed: NetworkAllow, network: Network, path: str) -> Iterator[Tuple[str, str]]:
        """Yield who may connect, and where to."""
        others = [other for other in self._networks if origin_problem(network, other, other["name"]) is None]
        origins = self._addresses(allowed["from"], others, f"{path}.from", "other networks with nat of this host")
        destinations = self._addresses(allowed["to"], [network], f"{path}.to", f"network {network['name']!r}")
        return ((origin, destination) for origin in origins for destination in destinations)

    def _addresses(self, text: str, networks: Sequence[Network], path: str, where: str) -> List[str]:
        """Return the addresses on networks that a text selects; the text itself if it is no selector."""
        selector = selector_of(text)
        if selector is None:
            return [text]
        addresses: Dict[str, None] = {}
        for vm in self._selected(selector, path):
            attached = list(_attached(vm, networks))
            if not attached and selector.kind == MICROVM:
                raise DeclarationError(
                    path, f"MicroVM {vm['name']!r} has no interface on {where}; attach it there, or correct the name"
                )
            for interface, guest, network in attached:
                addresses.update(dict.fromkeys(_declared_addresses(vm, interface, guest, network, path)))
        if not addresses:
            self.empty_tags.append(EmptyTag(path, selector.value, where))
        return sorted(addresses, key=ipaddress.IPv4Address)

    def _selected(self, selector: Selector, path: str) -> List[Vm]:
        """Return the MicroVMs that are selected. Raises DeclarationError for a name that none has."""
        if selector.kind != MICROVM:
            return [vm for vm in self._vms if selector.value in vm["tags"]]
        selected = [vm for vm in self._vms if vm["name"] == selector.value]
        if not selected:
            names = sorted(vm["name"] for vm in self._vms)
            hint = suggestion(selector.value, names) or "correct the name, or remove the element of allow"
            raise DeclarationError(
                path,
                f"no MicroVM {selector.value!r} is declared for this host, other than with state absent (declared: "
                f"{', '.join(names) or 'none'}); {hint}",
            )
        return selected


def _attached(vm: Vm, networks: Sequence[Network]) -> Iterator[Tuple[Interface, GuestNetwork, Network]]:
    """Yield the interfaces of a MicroVM that are on some networks, each with the settings of the guest for it."""
    by_name = {network["name"]: network for network in networks}
    for interface, guest in zip(vm["interfaces"], vm["guest"]["networks"]):
        if interface["bridge"] in by_name:
            yield interface, guest, by_name[interface["bridge"] or ""]


def _declared_addresses(vm: Vm, interface: Interface, guest: GuestNetwork, network: Network, path: str) -> List[str]:
    own, mac = map(ipaddress.ip_interface, guest["addresses"]), interface["mac"].lower()
    addresses = [str(address.ip) for address in own if address.version == 4 and address.ip in subnet(network)]
    addresses += [lease["address"] for lease in network["leases"] if lease["mac"].lower() == mac]
    if not addresses:
        raise DeclarationError(
            path,
            f"no IPv4 address of MicroVM {vm['name']!r} on network {network['name']!r} is declared; set one in its "
            f"guest.networks, or a lease for {mac} in the leases of the network",
        )
    return addresses


def passage_errors(networks: Sequence[Tuple[str, Network]], vms: Sequence[Vm]) -> Iterator[DeclarationError]:
    """Yield what is wrong with passages of networks, each with its path: at most one for each network."""
    own = split_lans([network for _path, network in networks])[0]
    guests = _Guests(own, vms)
    for path, network in networks:
        try:
            if network in own:
                check_passages(network, own, path)
            for index, entry in enumerate(network["allow"]):
                guests.pairs(entry, network, f"{path}.allow[{index}]")
        except DeclarationError as error:
            yield error


def empty_tags(networks: Sequence[Tuple[str, Network]], vms: Sequence[Vm]) -> Iterator[EmptyTag]:
    """Yield the tags that select no guest, of networks with their paths; wrong passages are left out."""
    for path, network in networks:
        guests = _Guests(split_lans([each for _path, each in networks])[0], vms)
        with contextlib.suppress(DeclarationError):
            for index, entry in enumerate(network["allow"]):
                guests.pairs(entry, network, f"{path}.allow[{index}]")
        yield from guests.empty_tags


def refuse_selectors(networks: Sequence[Network], path: str) -> None:
    """Refuse what only declarations of MicroVMs can tell. Raises DeclarationError."""
    for index, network in enumerate(networks):
        for position, allowed in enumerate(network["allow"]):
            for key, text in (("from", allowed["from"]), ("to", allowed["to"])):
                if selector_of(text) is not None:
                    raise DeclarationError(
                        f"{path}[{index}].allow[{position}].{key}",
                        f"{text!r} selects MicroVMs, which are not known here; use role network, or give the networks "
                        "through the filter microvm.fleet.with_guest_addresses",
                    )
