# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Read the declarations of a fleet's hosts from their variables, as far as clashes follow from them."""

from __future__ import annotations

from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypedDict, TypeVar

from ..declaration.fleet import FleetError, HostDeclarations, Lans
from ..declaration.networks.parse import parse_network
from ..declaration.types import Vm
from ..declaration.vms.external import applicable_defaults, source_option
from ..declaration.vms.parse import parse_vm
from ..schema.errors import DeclarationError
from ..schema.naming import element_names
from .guest_inventory import DEFAULTS, NETWORKS, VARIABLES, VMS, merged

_T = TypeVar("_T")

LANS = "microvm_lans"
FLEET_VARIABLES = (*VARIABLES, LANS)
"""Variables of a host that clashes follow from."""

COMPARED = (
    "name",
    "state",
    "runner",
    "runner_key",
    "flake",
    "renamed_from",
    "identity",
    "machine_id",
    "interfaces",
    "guest",
    "vsock",
    "forward_ports",
    "volumes",
    "shares",
    "devices",
    "socket",
    "graphics",
    "tags",
)
"""Options of a MicroVM that it may have in common with none, or that others of these need."""

_GUEST = ("networks",)
"""Those of ``guest``; the rest may be secrets."""

_KERNEL = {"kernel": "/kernel"}
"""Kernel that all have here: images are none of this matter, and are known on hosts only."""

CLASHES_ARGUMENTS: Dict[str, Dict[str, str]] = {
    "hosts": {"type": "list", "elements": "str"},
    "group": {"type": "str", "default": "microvm_hosts"},
}
"""Options of the action."""


class ReportedClash(TypedDict):
    """What is wrong with the declarations of a host."""

    host: str
    hosts: List[str]
    path: str
    message: str


class ClashesResult(TypedDict):
    """Result of the action."""

    changed: bool
    hosts: List[str]
    left_out: List[str]
    errors: List[ReportedClash]


def compared_part(variables: Mapping[str, object]) -> Dict[str, object]:
    """Return the part of a host's variables that is compared, untemplated: no secret is decrypted."""
    part = {name: variables[name] for name in FLEET_VARIABLES if variables.get(name) is not None}
    if isinstance(part.get(VMS), (list, tuple)):
        part[VMS] = [_compared_options(vm) for vm in _elements(part[VMS])]
    if DEFAULTS in part:
        part[DEFAULTS] = _compared_options(part[DEFAULTS])
    return part


def _elements(value: object) -> List[object]:
    return list(value) if isinstance(value, (list, tuple)) else []


def _compared_options(vm: object) -> object:
    if not isinstance(vm, Mapping):
        return vm
    options = {key: vm[key] for key in COMPARED if key in vm}
    if isinstance(options.get("guest"), Mapping):
        options["guest"] = {key: options["guest"][key] for key in _GUEST if key in options["guest"]}
    return options


def read_host(host: str, variables: Mapping[str, object]) -> HostDeclarations:
    """Return the declarations of a host from its templated variables, with errors for what cannot be read.

    Variables, and elements of lists, may be errors themselves, where their templates cannot be resolved.
    """
    errors = [value for value in variables.values() if isinstance(value, DeclarationError)]
    readable = {name: value for name, value in variables.items() if not isinstance(value, DeclarationError)}
    listed = {name: _list(readable, name, errors) for name in (VMS, NETWORKS)}
    defaults = _mapping(readable, DEFAULTS, errors, "write options of a MicroVM and their values")
    vms = _read(VMS, listed[VMS], lambda vm, path: _vm(vm, defaults, path), errors)
    networks = _read(NETWORKS, listed[NETWORKS], parse_network, errors)
    return HostDeclarations(host, vms, networks, _lans(readable, errors), element_names(listed), errors)


def clashes_result(
    fleet: Sequence[HostDeclarations], errors: Sequence[FleetError], left_out: Sequence[str]
) -> ClashesResult:
    """Return the result for hosts that have been compared, errors among them, and names of others."""
    reported: List[ReportedClash] = [
        {"host": error.hosts[0], "hosts": list(error.hosts), "path": error.path, "message": error.message}
        for error in errors
    ]
    return {
        "changed": False,
        "hosts": [host.host for host in fleet],
        "left_out": list(left_out),
        "errors": reported,
    }


def _read(
    name: str, elements: Sequence[object], parse: Callable[[object, str], _T], errors: List[DeclarationError]
) -> List[Tuple[str, _T]]:
    """Return what elements of a list declare, with their paths."""
    read: List[Tuple[str, _T]] = []
    for index, element in enumerate(elements):
        path = f"{name}[{index}]"
        try:
            if isinstance(element, DeclarationError):
                raise element
            read.append((path, parse(element, path)))
        except DeclarationError as error:
            errors.append(error)
    return read


def _mapping(
    variables: Mapping[str, object], name: str, errors: List[DeclarationError], remedy: str
) -> Mapping[object, object]:
    value = variables.get(name) or {}
    if isinstance(value, Mapping):
        return value
    errors.append(DeclarationError(name, f"is not a mapping; {remedy}"))
    return {}


def _vm(vm: object, defaults: Mapping[object, object], path: str) -> Vm:
    if not isinstance(vm, Mapping):
        return parse_vm(vm, (), path)
    complete = merged(applicable_defaults(vm, defaults), vm)
    kernel = {} if source_option(complete) else _KERNEL
    return parse_vm({**{key: complete[key] for key in COMPARED if key in complete}, **kernel}, (), path)


def _list(variables: Mapping[str, object], name: str, errors: List[DeclarationError]) -> List[object]:
    value = variables.get(name) or []
    if not isinstance(value, (list, tuple)):
        errors.append(DeclarationError(name, "is not a list; begin each element with a hyphen"))
    return _elements(value)


def _lans(variables: Mapping[str, object], errors: List[DeclarationError]) -> Lans:
    value = _mapping(variables, LANS, errors, "write interfaces of the host and names of LANs")
    lans: Dict[str, Optional[str]] = {}
    for interface, lan in value.items():
        if lan is not None and not isinstance(lan, str):
            errors.append(
                DeclarationError(f"{LANS}.{interface}", "is not a name; write one, or null if it leads nowhere")
            )
            continue
        lans[str(interface)] = lan or None
    return lans
