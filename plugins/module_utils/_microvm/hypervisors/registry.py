# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hypervisors by name, and what of a declaration one of them cannot do."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Tuple

from ..declaration.vms.options import VM_OPTIONS
from ..declaration.vms.parse import Declaration
from ..schema.errors import DeclarationError
from ..schema.options import Options
from .capabilities import CAPABILITIES, SUPPORT, SWITCHED, able
from .command import Command
from .commands import HYPERVISORS
from .facts import HostFacts


def command(declaration: Declaration, facts: HostFacts, path: str = "") -> Command:
    """The command line of the declared hypervisor. Raises DeclarationError for what it cannot do."""
    check(declaration, facts, path)
    try:
        return HYPERVISORS[declaration["hypervisor"]].command(declaration, facts)
    except DeclarationError as error:
        raise DeclarationError(_join(path, error.path), error.message) from None


def program(declaration: Declaration, facts: HostFacts) -> str:
    """Return the program of the declared hypervisor, without making its command line."""
    return HYPERVISORS[declaration["hypervisor"]].program(declaration, facts)


def check(declaration: Declaration, facts: HostFacts, path: str = "") -> None:
    """Refuse what the hypervisor cannot do, and name those that can."""
    name = declaration["hypervisor"]
    for place, key, value in _settings(VM_OPTIONS, declaration):
        if key in SUPPORT and _counts(key, declaration):
            names = able(key, value)
            if name not in names:
                what = repr(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else "this option"
                message = f"{name} does not support {what}; these do: {', '.join(names)}"
                raise DeclarationError(_join(path, place), message)
    _check_platform(declaration, facts, path)
    _check_processors(declaration, path)


def _counts(key: str, declaration: Declaration) -> bool:
    """Whether what an option belongs to is switched on."""
    for prefix, switch in SWITCHED.items():
        if key.startswith(prefix):
            value: Any = declaration
            for part in switch.split("."):
                value = value[part]
            return bool(value)
    return True


def _settings(
    options: Options, values: Mapping[str, Any], place: str = "", key: str = ""
) -> Iterator[Tuple[str, str, Any]]:
    """What differs from the defaults: its place (``shares[0].cache``), its option's path and its value."""
    for option in options:
        value, here, path = values[option.name], f"{place}{option.name}", f"{key}{option.name}"
        if option.suboptions and option.type == "list":
            for index, element in enumerate(value or []):
                yield from _settings(option.suboptions, element, f"{here}[{index}].", f"{path}[].")
            if value:
                yield here, path, value
        elif option.suboptions:
            yield from _settings(option.suboptions, value or {}, f"{here}.", f"{path}.") if value else ()
        elif _is_set(option.default, value, path):
            yield here, path, value


def _is_set(default: Any, value: Any, path: str) -> bool:
    if isinstance(SUPPORT.get(path), dict):
        return value is not None
    if isinstance(default, bool):
        return bool(value != default)
    return bool(value) and str(value) != str(default)


def _check_platform(declaration: Declaration, facts: HostFacts, path: str) -> None:
    hypervisor, host = HYPERVISORS[declaration["hypervisor"]], f"{facts.architecture}-{facts.system}"
    if host not in hypervisor.capabilities.systems:
        names = [name for name, other in HYPERVISORS.items() if host in other.capabilities.systems]
        others = f"these do: {', '.join(names)}" if names else "none does"
        raise DeclarationError(_join(path, "hypervisor"), f"{hypervisor.name} does not run on {host}; {others}")
    if facts.accel == "tcg" and hypervisor.name not in able("accel", "tcg"):
        raise DeclarationError(
            _join(path, "hypervisor"),
            f"{hypervisor.name} needs KVM, which this host has not; these do not: {', '.join(able('accel', 'tcg'))}",
        )
    if facts.guest(declaration) != facts.architecture and hypervisor.name not in able("cpu", "max"):
        raise DeclarationError(
            _join(path, "guest_system"),
            f"{hypervisor.name} runs no other architecture than the host's; these do: {', '.join(able('cpu', 'max'))}",
        )


def _check_processors(declaration: Declaration, path: str) -> None:
    name, most = declaration["hypervisor"], CAPABILITIES[declaration["hypervisor"]].vcpus
    if declaration["vcpu"] > most:
        raise DeclarationError(
            _join(path, "vcpu"), f"{declaration['vcpu']} are more than {name}'s {most}; declare fewer"
        )


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
