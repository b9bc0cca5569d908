#!/usr/bin/python

# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microvm_clashes
short_description: Find clashes in the declarations of a fleet
version_added: 0.1.0
description:
  - Compares what the hosts of an inventory declare in C(microvm_vms) and C(microvm_networks), on the controller and
    without contacting a host, and fails with a list of everything that cannot be carried out.
  - On each host these are overlapping subnets, everything that two MicroVMs cannot share, such as addresses, MAC
    addresses, taps, vsock CIDs, forwarded ports, images and devices, and static addresses that are outside of the
    subnet of their network, the bridge's, or leased to others.
  - Across hosts these are addresses and MAC addresses of guests that meet on a LAN. Guests meet if their interfaces are
    attached, by macvtap or a bridge that is not in C(microvm_networks), to interfaces of one name, unless
    C(microvm_lans) says otherwise. Bridges that are called like those of libvirt, Docker, Podman, LXC, LXD or Incus
    lead nowhere by default.
  - A tag in C(allow) that no MicroVM of the inventory has, so that nothing is allowed, is a warning.
  - Hosts may have the same subnets, names of taps, vsock CIDs, ports and MicroVMs.
  - The task runs once for a play.
author:
  - microvm.fleet contributors (@microvm)
extends_documentation_fragment:
  - microvm.fleet.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    support: full
    platforms: all
options:
  hosts:
    description:
      - Hosts whose clashes are errors, and whose declarations must be complete. Defaults to all hosts of the play.
    type: list
    elements: str
  group:
    description:
      - Group with the hosts that these are compared with, also those that C(--limit) leaves out. Of the latter, hosts
        and MicroVMs whose declarations cannot be read are left out.
    type: str
    default: microvm_hosts
seealso:
  - module: microvm.fleet.microvm_vms
  - module: microvm.fleet.microvm_network
"""

EXAMPLES = r"""
- name: Verify the declarations of all hosts before any is contacted
  hosts: microvm_hosts
  gather_facts: false
  tasks:
    - name: Find clashes
      microvm.fleet.microvm_clashes:
"""

RETURN = r"""
errors:
  description: Everything that is wrong.
  returned: always
  type: list
  elements: dict
  contains:
    host:
      description: Host whose declaration is to be corrected.
      type: str
    hosts:
      description: All hosts that it concerns.
      type: list
      elements: str
    path:
      description: Place in the variables of the host.
      type: str
      sample: microvm_vms[3] (web).interfaces[0].mac
    message:
      description: What is wrong, and what to do.
      type: str
hosts:
  description: Hosts that were compared.
  returned: always
  type: list
  elements: str
left_out:
  description: Hosts outside of O(hosts) whose declarations cannot be read, at least in part.
  returned: always
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.declared_fleet import CLASHES_ARGUMENTS


def main() -> None:
    """Fail: the action plugin of this name does the work."""
    module = AnsibleModule(CLASHES_ARGUMENTS, supports_check_mode=True)  # type: ignore[no-untyped-call]
    module.fail_json(msg="this module runs on the controller only")


if __name__ == "__main__":
    main()
