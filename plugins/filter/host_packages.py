# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter ``microvm.fleet.host_packages``."""

from __future__ import annotations

DOCUMENTATION = r"""
name: host_packages
author: microvm.fleet contributors
version_added: 0.1.0
short_description: Debian packages that MicroVMs need on their host
description:
  - Returns the names of the Debian packages with the programs that the packages of MicroVMs execute, sorted.
  - Programs at absolute paths, and those that no Debian package has, are not among them.
positional: _input, architecture, release
options:
  _input:
    description: Declarations of MicroVMs, as in C(microvm_vms).
    type: list
    elements: dict
    required: true
  architecture:
    description: Architecture of the host, such as V(x86_64).
    type: str
    required: true
  release:
    description: Name of the release of Debian or Ubuntu that the host has, such as V(trixie).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what the MicroVMs of a host need
  ansible.builtin.debug:
    msg: "{{ microvm_vms | microvm.fleet.host_packages('x86_64', 'trixie') }}"
"""

RETURN = r"""
_value:
  description: Names of packages.
  type: list
  elements: str
"""

from typing import Callable, Dict, List, Sequence

from ansible.errors import AnsibleFilterError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.host_packages import packages_needed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError


def host_packages(vms: Sequence[object], architecture: str, release: str) -> List[str]:
    """Return the packages that MicroVMs need on their host."""
    try:
        return packages_needed(vms, architecture, release)
    except DeclarationError as error:
        raise AnsibleFilterError(f"{error.path}: {error.message}") from error


class FilterModule:
    """Filters of the collection."""

    def filters(self) -> Dict[str, Callable[..., object]]:
        """Return the filters by their names."""
        return {"host_packages": host_packages}
