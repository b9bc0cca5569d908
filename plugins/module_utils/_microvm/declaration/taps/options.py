# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Option table of a tap or macvtap device of a host."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import Option, Options

MODES = ("private", "vepa", "bridge", "passthru", "source")

_MACVTAP: Options = (
    Option(
        "link",
        "str",
        "Interface of the host that the device is attached to. Required for type V(macvtap).",
        check=checks.interface_name,
    ),
    Option(
        "mode",
        "str",
        (
            "Mode of the device, as described in ip-link(8). Required for type V(macvtap).",
            "A change from or to V(passthru) replaces the device.",
        ),
        choices=MODES,
    ),
)

TAP_OPTIONS: Options = (
    Option(
        "name",
        "str",
        "Name of the device, at most 15 characters. Longer names can be set as O(taps[].altnames).",
        required=True,
        check=checks.new_interface_name,
    ),
    Option(
        "type",
        "str",
        (
            "V(tap) is a persistent tap device. V(macvtap) is a device on another interface of the host, see "
            "O(taps[].macvtap), that processes open as C(/dev/tapN), where C(N) is the index of the interface.",
            "A change replaces the device.",
        ),
        default="tap",
        choices=("tap", "macvtap"),
    ),
    Option(
        "state",
        "str",
        "Whether the device exists. With V(absent), all options but O(taps[].name) are ignored.",
        default="present",
        choices=("present", "absent"),
    ),
    Option(
        "owner",
        "str",
        (
            "Name or number of the user who may open the device. For type V(macvtap), the owner of C(/dev/tapN), which "
            "only the owner can open.",
            "Without O(taps[].owner) and O(taps[].group), the owner is root. The kernel lets every user of the host "
            "open a tap that has neither.",
        ),
        check=checks.account,
    ),
    Option(
        "group",
        "str",
        (
            "Name or number of a group. For type V(tap), its members may open the device; if O(taps[].owner) is set "
            "as well, a process needs to be of both. For type V(macvtap), the group of C(/dev/tapN).",
            "To take the group from a tap replaces it.",
        ),
        check=checks.account,
    ),
    Option(
        "multi_queue",
        "bool",
        "Whether a tap has a queue for each time that it is opened. A change replaces the device.",
        default=False,
    ),
    Option(
        "vnet_hdr",
        "bool",
        (
            "Whether packets of a tap have a header of virtio in front of them, which hypervisors use for offloading.",
            "A process that opens the tap can set it to another value, so it is not compared as long as the device is "
            "in use.",
        ),
        default=True,
    ),
    Option(
        "mtu",
        "int",
        "Largest packet, in bytes. Without it, that of the device stays as it is, which is at first 1500 for a tap and "
        "that of the link for a macvtap.",
        check=checks.mtu,
    ),
    Option(
        "mac",
        "str",
        (
            "MAC address of the device. The guest behind a macvtap must have the same one. In mode V(passthru), the "
            "device has that of its link, and this option is refused.",
            "Without it, the device keeps the one that the kernel has given it.",
        ),
        check=checks.mac_address,
    ),
    Option(
        "bridge",
        "str",
        "Bridge that a tap is attached to. A tap without it is detached from its bridge.",
        check=checks.interface_name,
    ),
    Option(
        "isolated",
        "bool",
        "Whether the tap's port of the bridge reaches only ports that are not isolated, and the host. Requires "
        "O(taps[].bridge), as do the other options of ports.",
        default=False,
    ),
    Option(
        "learning",
        "bool",
        "Whether the bridge learns MAC addresses from packets that come from the tap.",
        default=True,
    ),
    Option(
        "neigh_suppress",
        "bool",
        "Whether the bridge answers ARP and neighbour solicitations from what it knows instead of sending them to the "
        "tap.",
        default=False,
    ),
    Option("up", "bool", "Whether the interface is up.", default=True),
    Option(
        "link_group",
        "int",
        "Number of the group of interfaces that the device is in, for commands such as C(ip link delete group 7).",
        default=0,
        check=checks.link_group,
    ),
    Option(
        "altnames",
        "list",
        "Alternative names of the interface, of at most 127 characters, which C(ip) accepts as well. Others are "
        "removed. Without this option, alternative names stay as they are.",
        elements="str",
        check=checks.alternative_name,
        nullable=True,
    ),
    Option("macvtap", "dict", "Settings of devices of type V(macvtap).", suboptions=_MACVTAP),
)
