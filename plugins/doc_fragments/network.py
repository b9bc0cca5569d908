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
      - All networks of the host. One that is no longer declared is removed as soon as no MicroVM is on its bridge.
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
          - IPv4 address of the host on the bridge, with prefix length.
        type: str
        required: true
      nat:
        description:
          - Let guests reach what the host reaches, behind its address.
        type: bool
        default: false
      dhcp_server:
        description:
          - Give addresses to guests. An empty mapping is a server with systemd-networkd's own pool.
        type: dict
        suboptions:
          pool_offset:
            description:
              - Where in the subnet the pool begins.
            type: int
          pool_size:
            description:
              - How many addresses the pool has.
            type: int
          dns:
            description:
              - Name servers to tell guests.
            type: list
            elements: str
      leases:
        description:
          - Addresses that belong to a guest's hardware address. Needs C(dhcp_server).
        type: list
        elements: dict
        suboptions:
          mac:
            description:
              - Hardware address of the guest.
            type: str
            required: true
          address:
            description:
              - Its address.
            type: str
            required: true
"""
