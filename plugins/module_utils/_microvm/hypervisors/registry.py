# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hypervisors by name, and what of a declaration one of them cannot do."""

from __future__ import annotations

from typing import Dict, Iterator, Tuple

from ..declaration.errors import DeclarationError
from ..declaration.parse import Declaration
from .interface import Command, HostFacts, Hypervisor
from .qemu import Qemu

HYPERVISORS: Dict[str, Hypervisor] = {hypervisor.name: hypervisor for hypervisor in (Qemu(),)}

Need = Tuple[str, str, str]
"""A field of Capabilities, what a declaration needs of it, and the key that says so."""


def command(declaration: Declaration, facts: HostFacts, path: str = "") -> Command:
    """The command line of the declared hypervisor. Raises DeclarationError for what it cannot do."""
    check(declaration, facts, path)
    return HYPERVISORS[declaration["hypervisor"]].command(declaration, facts)


def check(declaration: Declaration, facts: HostFacts, path: str = "") -> None:
    """Refuse what the hypervisor cannot do, and name those that can."""
    prefix = f"{path}." if path else ""
    name = declaration["hypervisor"]
    for field, value, key in _needs(declaration, facts):
        able = [other for other, known in HYPERVISORS.items() if value in getattr(known.capabilities, field)]
        if name not in able:
            others = f"; these can: {', '.join(able)}" if able else ""
            raise DeclarationError(f"{prefix}{key}", f"{name} has no {value} here{others}")
    _check_numbers(declaration, prefix)


def _needs(declaration: Declaration, facts: HostFacts) -> Iterator[Need]:
    yield "architectures", facts.architecture, "hypervisor"
    yield "accelerators", facts.accel, "accel"
    for index, interface in enumerate(declaration["interfaces"]):
        yield "interface_types", interface["type"], f"interfaces[{index}].type"
    for index, share in enumerate(declaration["shares"]):
        yield "share_protocols", share["proto"], f"shares[{index}].proto"


def _check_numbers(declaration: Declaration, prefix: str) -> None:
    hypervisor = HYPERVISORS[declaration["hypervisor"]]
    if declaration["vcpu"] > hypervisor.capabilities.vcpus:
        most = hypervisor.capabilities.vcpus
        raise DeclarationError(f"{prefix}vcpu", f"{declaration['vcpu']} are more than {hypervisor.name}'s {most}")
    devices = sum(len(declaration[key]) for key in ("interfaces", "volumes", "shares"))
    if devices > hypervisor.capabilities.devices:
        raise DeclarationError(
            f"{prefix}volumes",
            f"{devices} volumes, interfaces and shares are more than the {hypervisor.capabilities.devices} that "
            f"{hypervisor.name} has place for; declare fewer",
        )
