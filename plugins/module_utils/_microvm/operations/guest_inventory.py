# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests as hosts of an inventory, from the declarations of the hosts that run them.

Nothing here asks a host: what is declared is what the roles would be given (role ``vms``).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..declaration.networks.parse import parse_networks
from ..declaration.types import HostImage, Network, Vm
from ..declaration.vms.claims import reachable_addresses
from ..declaration.vms.external import applicable_defaults, source_option
from ..declaration.vms.options import VM_OPTIONS
from ..declaration.vms.parse import parse_vms
from ..schema.errors import DeclarationError
from ..schema.naming import element_names, with_names

VMS, DEFAULTS, NETWORKS = "microvm_vms", "microvm_defaults", "microvm_networks"
VARIABLES = (VMS, DEFAULTS, NETWORKS)
"""Variables of the roles that guests follow from."""

RELEVANT = (
    "name",
    "state",
    "runner",
    "runner_key",
    "flake",
    "renamed_from",
    "identity",
    "machine_id",
    "hypervisor",
    "image",
    "kernel",
    "interfaces",
    "guest",
    "vsock",
    "ready",
    "use_notify_sockets",
    "forward_ports",
    "tags",
)
"""Options of a MicroVM that its guest's place in an inventory follows from, or that others of these need."""

RELEVANT_OF_GUEST = ("enable", "hostname", "networks")
"""Options of ``guest`` among them; the rest are for whoever logs in, and may be known when a playbook runs only."""

IRRELEVANT = frozenset(option.name for option in VM_OPTIONS) - frozenset(RELEVANT)
IRRELEVANT_OF_GUEST = frozenset(
    suboption.name for option in VM_OPTIONS if option.name == "guest" for suboption in option.suboptions
) - frozenset(RELEVANT_OF_GUEST)

SSH_PORT = 22

LOOPBACK = "127.0.0.1"
"""Address of the host at which hypervisors forward ports that are declared without one."""

FACTS_OF_GUESTS = ("condition", "state", "addresses", "dhcp_addresses", "restart_pending", "generation", "accelerator")
"""Facts of a guest that are part of its variables (module ``microvm_info``)."""


@dataclass(frozen=True)
class GuestHost:
    """Guest that a host declares."""

    name: str
    """Name of its MicroVM."""
    host: str
    hypervisor: Optional[str]
    """``None`` where a package that was made elsewhere decides it."""
    state: str
    """Declared state."""
    networks: Tuple[str, ...]
    """Bridges, and links of macvtap interfaces."""
    address: Optional[str]
    """Address of its SSH server as the host reaches it; ``None`` if only the host can know."""
    port: int
    variables: Mapping[str, object]
    """What templates may want to know of it."""
    tags: Tuple[str, ...] = ()

    def groups(self, prefix: str) -> Iterator[str]:
        """Yield the names of its groups, which may have characters that Ansible replaces."""
        yield f"{prefix}host_{self.host}"
        if self.hypervisor is not None:
            yield f"{prefix}hypervisor_{self.hypervisor}"
        yield f"{prefix}state_{self.state}"
        for network in self.networks:
            yield f"{prefix}network_{network}"
        for tag in self.tags:
            yield f"{prefix}tag_{tag}"


def declared_guests(host: str, variables: Mapping[str, object], facts: object = None) -> List[GuestHost]:
    """Return the guests of a host; ``facts`` is what ``microvm_info`` has returned for it as ``vms``, if anything.

    Raises DeclarationError with the path of what is wrong, which begins with the name of a variable.
    """
    vms = declared_vms(variables)
    leases = _leases(parse_networks(_list(variables, NETWORKS), NETWORKS))
    seen = _facts_by_name(facts)
    return [_guest(host, vm, leases, seen.get(vm["name"], {})) for vm in vms]


def declared_vms(variables: Mapping[str, object]) -> List[Vm]:
    """Return the MicroVMs that a host declares, apart from those with state ``absent``; see declared_guests."""
    raw = _list(variables, VMS)
    defaults = variables.get(DEFAULTS) or {}
    if not isinstance(defaults, Mapping):
        raise DeclarationError(DEFAULTS, "is not a mapping; write options of a MicroVM and their values")
    complete = [merged(applicable_defaults(vm, defaults), vm) if isinstance(vm, Mapping) else vm for vm in raw]
    names = element_names({VMS: complete})
    try:
        vms = parse_vms(complete, list(_images(complete)), VMS)
    except DeclarationError as error:
        raise DeclarationError(with_names(error.path, names), with_names(error.message, names)) from None
    return [vm for vm in vms if vm["state"] != "absent"]


def relevant(variables: Mapping[str, object]) -> Dict[str, object]:
    """Return the part of a host's variables that guests follow from, untemplated.

    The rest of declarations is not looked at: secrets are not decrypted. What no option is stays, and is refused later.
    """
    result = {name: variables[name] for name in VARIABLES if name in variables}
    result[VMS] = _each(variables.get(VMS), _relevant_options)
    result[DEFAULTS] = _relevant_options(variables.get(DEFAULTS))
    return result


def _each(value: object, part: Callable[[object], object]) -> object:
    return [part(element) for element in value] if isinstance(value, (list, tuple)) else value


def _relevant_options(vm: object) -> object:
    if not isinstance(vm, Mapping):
        return vm
    options = {key: value for key, value in vm.items() if key not in IRRELEVANT}
    if isinstance(options.get("guest"), Mapping):
        guest: Mapping[object, object] = options["guest"]
        options["guest"] = {key: value for key, value in guest.items() if key not in IRRELEVANT_OF_GUEST}
    return options


def _list(variables: Mapping[str, object], name: str) -> List[object]:
    value = variables.get(name) or []
    if not isinstance(value, (list, tuple)):
        raise DeclarationError(name, "is not a list; begin each element with a hyphen")
    return list(value)


def merged(defaults: Mapping[object, object], values: Mapping[object, object]) -> Dict[object, object]:
    """Return both, as filter ``combine`` does with ``recursive=true``: mappings are merged, lists are replaced."""
    result = dict(defaults)
    for key, value in values.items():
        default = result.get(key)
        if isinstance(default, Mapping) and isinstance(value, Mapping):
            value = merged(default, value)
        result[key] = value
    return result


def _images(vms: Sequence[object]) -> Iterator[HostImage]:
    """Yield the images that MicroVMs name, which may be declared elsewhere or be on the host already."""
    for vm in vms:
        if isinstance(vm, Mapping) and isinstance(vm.get("image"), str):
            yield {
                "name": vm["image"],
                "path": None,
                "store_disk_type": "erofs",
                "kernel_lacks": [],
                "uses_host_key": False,
                "nix": True,
            }


def _leases(networks: Sequence[Network]) -> Dict[Tuple[str, str], str]:
    """Return the addresses of static leases by bridge and MAC address."""
    return {
        (network["name"], lease["mac"].lower()): lease["address"] for network in networks for lease in network["leases"]
    }


def _facts_by_name(facts: object) -> Dict[str, Mapping[object, object]]:
    entries = facts if isinstance(facts, (list, tuple)) else ()
    return {
        str(entry["name"]): entry
        for entry in entries
        if isinstance(entry, Mapping) and isinstance(entry.get("name"), str)
    }


def _guest(host: str, vm: Vm, leases: Mapping[Tuple[str, str], str], facts: Mapping[object, object]) -> GuestHost:
    address, port = _ssh_server(vm, leases, facts)
    networks, tags = tuple(dict.fromkeys(_networks(vm))), tuple(dict.fromkeys(vm["tags"]))
    state, hypervisor = vm["state"] or "started", None if source_option(vm) else vm["hypervisor"]
    seen = {key: facts[key] for key in FACTS_OF_GUESTS if key in facts}
    variables: Dict[str, object] = {
        "name": vm["name"],
        "host": host,
        "hypervisor": hypervisor,
        "state": state,
        "tags": list(tags),
        "hostname": vm["guest"]["hostname"],
        "machine_id": vm["machine_id"],
        "networks": list(networks),
        "addresses": [address for _key, address in reachable_addresses(vm)],
        "vsock_cid": vm["vsock"]["cid"],
        **({"facts": seen} if seen else {}),
    }
    return GuestHost(vm["name"], host, hypervisor, state, networks, address, port, variables, tags)


def _networks(vm: Vm) -> Iterator[str]:
    for interface in vm["interfaces"]:
        place = interface["bridge"] or interface["macvtap"]["link"]
        if place:
            yield place


def _ssh_server(
    vm: Vm, leases: Mapping[Tuple[str, str], str], facts: Mapping[object, object]
) -> Tuple[Optional[str], int]:
    """Return address and port: the first declared ones that the host reaches, else the lease that it has seen."""
    static = vm["ready"]["address"] or next((address for _key, address in reachable_addresses(vm)), None)
    if static:
        return static, SSH_PORT
    for port in vm["forward_ports"]:
        if port["from"] == "host" and port["proto"] == "tcp" and port["guest"]["port"] == SSH_PORT:
            address = port["host"]["address"]
            return (LOOPBACK if address in (None, "0.0.0.0") else address), port["host"]["port"]
    by_mac = ((interface["bridge"] or "", interface["mac"].lower()) for interface in vm["interfaces"])
    leased = next((leases[key] for key in by_mac if key in leases), None)
    return leased or next(_addresses(facts.get("dhcp_addresses")), None), SSH_PORT


def _addresses(seen: object) -> Iterator[str]:
    """Yield the addresses among what a host says that it has seen, which may be anything."""
    for text in seen if isinstance(seen, (list, tuple)) else ():
        try:
            address = ipaddress.ip_address(text if isinstance(text, str) else "")
        except ValueError:
            continue
        # What follows a percent sign is any text; it says by which interface a link-local address is reached.
        if not address.is_link_local and "%" not in str(address):
            yield str(address)


def check_name_template(template: str) -> Optional[str]:
    """Return what is wrong with a template of names."""
    if not re.fullmatch(r"(\{name\}|\{host\}|[A-Za-z0-9_.-])+", template):
        return f"{template!r} may have the fields {{name}} and {{host}}, letters, digits and `_.-` alone"
    return None if "{name}" in template else f"{template!r} gives all guests one name; it must contain {{name}}"


class NamedGuests(NamedTuple):
    """Guests by their names in the inventory, and a reason for each name that is not unique, which no guest has."""

    guests: Dict[str, GuestHost]
    errors: List[DeclarationError]
    left_out: List[GuestHost]
    """Guests that would have had these names."""


def named_guests(guests: Sequence[GuestHost], template: str, taken: Mapping[str, str]) -> NamedGuests:
    """Return guests by their names; ``taken`` are names that others have, with what these are."""
    by_name: Dict[str, List[GuestHost]] = {}
    for guest in guests:
        by_name.setdefault(template.format(name=guest.name, host=guest.host), []).append(guest)
    unique = {name: owners[0] for name, owners in by_name.items() if name not in taken and len(owners) == 1}
    others = {name: owners for name, owners in by_name.items() if name not in unique}
    errors = [_no_name(name, owners, taken.get(name)) for name, owners in others.items()]
    return NamedGuests(unique, errors, [guest for owners in others.values() for guest in owners])


def _no_name(name: str, owners: Sequence[GuestHost], other: Optional[str]) -> DeclarationError:
    """Return why no guest has a name: which of them is meant, nobody could tell."""
    guest = owners[-1]
    return DeclarationError(
        "hostname",
        f"guest {guest.name!r} of {guest.host} would be called {name!r}, as "
        f"{other or f'guest {owners[0].name!r} of {owners[0].host}'} is; names in an inventory are unique: set "
        "`hostname` to another template, such as '{name}.{host}'",
    )
