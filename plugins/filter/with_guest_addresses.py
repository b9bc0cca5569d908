# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter ``microvm.fleet.with_guest_addresses``."""

from __future__ import annotations

DOCUMENTATION = r"""
name: with_guest_addresses
author: microvm.fleet contributors
version_added: 0.1.0
short_description: Networks with the addresses of MicroVMs that they allow
description:
  - Returns networks in which V(microvm:NAME) and V(tag:TAG) in C(allow) are replaced by the IPv4 addresses that are
    declared for these MicroVMs. The rest is as it was written. Role P(microvm.fleet.network#role) uses it.
  - A name that no MicroVM of the host has, and a MicroVM without a declared address on the network, are refused. For a
    tag that no MicroVM has, there is a warning.
positional: _input, vms, defaults, host
options:
  _input:
    description: Networks of a host, as in C(microvm_networks).
    type: list
    elements: dict
    required: true
  vms:
    description: Declarations of MicroVMs, as in C(microvm_vms).
    type: list
    elements: dict
    required: true
  defaults:
    description: Options for all of them, as in C(microvm_defaults).
    type: dict
    default: {}
  host:
    description: Name of the host, with which warnings begin.
    type: str
"""

EXAMPLES = r"""
- name: Create networks
  microvm.fleet.microvm_network:
    networks: "{{ networks | microvm.fleet.with_guest_addresses(microvm_vms, microvm_defaults) }}"
  vars:
    networks:
      - name: backend
        address: 10.66.2.1/24
        nat: true
        allow:
          - {from: "tag:frontend", to: "microvm:db", ports: [tcp/5432]}
"""

RETURN = r"""
_value:
  description: Networks.
  type: list
  elements: dict
"""

from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from ansible.errors import AnsibleFilterError
from ansible.utils.display import Display
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.selected_guests import (
    with_addresses,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.guest_inventory import (
    DEFAULTS,
    NETWORKS,
    VMS,
    declared_vms,
    relevant,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.naming import element_names, with_names

_display: Any = Display()


def with_guest_addresses(
    networks: Sequence[object],
    vms: Sequence[object],
    defaults: Optional[Mapping[str, object]] = None,
    host: Optional[str] = None,
) -> List[object]:
    """Return networks whose ``allow`` has addresses instead of names and tags of MicroVMs."""
    names = element_names({NETWORKS: networks})
    try:
        declared = declared_vms(relevant({VMS: vms, DEFAULTS: defaults}))
        resolved = with_addresses(networks, declared, NETWORKS)
    except DeclarationError as error:
        raise AnsibleFilterError(f"{with_names(error.path, names)}: {error.message}") from error
    for warning in resolved.warnings:
        _display.warning(f"{host}: {with_names(warning, names)}" if host else with_names(warning, names))
    return resolved.networks


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> Dict[str, Callable[..., object]]:
        """Return the filters by their names."""
        return {"with_guest_addresses": with_guest_addresses}
