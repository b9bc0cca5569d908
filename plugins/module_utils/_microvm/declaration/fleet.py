# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find what MicroVMs and networks of a fleet must not share, on one host and on hosts whose guests meet on a LAN.

Identities of a host, such as subnets with NAT, vsock CIDs, taps and ports, may be the same on any number of hosts.
Addresses and MAC addresses may not, where guests of two hosts are on one LAN. So only these are compared across hosts.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Dict, FrozenSet, Iterator, List, Mapping, Optional, Sequence, Tuple

from ..schema.errors import DeclarationError
from ..schema.naming import Names, with_names
from .networks.lan import split_lans
from .networks.macvtap import MACVTAP
from .networks.parse import refuse_clash
from .networks.selected_guests import empty_tag_message, empty_tags, passage_errors, tags_of
from .types import Interface, Network, Vm
from .vms.attachments import refuse_misplaced_addresses
from .vms.claims import needs_interface
from .vms.clashes import clashes
from .vms.macvtaps import refuse_other_kind

Lans = Mapping[str, Optional[str]]
"""Names of LANs by interfaces of a host; ``None`` for a bridge that leads nowhere."""

_INTERNAL = re.compile(
    r"(virbr|podman|cni-podman|lxcbr|lxdbr|incusbr)[0-9]+|docker0|docker_gwbridge|br-[0-9a-f]{12}",
)
"""Names that programs give to bridges of a host's own, behind NAT: libvirt, Docker, Podman, LXC, LXD, Incus."""

_MOST_OTHERS = 3
"""Number of other places that an error names."""


@dataclass(frozen=True)
class HostDeclarations:
    """Declarations of a host, as far as they can be read."""

    host: str
    vms: Sequence[Tuple[str, Vm]] = ()
    """MicroVMs with their paths."""
    networks: Sequence[Tuple[str, Network]] = ()
    """Networks with their paths."""
    lans: Lans = field(default_factory=dict)
    names: Names = field(default_factory=dict)
    """Names of elements by their paths."""
    errors: Sequence[DeclarationError] = ()
    """Reasons why the rest cannot be read."""


@dataclass(frozen=True)
class FleetError:
    """Declaration that cannot be carried out, and the hosts that it concerns."""

    hosts: Tuple[str, ...]
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.hosts[0]}: {self.path}: {self.message}"


@dataclass(frozen=True)
class FleetWarning:
    """Declaration of a host that can be carried out, but hardly means what it says."""

    host: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.host}: {self.path}: {self.message}"


@dataclass(frozen=True)
class _Use:
    """Use of an address on a LAN."""

    host: HostDeclarations
    vm: Vm
    path: str

    @property
    def place(self) -> str:
        """Path with the names of elements."""
        return with_names(self.path, self.host.names)

    @property
    def is_standby(self) -> bool:
        """True if nothing starts the MicroVM: the same one may run on another host."""
        return self.vm["state"] in ("present", "stopped")


def fleet_errors(hosts: Sequence[HostDeclarations]) -> List[FleetError]:
    """Return all that is wrong with the declarations of a fleet: host by host, then across hosts."""
    errors = [_of_host(host, error) for host in hosts for error in (*host.errors, *_host_errors(host))]
    return [*errors, *_lan_errors(hosts)]


def fleet_warnings(hosts: Sequence[HostDeclarations]) -> List[FleetWarning]:
    """Return what is doubtful in the declarations of a fleet: tags in ``allow`` that no MicroVM has.

    A tag that only MicroVMs of other hosts have is none: hosts of a group may have the same networks. Where
    declarations cannot be read, nobody knows what tags there are.
    """
    if any(host.errors for host in hosts):
        return []
    tags = tags_of([vm for host in hosts for _path, vm in _present(host)])
    return [warning for host in hosts for warning in _host_warnings(host, tags)]


def _host_warnings(host: HostDeclarations, tags: FrozenSet[str]) -> Iterator[FleetWarning]:
    vms = [vm for _path, vm in _present(host)]
    for empty in empty_tags(host.networks, vms):
        if empty.tag in tags - tags_of(vms):
            continue
        message = empty_tag_message(empty, tags, of_all=True)
        yield FleetWarning(host.host, with_names(empty.path, host.names), message)


def _of_host(host: HostDeclarations, error: DeclarationError) -> FleetError:
    path, message = (with_names(text, host.names) for text in (error.path, error.message))
    return FleetError((host.host,), path, message)


def _host_errors(host: HostDeclarations) -> Iterator[DeclarationError]:
    """Yield what cannot be together on a host."""
    for index, (path, network) in enumerate(host.networks):
        for _path, other in host.networks[:index]:
            try:
                refuse_clash(network, other, path)
            except DeclarationError as clash:
                yield clash
                break
    paths = [path for path, _vm in host.vms]
    namesakes = set()
    for index, error in clashes([vm for _path, vm in host.vms], paths.__getitem__):
        # All else that is derived from a name follows from this error.
        if index not in namesakes:
            yield DeclarationError(f"{paths[index]}.{error.path}", error.message)
        if error.path == "name":
            namesakes.add(index)
    networks = [network for _path, network in host.networks]
    for path, vm in _present(host):
        try:
            _refuse_names_of_networks(vm, networks, path)
            refuse_other_kind(vm, networks, path, are_complete=False)
            refuse_misplaced_addresses(vm, split_lans(networks)[0], {}, path)
        except DeclarationError as misplaced:
            yield misplaced
    # A passage may name what cannot be read.
    if not host.errors:
        yield from passage_errors(host.networks, [vm for _path, vm in _present(host)])


def _present(host: HostDeclarations) -> Iterator[Tuple[str, Vm]]:
    return ((path, vm) for path, vm in host.vms if vm["state"] != "absent")


def _refuse_names_of_networks(vm: Vm, networks: Sequence[Network], path: str) -> None:
    """Refuse taps that are called like an interface of a network. Raises DeclarationError."""
    for index, interface in enumerate(vm["interfaces"]):
        for network in networks if interface["type"] != "user" else ():
            if interface["id"] in (network["name"], network["link"], *network["uplinks"]):
                raise DeclarationError(
                    f"{path}.interfaces[{index}].id",
                    f"{interface['id']!r} is the bridge, the link or an uplink of network {network['name']!r}; use "
                    "another name",
                )


def _lan_errors(hosts: Sequence[HostDeclarations]) -> Iterator[FleetError]:
    """Yield the addresses that guests of several hosts have on one LAN."""
    uses: Dict[Tuple[str, str, str], List[_Use]] = {}
    for host in hosts:
        for path, vm in _present(host):
            for subject, key in _lan_addresses(host, vm):
                uses.setdefault(subject, []).append(_Use(host, vm, f"{path}.{key}"))
    for subject, owners in uses.items():
        # Those of one host have been compared, and a MicroVM is no clash with its own standby.
        by_host = list({use.host.host: use for use in reversed(owners)}.values())[::-1]
        active = [use for use in by_host if not use.is_standby]
        names = {use.vm["name"] for use in by_host}
        if len(by_host) > 1 and (len(names) > 1 or len(active) > 1):
            yield _clash(*subject, by_host if len(names) > 1 else active)


def _clash(lan: str, kind: str, value: str, uses: Sequence[_Use]) -> FleetError:
    last, others = uses[-1], uses[:-1]
    places = ", ".join(f"{use.place} of {use.host.host}" for use in others[:_MOST_OTHERS])
    if len(others) > _MOST_OTHERS:
        places += f" and {len(others) - _MOST_OTHERS} more"
    rule = (
        "give each MicroVM a name, and so a MAC address, of its own, or set `mac`"
        if kind == "MAC address"
        else "use another address"
    )
    message = (
        f"the {kind} {value} is also that of {places}, and they meet on the LAN {lan!r}; {rule}. If the interfaces do "
        "not lead to the same LAN, say so in microvm_lans"
    )
    return FleetError((last.host.host, *(use.host.host for use in others)), last.place, message)


def _lan_addresses(host: HostDeclarations, vm: Vm) -> Iterator[Tuple[Tuple[str, str, str], str]]:
    """Yield the addresses of a MicroVM on LANs, each as LAN, kind and value, with its key."""
    for index, (interface, guest) in enumerate(zip(vm["interfaces"], vm["guest"]["networks"])):
        lan = _lan(interface, host)
        if lan is None:
            continue
        yield (lan, "MAC address", interface["mac"]), f"interfaces[{index}].mac"
        for position, text in enumerate(guest["addresses"]):
            address = ipaddress.ip_interface(text)
            # One alone is a route to a guest, which several may have on purpose (anycast).
            if address.network.prefixlen < address.max_prefixlen and not needs_interface(str(address.ip)):
                yield (lan, "address", str(address.ip)), f"guest.networks[{index}].addresses[{position}]"


def _lan(interface: Interface, host: HostDeclarations) -> Optional[str]:
    """Return the LAN that an interface is on; ``None`` if it meets guests of its own host at most."""
    networks = {network["name"]: network for _path, network in host.networks}
    own = [network["name"] for network in split_lans(list(networks.values()))[0]]
    network = networks.get(interface["bridge"] or "")
    link = interface["macvtap"]["link"] if interface["type"] == MACVTAP else interface["bridge"]
    if network is not None and network["link"] is not None:
        link = network["link"]
    if not link or link in own or interface["type"] == "user":
        return None
    if link in host.lans:
        return host.lans[link]
    return None if _INTERNAL.fullmatch(link) else link
