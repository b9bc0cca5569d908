# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hypervisors by the declarations that name them, and what of a declaration one of them cannot do."""

from __future__ import annotations

from typing import Mapping, Tuple

from ..declaration.vms.options import VM_OPTIONS
from ..declaration.vms.parse import Declaration
from ..schema.errors import DeclarationError
from .command import Command
from .commands import HYPERVISORS
from .facts import HostFacts
from .honouring import refuse, supported_by
from .profile import KernelNeed, Profile
from .profiles import PROFILES


def profile(declaration: Declaration) -> Profile:
    """Return the profile of the declared hypervisor."""
    return PROFILES[declaration["hypervisor"]]


def has_kernel_vsock(name: str) -> bool:
    """Return whether guests of the hypervisor with this name are known to have the vsock of the host's kernel."""
    return name in PROFILES and PROFILES[name].has_kernel_vsock


def program(declaration: Declaration, facts: HostFacts) -> str:
    """Return the program of the declared hypervisor, without making its command line."""
    return HYPERVISORS[declaration["hypervisor"]].program(declaration, facts)


def uncommon_options(declaration: Declaration) -> Tuple[str, ...]:
    """Return the options of the command line that some builds of the declared hypervisor's program lack."""
    return HYPERVISORS[declaration["hypervisor"]].uncommon_options(declaration)


def directories(declaration: Declaration) -> Mapping[str, str]:
    """Return the directories of the host that the declared hypervisor needs, by the options that name them."""
    return HYPERVISORS[declaration["hypervisor"]].directories(declaration)


def needs(declaration: Declaration, facts: HostFacts) -> Tuple[KernelNeed, ...]:
    """Return what the declared hypervisor may need of the guest's kernel, as the options of each need decide."""
    return HYPERVISORS[declaration["hypervisor"]].kernel_needs(declaration, facts)


def probe(architecture: str, kernel: str) -> Tuple[str, ...]:
    """Return a command that boots a kernel under the host's KVM and prints its first lines."""
    return next(filter(None, (hypervisor.probe(architecture, kernel) for hypervisor in HYPERVISORS.values())), ())


def command(declaration: Declaration, facts: HostFacts, path: str = "") -> Command:
    """Return the command line of the declared hypervisor.

    Raises DeclarationError, with a path below ``path``, for what it cannot do.
    """
    try:
        _check(declaration, facts)
        return HYPERVISORS[declaration["hypervisor"]].command(declaration, facts)
    except DeclarationError as error:
        raise DeclarationError(_join(path, error.path), error.message) from None


def check(declaration: Declaration, facts: HostFacts, path: str = "") -> None:
    """Refuse what the hypervisor cannot do, and name those that can."""
    try:
        _check(declaration, facts)
    except DeclarationError as error:
        raise DeclarationError(_join(path, error.path), error.message) from None


def _check(declaration: Declaration, facts: HostFacts) -> None:
    refuse(VM_OPTIONS, declaration, PROFILES)
    _check_platform(declaration, facts)
    _check_processors(declaration)


def _check_platform(declaration: Declaration, facts: HostFacts) -> None:
    own, host = profile(declaration), f"{facts.architecture}-{facts.system}"
    emulators = [profile.name for profile in PROFILES.values() if profile.emulates]
    if host not in own.systems:
        alternatives = supported_by(profile.name for profile in PROFILES.values() if host in profile.systems)
        raise DeclarationError("hypervisor", f"{own.name} does not run on {host}; {alternatives}")
    if facts.accel == "tcg" and not own.emulates:
        raise DeclarationError(
            "hypervisor", f"{own.name} requires KVM, which this host lacks; use one of: {', '.join(emulators)}"
        )
    if facts.guest(declaration) != facts.architecture and not own.emulates:
        raise DeclarationError(
            "guest_system",
            f"{own.name} cannot emulate another architecture than the host's; {supported_by(emulators)}",
        )


def _check_processors(declaration: Declaration) -> None:
    own = profile(declaration)
    if declaration["vcpu"] > own.vcpus:
        raise DeclarationError(
            "vcpu", f"{declaration['vcpu']} virtual CPUs exceed the limit of {own.vcpus} of {own.name}; set fewer"
        )


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
