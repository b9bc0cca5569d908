# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the option tables.

from __future__ import annotations


class ModuleDocFragment:
    """Options of tap and macvtap devices of a host."""

    DOCUMENTATION = r"""
options:
  taps:
    description:
      - Devices to create, to change or to remove. Devices that are not listed are left alone.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - Name of the device, at most 15 characters. Longer names can be set as O(taps[].altnames).
        type: str
        required: true
      type:
        description:
          - V(tap) is a persistent tap device. V(macvtap) is a device on another interface of the host, see O(taps[].macvtap),
            that processes open as C(/dev/tapN), where C(N) is the index of the interface.
          - A change replaces the device.
        type: str
        default: tap
        choices:
          - tap
          - macvtap
      state:
        description:
          - Whether the device exists. With V(absent), all options but O(taps[].name) are ignored.
        type: str
        default: present
        choices:
          - present
          - absent
      owner:
        description:
          - Name or number of the user who may open the device. For type V(macvtap), the owner of C(/dev/tapN),
            which only the owner can open.
          - Without O(taps[].owner) and O(taps[].group), the owner is root. The kernel lets every user of the host
            open a tap that has neither.
        type: str
      group:
        description:
          - Name or number of a group. For type V(tap), its members may open the device; if O(taps[].owner) is set
            as well, a process needs to be of both. For type V(macvtap), the group of C(/dev/tapN).
          - To take the group from a tap replaces it.
        type: str
      multi_queue:
        description:
          - Whether a tap has a queue for each time that it is opened. A change replaces the device.
        type: bool
        default: false
      vnet_hdr:
        description:
          - Whether packets of a tap have a header of virtio in front of them, which hypervisors use for offloading.
          - A process that opens the tap can set it to another value, so it is not compared as long as the device
            is in use.
        type: bool
        default: true
      mtu:
        description:
          - Largest packet, in bytes. Without it, that of the device stays as it is, which is at first 1500 for
            a tap and that of the link for a macvtap.
        type: int
      mac:
        description:
          - MAC address of the device. The guest behind a macvtap must have the same one. In mode V(passthru), the
            device has that of its link, and this option is refused.
          - Without it, the device keeps the one that the kernel has given it.
        type: str
      bridge:
        description:
          - Bridge that a tap is attached to. A tap without it is detached from its bridge.
        type: str
      isolated:
        description:
          - Whether the tap's port of the bridge reaches only ports that are not isolated, and the host. Requires
            O(taps[].bridge), as do the other options of ports.
        type: bool
        default: false
      learning:
        description:
          - Whether the bridge learns MAC addresses from packets that come from the tap.
        type: bool
        default: true
      neigh_suppress:
        description:
          - Whether the bridge answers ARP and neighbour solicitations from what it knows instead of sending them
            to the tap.
        type: bool
        default: false
      up:
        description:
          - Whether the interface is up.
        type: bool
        default: true
      link_group:
        description:
          - Number of the group of interfaces that the device is in, for commands such as C(ip link delete group
            7).
        type: int
        default: 0
      altnames:
        description:
          - Alternative names of the interface, of at most 127 characters, which C(ip) accepts as well. Others are
            removed. Without this option, alternative names stay as they are.
        type: list
        elements: str
      macvtap:
        description:
          - Settings of devices of type V(macvtap).
        type: dict
        suboptions:
          link:
            description:
              - Interface of the host that the device is attached to. Required for type V(macvtap).
            type: str
          mode:
            description:
              - Mode of the device, as described in ip-link(8). Required for type V(macvtap).
              - A change from or to V(passthru) replaces the device.
            type: str
            choices:
              - private
              - vepa
              - bridge
              - passthru
              - source
  replace_in_use:
    description:
      - Whether a device may be removed or replaced while a process uses it, and changed while the MicroVM to which
        it belongs runs. The module fails otherwise, before anything is changed.
      - The process keeps the removed device, which nothing reaches, until it opens the new one.
    type: bool
    default: false
  bridges:
    description:
      - Bridges that need not exist yet in check mode, because the same run creates them before.
    type: list
    elements: str
"""
