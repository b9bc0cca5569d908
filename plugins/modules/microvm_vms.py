#!/usr/bin/python

# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microvm_vms
short_description: Manage the MicroVMs of a host
version_added: 0.1.0
description:
  - Installs, starts, restarts, stops and removes all MicroVMs of a host in one call.
  - The host must have been prepared by the role P(microvm.fleet.host#role).
  - A MicroVM is reported as changed if its runner package changes, that is, if its declaration differs from the
    installed one.
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
- name: Run a web server and a MicroVM with a data volume
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

- name: Run a MicroVM of a flake, which its host evaluates and builds
  microvm.fleet.microvm_vms:
    vms:
      - name: web
        flake: github:you/machines

- name: Run the latest build of a build service, which the host copies from its binary caches
  microvm.fleet.microvm_vms:
    vms:
      - name: web
        runner: https://hydra.example.com/job/vms/main/web/latest
        runner_key: team-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=
"""

RETURN = r"""
vms:
  description:
    - Result of each MicroVM, in the order of O(vms).
    - With O(preflight), only MicroVMs that would be new on the host.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the MicroVM.
      type: str
      sample: web
    state:
      description: Requested state.
      type: str
      sample: started
    changed:
      description: Whether the MicroVM was changed, or would be in check mode.
      type: bool
    actions:
      description: Steps that were carried out, or would be in check mode, in order.
      type: list
      elements: str
      sample: [systemctl restart microvm@web.service]
    package:
      description: Package that the next start runs, by its name in the store.
      type: str
      sample: 8036e47c17d40a1f21eb16074a649559-web
    previous_package:
      description: Value of RV(vms[].package) before this run.
      type: str
    restart_pending:
      description: Whether the MicroVM is still running an older package than RV(vms[].package).
      type: bool
    generation:
      description: Generation number of RV(vms[].package).
      type: int
      sample: 4
    consequence:
      description:
        - Effect of the run on the guest.
        - V(nothing), V(live), V(switch), V(start), V(stop), V(restart) or V(restart pending).
      type: str
      sample: restart
    switch_output:
      description: Output of the guest while it was switched to another system, see O(vms[].ssh_switch); else empty.
      type: str
      sample: ""
    changes:
      description: Options that differ from the running or the installed package.
      type: list
      elements: dict
      contains:
        option:
          description: Path of the option.
          type: str
          sample: volumes[0].size
        cost:
          description: Cost of applying the change. V(live), V(restart), or V(recreate) if only a new volume image,
              or a new directory of a share, has it.
          type: str
          sample: restart
    refused_package:
      description: Declared package, if it was not installed because an earlier rollback has marked it bad.
      type: str
    rolled_back:
      description: Whether the previous package was started again because the declared one did not come up.
      type: bool
    rollback_actions:
      description: Steps that were carried out to return to the previous package, in order.
      type: list
      elements: str
      sample: []
    address:
      description: Address of the guest, if it is known.
      type: str
      sample: 10.66.1.11
    unit:
      description: Name of the systemd unit that runs the MicroVM.
      type: str
      sample: microvm@web.service
    ready_after:
      description: Number of seconds until the guest was up.
      type: float
      sample: 9.3
    kept:
      description:
        - Files and directories that a removal has left, relative to the state directory or absolute.
        - C(user NAME) is the user that owns them, who stays for as long as they do. Archived volumes belong to root.
      type: list
      elements: str
      sample: [work/data.img, user microvm-web]
    failed:
      description: Whether the MicroVM failed to reach the requested state.
      type: bool
    msg:
      description: Reason of the failure.
      type: str
summary:
  description:
    - What has changed or is wrong, as lines for people. First a table with a line for each such MicroVM, which tells
      the outcome, what the guest notices, and why. Then the MicroVMs that are not declared, and the last lines of the
      journal of those that have failed.
    - Empty if nothing has changed and nothing is wrong.
  returned: always
  type: list
  elements: str
  sample:
    - MICROVM  OUTCOME  GUEST    WHY
    - web      changed  restart  mem, vcpu
undeclared:
  description: MicroVMs that this collection has installed in O(state_dir) and that are not listed in O(vms).
  returned: always
  type: list
  elements: str
  sample: [old]
evaluations:
  description:
    - What the flakes of MicroVMs have been evaluated to, by the names of the MicroVMs, for O(built) of a later call of
      the same run.
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

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.vms import run_vms


def main() -> None:
    """Run the module."""
    run_vms()


if __name__ == "__main__":
    main()
