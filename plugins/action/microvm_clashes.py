# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Action ``microvm.fleet.microvm_clashes``, which works on the controller alone."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.fleet import (
    HostDeclarations,
    fleet_errors,
    fleet_warnings,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.declared_fleet import (
    CLASHES_ARGUMENTS,
    FLEET_VARIABLES,
    clashes_result,
    compared_part,
    read_host,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.naming import (
    Names,
    element_names,
    with_names,
)
from ansible_collections.microvm.fleet.plugins.plugin_utils.resolver import OMISSIONS, OMITTED, Resolver

Result = Dict[str, Any]

_display: Any = Display()

LIMITS = "no host has been asked for its facts yet, and variables of plays are not those of hosts"
"""Reason why a template may have no result here."""


class ActionModule(ActionBase):
    """Compare the declarations of hosts, once for a play."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: Any = None, task_vars: Optional[Result] = None) -> Result:
        """See ActionBase.run."""
        result: Result = super().run(tmp, task_vars)
        variables = task_vars or {}
        base: Any = self
        _valid, arguments = base.validate_argument_spec(argument_spec=CLASHES_ARGUMENTS)
        hosts = arguments["hosts"]
        if hosts is None:
            hosts = variables["ansible_play_hosts_all"]
        fleet, left_out = self._read(hosts, variables["groups"].get(arguments["group"], ()), variables["hostvars"])
        errors = [error for error in fleet_errors(fleet) if set(hosts) & set(error.hosts)]
        result.update(clashes_result(fleet, errors, left_out))
        # A host that is left out may have the tags, also if nothing of it could be read.
        for warning in [] if left_out else fleet_warnings(fleet):
            if warning.host in hosts:
                _display.warning(str(warning))
        if errors:
            result.update(failed=True, msg="\n".join(map(str, errors)))
        return result

    def _read(
        self, hosts: Sequence[str], others: Sequence[str], hostvars: Any
    ) -> Tuple[List[HostDeclarations], List[str]]:
        """Return what hosts declare, and the names of other hosts that cannot be read."""
        fleet: List[HostDeclarations] = []
        left_out: List[str] = []
        for host in dict.fromkeys((*hosts, *others)):
            declared = self._declared(host, hostvars)
            # A run does not depend on variables of hosts that it leaves alone.
            if declared.errors and host not in hosts:
                left_out.append(host)
            if host in hosts or declared.vms or declared.networks:
                fleet.append(declared)
        return fleet, left_out

    def _declared(self, host: str, hostvars: Any) -> HostDeclarations:
        variables = dict(hostvars.raw_get(host))
        part = compared_part({name: variables[name] for name in FLEET_VARIABLES if name in variables})
        if not part:
            return HostDeclarations(host)
        available = {**variables, "hostvars": hostvars, **({} if OMISSIONS else {"omit": OMITTED})}
        templar = self._templar.copy_with_new_env(available_variables=available)
        return read_host(host, resolved_elements(part, Resolver(templar, LIMITS)))


def resolved_elements(variables: Mapping[str, Any], resolver: Resolver) -> Result:
    """Return variables without templates; an error is in the place of each element that cannot be resolved."""
    result: Result = {}
    names = element_names(variables)
    for name, value in variables.items():
        if isinstance(value, (list, tuple)):
            elements = (_resolved(f"{name}[{index}]", element, resolver, names) for index, element in enumerate(value))
            result[name] = [element for resolved in elements for element in resolved]
        else:
            result[name] = next(iter(_resolved(name, value, resolver, names)), None)
    return result


def _resolved(path: str, value: Any, resolver: Resolver, names: Names) -> List[Any]:
    """Return a value alone, or an error; nothing if it is omitted."""
    try:
        return list(resolver.resolved({path: value}).values())
    except DeclarationError as error:
        return [DeclarationError(with_names(error.path, names), error.message)]
