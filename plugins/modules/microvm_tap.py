#!/usr/bin/python

# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microvm_tap
short_description: Manage tap and macvtap devices of a host
version_added: 0.1.0
description:
  - Creates, changes and removes tap and macvtap devices, a list of them in one call.
  - MicroVMs of this collection do not need it, because their units create and remove their devices. It is for
    hypervisors that something else runs, and for devices that exist without a MicroVM.
  - The devices exist until they are removed or the host reboots.
  - Compares the declared devices with those of the kernel, so that a run completes an earlier interrupted run and
    repairs manual changes. Whatever can be changed while a device exists, is changed so. Otherwise the device is
    replaced, which is refused while a process uses it, see O(replace_in_use).
  - An interface that is neither a tap nor a macvtap is never changed, and neither is a device of a MicroVM that runs.
  - Everything that is known to fail is refused before anything is changed, in check mode too.
author:
  - microvm.fleet contributors (@microvm)
requirements:
  - pyroute2 0.7.2 to 0.9 for the Python that Ansible uses on the host. Role P(microvm.fleet.host#role) installs the
    package C(python3-pyroute2), which all supported releases of Debian and Ubuntu have. The role refuses other
    distributions; there, install the distribution's package if it is new enough, or else C(pyroute2) with pip.
extends_documentation_fragment:
  - microvm.fleet.tap
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
  - module: microvm.fleet.microvm_network
  - module: microvm.fleet.microvm_vms
"""

EXAMPLES = r"""
- name: Create a tap on a bridge for a hypervisor that runs as user qemu
  microvm.fleet.microvm_tap:
    taps:
      - name: lab0
        owner: qemu
        multi_queue: true
        bridge: microvm0
        isolated: true
        altnames: [tap-of-the-laboratory-guest]

- name: Create a macvtap
  microvm.fleet.microvm_tap:
    taps:
      - name: lab1
        type: macvtap
        macvtap:
          link: eth1
          mode: bridge
        mac: "02:00:00:00:00:01"
        owner: qemu
  register: lab

- name: Show what the hypervisor opens
  ansible.builtin.debug:
    msg: "{{ lab.taps[0].device }}"

- name: Remove both, even if a hypervisor uses them
  microvm.fleet.microvm_tap:
    taps:
      - {name: lab0, state: absent}
      - {name: lab1, state: absent}
    replace_in_use: true
"""

RETURN = r"""
taps:
  description: An entry for each element of O(taps), in the same order.
  returned: success, and failure after something was changed
  type: list
  elements: dict
  contains:
    name:
      description: Name of the device.
      type: str
    changed:
      description: Whether the device was changed, or would be in check mode.
      type: bool
    actions:
      description: Steps that were carried out, or would be in check mode, in order.
      type: list
      elements: str
      sample: [create tap lab0, "configure bridge microvm0", "set bridge port: isolated true", bring up lab0]
    replaced:
      description: Whether a device that existed was replaced, or would be in check mode.
      type: bool
    device:
      description: Character device of a macvtap. V(null) for taps, and in check mode if the macvtap does not exist yet.
      type: str
      sample: /dev/tap7
    link_down:
      description: Whether the link of a macvtap is down, so that the macvtap reaches nobody, although it is up.
      type: bool
    failed:
      description: Whether a step failed. Other devices are not affected.
      type: bool
    msg:
      description: Reason of the failure.
      type: str
"""

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.taps import run_tap


def main() -> None:
    """Run the module."""
    run_tap()


if __name__ == "__main__":
    main()
