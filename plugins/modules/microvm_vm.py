#!/usr/bin/python

# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microvm_vm
short_description: Manage a MicroVM
version_added: 0.1.0
description:
  - Installs, starts, restarts, stops or removes one MicroVM.
  - To manage several MicroVMs of a host, use M(microvm.fleet.microvm_vms), which manages all of them in one call.
author:
  - microvm.fleet contributors (@microvm)
extends_documentation_fragment:
  - microvm.fleet.vm
  - microvm.fleet.attributes
  - microvm.fleet.attributes.actiongroup_microvm
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
seealso:
  - module: microvm.fleet.microvm_vms
"""

EXAMPLES = r"""
- name: Run a MicroVM from a kernel and an initial RAM disk
  microvm.fleet.microvm_vm:
    name: rescue
    kernel: /srv/rescue/vmlinuz
    initrd_path: /srv/rescue/initrd.img

- name: Remove the MicroVM and keep its volumes
  microvm.fleet.microvm_vm:
    name: rescue
    state: absent
"""

RETURN = r"""
vms:
  description: List with one entry for the MicroVM, as returned by M(microvm.fleet.microvm_vms).
  returned: always
  type: list
  elements: dict
  sample:
    - name: rescue
      state: started
      changed: true
      actions: [systemctl start microvm@rescue.service]
      package: 8036e47c17d40a1f21eb16074a649559-rescue
      previous_package: null
      generation: 1
      restart_pending: false
      consequence: start
      switch_output: ""
      changes: []
      refused_package: null
      rolled_back: false
      rollback_actions: []
      address: null
      unit: microvm@rescue.service
      ready_after: 1.2
      kept: []
      failed: false
      msg: ""
evaluations:
  description: What the flake of the MicroVM has been evaluated to, as returned by M(microvm.fleet.microvm_vms).
  returned: always
  type: dict
  contains:
    installable:
      description: The flake and its attribute.
      type: str
    path:
      description: Path of the package in the store of Nix.
      type: str
    derivation:
      description: Derivation that the package is built from, or V(null) if only another host has it.
      type: str
    is_built:
      description: Whether the host has the package.
      type: bool
    diff:
      description: Differences between the closures of the current package and this one, if another host knows them.
      type: str
"""

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.vms import run_vm


def main() -> None:
    """Run the module."""
    run_vm()


if __name__ == "__main__":
    main()
