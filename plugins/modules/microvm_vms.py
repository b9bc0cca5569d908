#!/usr/bin/python

# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microvm_vms
short_description: Run the MicroVMs of a host
version_added: 0.1.0
description:
  - Installs, starts, restarts, stops and removes MicroVMs, all of a host in one call.
  - The host must have been prepared by the role P(microvm.fleet.host#role).
  - A MicroVM is changed when its runner package is, that is, when what was asked for is another thing than before.
author:
  - microvm.fleet contributors (@microvm)
extends_documentation_fragment:
  - microvm.fleet.vms
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
  - module: microvm.fleet.microvm_vm
"""

EXAMPLES = r"""
- name: Run a web server and a machine that keeps data
  microvm.fleet.microvm_vms:
    images:
      - name: base
        path: /var/lib/microvm-fleet/images/0123456789abcdef0123456789abcdef
    vms:
      - name: web
        image: base
        mem: 1G
        interfaces:
          - bridge: microvm0
        guest:
          authorized_keys: ["{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}"]
          networks:
            - addresses: [10.66.1.11/24]
              gateway: 10.66.1.1
      - name: data
        image: base
        volumes:
          - image: data.img
            size: 10G
            mount_point: /data
      - name: gone
        state: absent
"""

RETURN = r"""
vms:
  description: What came of each MicroVM, in the order of O(vms).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the MicroVM.
      type: str
      sample: web
    state:
      description: The state that was asked for.
      type: str
      sample: started
    changed:
      description: Whether anything was changed, or would be in check mode.
      type: bool
    actions:
      description: What was done, or would be, step by step.
      type: list
      elements: str
      sample: [systemctl restart microvm@web.service]
    package:
      description: The package that the next start runs, by its name in the store.
      type: str
      sample: 8036e47c17d40a1f21eb16074a649559-web
    previous_package:
      description: The package that was that before this run.
      type: str
    restart_pending:
      description: Whether the MicroVM runs an older package than RV(vms[].package).
      type: bool
    generation:
      description: Number of RV(vms[].package) among the MicroVM's generations.
      type: int
      sample: 4
    consequence:
      description:
        - What the guest notices of the run. V(nothing), V(live), V(start), V(stop), V(restart) or V(restart pending).
      type: str
      sample: restart
    changes:
      description: The options that differ from what runs or was installed.
      type: list
      elements: dict
      contains:
        option:
          description: Path of the option.
          type: str
          sample: volumes[0].size
        cost:
          description: What its change costs. V(live), V(restart), or V(recreate) for what only a new image has.
          type: str
          sample: restart
    refused_package:
      description: The declared package, where it was rolled back from and marked bad, and so is not installed again.
      type: str
    rolled_back:
      description: Whether the package before runs again, since the declared one did not come up.
      type: bool
    rollback_actions:
      description: What was done to run the package before again, step by step.
      type: list
      elements: str
      sample: []
    address:
      description: Address at which the guest answers, where it is known.
      type: str
      sample: 10.66.1.11
    unit:
      description: The systemd unit that runs the MicroVM.
      type: str
      sample: microvm@web.service
    ready_after:
      description: Seconds that were waited until the guest was up.
      type: float
      sample: 9.3
    kept:
      description: What a removal has left in the state directory.
      type: list
      elements: str
      sample: [data.img]
    failed:
      description: Whether this MicroVM did not reach its state.
      type: bool
    msg:
      description: Why it did not.
      type: str
undeclared:
  description: MicroVMs of O(state_dir) that this collection has installed and that are not in O(vms).
  returned: always
  type: list
  elements: str
  sample: [old]
"""

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.vms import run_vms


def main() -> None:
    """Run the module."""
    run_vms()


if __name__ == "__main__":
    main()
