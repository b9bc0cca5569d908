#!/usr/bin/python

# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: microvm_network
short_description: Manage the networks of a host
version_added: 0.1.0
description:
  - Creates bridges with systemd-networkd, with an address, a DHCP server and static leases, and configures NAT
    and what passes between guests, their host and others, in nftables tables of its own.
  - Compares the declared networks with the actual state of the kernel as well as with configuration files, so that a
    run completes an earlier interrupted run and repairs manual changes.
  - An interface that was not created by this collection is never taken over, other than as the O(networks[].link) of a
    bridge.
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
- name: Create a bridge with NAT and a DHCP server
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

- name: Put a bridge onto the interface by which the host is managed
  microvm.fleet.microvm_network:
    networks: &networks
      - name: lan0
        link: enp1s0

- name: End the connection that was made before the change
  ansible.builtin.meta: reset_connection

- name: Keep the change
  microvm.fleet.microvm_network:
    networks: *networks
    confirm: true

- name: Remove all networks
  microvm.fleet.microvm_network:
    networks: []
"""

RETURN = r"""
actions:
  description: Steps that were carried out, or would be in check mode, in order.
  returned: success
  type: list
  elements: str
  sample: [write /etc/systemd/network/50-microvm-microvm0.netdev, reload configuration of systemd-networkd.service]
kept:
  description: Networks that are no longer declared but are kept, because MicroVMs run on them.
  returned: success
  type: list
  elements: str
former:
  description:
    - MicroVMs, by the networks that the host has and that are no longer declared. They are installed with an interface
      on the network, or run on it.
    - The module warns of them. It removes a network on which none runs, and those MicroVMs then do not start any more.
  returned: success
  type: dict
  sample: {backend0: [db, cache]}
renamed:
  description:
    - New names of networks, by their former ones. The new network has the mode, the address and the C(link) of the
      former one.
  returned: success
  type: dict
still_forwarding:
  description:
    - Reason why forwarding of packets, which was switched on for networks that are removed, stays on.
    - It is switched off with the last network that has NAT, unless it was on before, or others need it.
  returned: success
  type: str
down:
  description:
    - Interfaces that are down, by the networks with mode V(macvtap) whose C(link) they are.
    - MicroVMs wait for them when they start.
  returned: success
  type: dict
missing_uplinks:
  description:
    - Interfaces that the host does not have, by the networks that name them in C(uplinks). The module warns about them.
    - Nothing passes by them until they come.
  returned: success
  type: dict
missing_links:
  description:
    - Interfaces that the host no longer has, by the networks whose C(link) they are. The module warns of them.
    - Such a network stays as it is. A new one on an interface that the host does not have is refused.
  returned: success
  type: dict
  sample: {lan0: enp1s0}
readdressed:
  description:
    - MicroVMs by the networks on which they run and that get another O(networks[].address). The module warns of them.
    - Their guests have their old addresses until they are started again.
  returned: success
  type: dict
unserved:
  description:
    - Networks with O(networks[].dns_names) while the host has no dnsmasq to serve them, in check mode. The module warns
      of them.
    - A run refuses them unless role P(microvm.fleet.host#role) has installed it before.
  returned: success
  type: list
  elements: str
hindrances:
  description:
    - Packets of networks that other firewalls of the host drop, and what to do. The module warns about them.
    - What it permits in other firewalls itself, is among the C(actions).
  returned: success
  type: list
  elements: str
link_rules:
  description:
    - Rules of other firewalls that name the C(link) of a bridge. While it is a port, its packets have the name of the
      bridge to them, so what they deny would pass. Of a network that is removed, those that name the bridge.
    - Each element says where the rules are and what to do. The module warns about them, in check mode too.
  returned: success
  type: list
  elements: str
unread_leases:
  description:
    - Files of systemd-networkd with leases that its DHCP server should forget, and that are not understood, and what to
      do. The module warns about them.
    - A server forgets only the leases of guests that are to have other addresses, and of addresses that others are to
      have.
  returned: success
  type: list
  elements: str
unconfirmed:
  description:
    - Networks whose change may cut the host off, and is taken back after O(return_seconds).
    - It stays if the module runs once more with O(confirm), by a connection that was made after the change.
  returned: success
  type: list
  elements: str
waiting:
  description: Networks among RV(unconfirmed) whose change was made by an earlier run.
  returned: success
  type: list
  elements: str
returned:
  description: Whether the last change of the host's own connection was taken back, since nobody confirmed it in time.
  returned: success
  type: bool
"""

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.networks import run_network


def main() -> None:
    """Run the module."""
    run_network()


if __name__ == "__main__":
    main()
