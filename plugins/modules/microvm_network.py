#!/usr/bin/python

# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microvm_network
short_description: Make the networks of a host
version_added: 0.1.0
description:
  - Makes bridges by systemd-networkd, with an address, a DHCP server and static leases, and translates their addresses
    by a table of nftables that is only for that.
  - Looks at what is there, not only at files, so a run completes what an earlier one that was killed has begun, and
    mends what somebody has taken away.
  - An interface that the host has from elsewhere is never taken over.
author:
  - microvm.fleet contributors (@microvm)
extends_documentation_fragment:
  - microvm.fleet.network
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
- name: A bridge whose guests reach what the host reaches
  microvm.fleet.microvm_network:
    networks:
      - name: microvm0
        address: 10.66.1.1/24
        nat: true
        dhcp_server:
          pool_offset: 100
          pool_size: 100
        leases:
          - mac: "02:00:00:00:00:01"
            address: 10.66.1.20

- name: None at all
  microvm.fleet.microvm_network:
    networks: []
"""

RETURN = r"""
actions:
  description: What was done, or would be, step by step.
  returned: success
  type: list
  elements: str
  sample: [write /etc/systemd/network/50-microvm-microvm0.netdev, read configuration of systemd-networkd.service]
kept:
  description: Networks that are no longer declared, and stay while MicroVMs are on their bridges.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.networks import run_network


def main() -> None:
    """Run the module."""
    run_network()


if __name__ == "__main__":
    main()
