# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of what is attached to a MicroVM: interfaces, ports, disks, shares, devices."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import GUEST, PACKAGE, RECREATE, Option, Options
from .hypervisor_options import additions

_MACVTAP: Options = (
    Option(
        "link",
        "str",
        "Interface of the host that the macvtap is on. Required for V(macvtap).",
        check=checks.interface_name,
    ),
    Option(
        "mode",
        "str",
        "Who the guest reaches besides the network, see ip-link(8). Required for V(macvtap).",
        choices=("private", "vepa", "bridge", "passthru", "source"),
    ),
)

_TAP: Options = (
    Option("vhost", "bool", "Leave the packets of the interface to the host's kernel (vhost-net).", default=False),
)

INTERFACES: Options = (
    Option(
        "type",
        "str",
        (
            "How the interface reaches the host's network.",
            "V(user) is the hypervisor's own user-space network: no privileges, no way in but O(ignore:forward_ports).",
            "V(tap) is a tap device that exists as long as the MicroVM runs.",
            "V(macvtap) is a device of its own on one of the host's interfaces.",
            "V(bridge) lets QEMU's setuid helper make a tap on a bridge; C(/etc/qemu/bridge.conf) must allow it.",
        ),
        default="tap",
        choices=("user", "tap", "macvtap", "bridge"),
    ),
    Option(
        "id",
        "str",
        (
            "Name of the interface on the host, at most 15 characters.",
            "By default derived from the MicroVM's name and the interface's position.",
        ),
        check=checks.interface_id,
        derived=True,
    ),
    Option(
        "mac",
        "str",
        (
            "Hardware address of the guest's interface.",
            "By default derived from the MicroVM's name and the interface's position.",
        ),
        check=checks.mac_address,
        derived=True,
    ),
    Option(
        "bridge",
        "str",
        "Bridge that a tap becomes a port of. Role P(microvm.fleet.network#role) makes bridges. "
        "Required for V(bridge).",
        check=checks.interface_name,
        honoured_by=PACKAGE,
    ),
    Option("macvtap", "dict", "Where an interface of type V(macvtap) is.", suboptions=_MACVTAP, honoured_by=PACKAGE),
    Option("tap", "dict", "More about V(tap) and V(macvtap).", suboptions=_TAP),
)

_HOST_END: Options = (
    Option("address", "str", "Address on the host. By default all of them.", check=checks.ipv4_address),
    Option("port", "int", "Port on the host.", required=True, check=checks.port),
)

_GUEST_END: Options = (
    Option(
        "address",
        "str",
        "Address in the guest's network. By default the guest's own. Required from V(guest).",
        check=checks.ipv4_address,
    ),
    Option("port", "int", "Port in the guest's network.", required=True, check=checks.port),
)

FORWARD_PORTS: Options = (
    Option(
        "from",
        "str",
        (
            "V(host) leads the host's port to the guest.",
            "V(guest) leads a port of the guest's network to the host.",
        ),
        default="host",
        choices=("host", "guest"),
    ),
    Option("proto", "str", "Protocol of the port.", default="tcp", choices=("tcp", "udp")),
    Option("host", "dict", "The host's end.", required=True, suboptions=_HOST_END),
    Option("guest", "dict", "The guest's end.", required=True, suboptions=_GUEST_END),
)

VOLUMES: Options = (
    Option(
        "image",
        "str",
        (
            "Disk image: an absolute path, or a path below the MicroVM's state directory.",
            "Its directory is created, for the MicroVM's user, if it does not exist.",
        ),
        required=True,
        check=checks.state_path,
    ),
    Option(
        "size",
        "raw",
        (
            "Size of an image that is created: MiB, or a number with V(M), V(G) or V(T).",
            "An image that was created smaller grows, with its file system, before the next start. None shrinks: that "
            "is refused.",
        ),
        check=checks.size_or_none,
        parsed=checks.mebibytes,
        honoured_by=PACKAGE,
    ),
    Option(
        "auto_create",
        "bool",
        (
            "Create and format the image at the first start. Needs O(ignore:size).",
            "An image that exists is never formatted.",
        ),
        default=True,
        honoured_by=PACKAGE,
    ),
    Option(
        "fs_type",
        "str",
        (
            "File system of the image.",
            "Created images have V(ext2), V(ext3), V(ext4), V(xfs), V(btrfs) or V(vfat).",
        ),
        default="ext4",
        check=checks.file_system,
        cost=RECREATE,
        honoured_by=PACKAGE,
    ),
    Option(
        "label",
        "str",
        "Label of the file system of an image that is created.",
        check=checks.label,
        cost=RECREATE,
        honoured_by=PACKAGE,
    ),
    Option(
        "mkfs_extra_args",
        "list",
        "More arguments of mkfs for an image that is created.",
        elements="str",
        check=checks.argument,
        cost=RECREATE,
        honoured_by=PACKAGE,
    ),
    Option(
        "mount_point",
        "str",
        (
            "Where a guest that is configured by O(ignore:guest) mounts the volume.",
            "On V(/), the volume keeps every change to the read-only root, which a tmpfs keeps until the guest stops.",
        ),
        check=checks.absolute_path,
        honoured_by=GUEST,
    ),
    Option(
        "serial",
        "str",
        "Serial of the disk, by which the guest finds it. By default derived from O(ignore:image) where it is needed.",
        check=checks.serial,
    ),
    Option("direct", "bool", "Bypass the host's page cache."),
    Option("read_only", "bool", "Let the guest read only.", default=False),
    Option(
        "image_type",
        "str",
        "Format of the image. Only V(raw) images are created.",
        default="raw",
        choices=("raw", "qcow2", "vhd", "vhdx"),
    ),
)

SHARES: Options = (
    Option("tag", "str", "Name under which the guest mounts the share.", required=True, check=checks.tag),
    Option(
        "source",
        "path",
        (
            "Directory of the host: an absolute path, or one below the MicroVM's state directory.",
            "An absolute one is created, for the MicroVM's user, if it does not exist.",
        ),
        required=True,
        check=checks.state_path,
    ),
    Option(
        "mount_point",
        "str",
        "Where a guest that is configured by O(ignore:guest) mounts the share.",
        check=checks.absolute_path,
        honoured_by=GUEST,
    ),
    Option("proto", "str", "Protocol of the share.", default="9p", choices=("9p", "virtiofs")),
    Option(
        "socket",
        "str",
        (
            "Socket between the hypervisor and virtiofsd, below the state directory or absolute.",
            "In the default, C({name}) and C({tag}) stand for O(ignore:name) and O(ignore:shares[].tag).",
        ),
        default="{name}-virtiofs-{tag}.sock",
        nullable=True,
        check=checks.socket_path,
    ),
    Option(
        "security_model",
        "str",
        "How 9p maps ownership and modes, see QEMU's C(-fsdev).",
        default="none",
        choices=("none", "passthrough", "mapped", "mapped-xattr", "mapped-file"),
    ),
    Option("read_only", "bool", "Let the guest read only.", default=False),
    Option(
        "cache",
        "str",
        "How long the guest of a virtiofs share trusts what it has read, see virtiofsd's C(--cache).",
        default="auto",
        choices=("auto", "always", "metadata", "never"),
    ),
    Option("posix_acl", "bool", "A virtiofs share has access control lists.", default=True),
    Option(
        "extra_args",
        "list",
        "More arguments of this share's virtiofsd.",
        elements="str",
        check=checks.argument,
    ),
)

DEVICES: Options = (
    Option("bus", "str", "Kind of the device.", required=True, choices=("pci", "usb")),
    Option(
        "path",
        "str",
        (
            "For V(pci), the address, such as V(0000:01:00.0).",
            "For V(usb), what tells the device, as QEMU's C(usb-host) takes it: V(vendorid=0x1050,productid=0x0407).",
        ),
        required=True,
        check=checks.argument,
    ),
    *additions("devices[]"),
)
