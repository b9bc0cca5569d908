# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the option tables.

from __future__ import annotations


class ModuleDocFragment:
    """Options of the networks of a host."""

    DOCUMENTATION = r"""
options:
  networks:
    description:
      - All networks of the host. A network that is no longer listed is removed once no MicroVM uses its bridge.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the bridge, at most 15 characters.
        type: str
        required: true
      address:
        description:
          - IPv4 address of the host on the bridge, with its prefix length.
          - Its subnet must not overlap another network of the host. A route to a larger network, such as one through
            a gateway to a whole site, may contain it.
        type: str
        required: true
      nat:
        description:
          - Whether guests reach other networks through the host, by source NAT to the address of the host.
        type: bool
        default: false
      dhcp_server:
        description:
          - DHCP server that assigns addresses to guests. An empty mapping enables it with the default pool.
        type: dict
        suboptions:
          pool_offset:
            description:
              - Offset of the pool of addresses from the start of the subnet.
            type: int
          pool_size:
            description:
              - Number of addresses in the pool.
            type: int
          dns:
            description:
              - DNS servers to announce to guests.
            type: list
            elements: str
      leases:
        description:
          - Static DHCP leases. Require C(dhcp_server).
        type: list
        elements: dict
        suboptions:
          mac:
            description:
              - MAC address of the guest's interface.
            type: str
            required: true
          address:
            description:
              - IPv4 address to assign to the guest.
            type: str
            required: true
"""
