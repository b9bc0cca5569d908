# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Option tables of a MicroVM's interfaces, forwarded ports, volumes, shares and devices."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import (
    ARGUMENTS,
    BRIDGE,
    FILE,
    GUEST,
    NETWORK,
    PACKAGE,
    PLAIN,
    RECREATE,
    SANDBOX,
    Option,
    Options,
)
from .hypervisor_options import additions

_MACVTAP: Options = (
    Option(
        "link",
        "str",
        "Interface of the host that the macvtap device is attached to. Required for type V(macvtap) without C(bridge).",
        check=checks.interface_name,
        trust=NETWORK,
    ),
    Option(
        "mode",
        "str",
        "Mode of the macvtap device, as described in ip-link(8). Required for type V(macvtap) without C(bridge).",
        choices=("private", "vepa", "bridge", "passthru", "source"),
    ),
)

_TAP: Options = (
    Option(
        "vhost", "bool", "Whether the host's kernel processes the packets of the interface (vhost-net).", default=False
    ),
)

INTERFACES: Options = (
    Option(
        "type",
        "str",
        (
            "How the interface is connected to the host's network.",
            "V(user) uses the user-space network of the hypervisor. It needs no privileges, and the guest can be "
            "reached only through O(ignore:forward_ports).",
            "V(tap) creates a tap device that exists while the MicroVM runs.",
            "V(macvtap) creates a macvtap device on an interface of the host: that of a network with mode V(macvtap) "
            "whose name is C(bridge), or C(macvtap.link).",
            "V(bridge) lets QEMU's setuid helper create a tap device on a bridge. C(/etc/qemu/bridge.conf) must allow "
            "the bridge.",
        ),
        default="tap",
        choices=("user", "tap", "macvtap", "bridge"),
        trust=NETWORK,
    ),
    Option(
        "id",
        "str",
        (
            "Name of the interface on the host, at most 15 characters.",
            "Defaults to a name derived from O(ignore:name) and the position of the interface.",
        ),
        check=checks.interface_id,
        derived=True,
        trust=PLAIN,
    ),
    Option(
        "mac",
        "str",
        (
            "MAC address of the guest's interface.",
            "Defaults to an address derived from O(ignore:name) and the position of the interface.",
        ),
        check=checks.mac_address,
        derived=True,
        trust=PLAIN,
    ),
    Option(
        "bridge",
        "str",
        "Bridge that the tap device is attached to, or, with type V(macvtap), a network with mode V(macvtap). "
        "Role P(microvm.fleet.network#role) creates them. Required for type V(bridge).",
        check=checks.interface_name,
        honoured_by=PACKAGE,
        trust=BRIDGE,
    ),
    Option("macvtap", "dict", "Settings of interfaces of type V(macvtap).", suboptions=_MACVTAP, honoured_by=PACKAGE),
    Option("tap", "dict", "Settings of interfaces of type V(tap) and V(macvtap).", suboptions=_TAP),
)

_HOST_END: Options = (
    Option("address", "str", "IPv4 address on the host. Defaults to all addresses.", check=checks.ipv4_address),
    Option("port", "int", "Port number on the host.", required=True, check=checks.port),
)

_GUEST_END: Options = (
    Option(
        "address",
        "str",
        "IPv4 address in the guest's network. Defaults to the address of the guest. It must be set "
        "for ports that are forwarded from the guest.",
        check=checks.ipv4_address,
    ),
    Option("port", "int", "Port number in the guest's network.", required=True, check=checks.port),
)

FORWARD_PORTS: Options = (
    Option(
        "from",
        "str",
        (
            "Direction of the forwarding.",
            "V(host) forwards a port of the host to the guest. V(guest) forwards a port of the guest's network to the "
            "host.",
        ),
        default="host",
        choices=("host", "guest"),
    ),
    Option("proto", "str", "Transport protocol.", default="tcp", choices=("tcp", "udp")),
    Option("host", "dict", "Address and port on the host.", required=True, suboptions=_HOST_END),
    Option("guest", "dict", "Address and port in the guest's network.", required=True, suboptions=_GUEST_END),
)

VOLUMES: Options = (
    Option(
        "image",
        "str",
        (
            "Path of the disk image, absolute or relative to the MicroVM's working directory.",
            "The directory of the image is created, owned by the MicroVM's user, if it does not exist.",
            "A path below C(/dev), such as V(/dev/vg0/data), is a block device of the host, which the MicroVM alone is "
            "given. No image is created there, so it requires O(ignore:volumes[].auto_create=false).",
        ),
        required=True,
        check=checks.state_path,
        trust=FILE,
    ),
    Option(
        "size",
        "raw",
        (
            "Size of the image to create in MiB, or a number with the suffix V(M), V(G) or V(T).",
            "If the size is increased later, the image and its file system are grown before the next start. Decreasing "
            "the size is refused.",
        ),
        check=checks.size_or_none,
        parsed=checks.mebibytes,
        honoured_by=PACKAGE,
    ),
    Option(
        "auto_create",
        "bool",
        (
            "Whether to create and format the image at the first start. Requires O(ignore:volumes[].size).",
            "An existing image is never formatted.",
        ),
        default=True,
        honoured_by=PACKAGE,
    ),
    Option(
        "format",
        "str",
        (
            "Whether a block device of the host gets a file system.",
            "V(if_blank) formats it before the MicroVM starts, if its beginning and end are zero and neither blkid nor "
            "wipefs finds a signature of anything on it. A device with any data is left as it is.",
        ),
        default="never",
        choices=("never", "if_blank"),
        honoured_by=PACKAGE,
    ),
    Option(
        "fs_type",
        "str",
        (
            "File system of the image.",
            "Images can be created with V(ext2), V(ext3), V(ext4), V(xfs), V(btrfs) or V(vfat). V(xfs) needs at least "
            "300 MiB, and V(btrfs) 109 MiB.",
        ),
        default="ext4",
        check=checks.file_system,
        cost=RECREATE,
        honoured_by=PACKAGE,
        trust=PLAIN,
    ),
    Option(
        "label",
        "str",
        "Label of the file system when the image is created.",
        check=checks.label,
        cost=RECREATE,
        honoured_by=PACKAGE,
        trust=PLAIN,
    ),
    Option(
        "mkfs_extra_args",
        "list",
        "Additional arguments of C(mkfs) when the image is created.",
        elements="str",
        check=checks.argument,
        cost=RECREATE,
        honoured_by=PACKAGE,
        trust=ARGUMENTS,
    ),
    Option(
        "mount_point",
        "str",
        (
            "Mount point of the volume in the guest. Requires O(ignore:guest.enable).",
            "A volume mounted at V(/) stores all changes to the read-only root file system. Without such a volume, a "
            "tmpfs holds them and they are lost when the guest stops.",
        ),
        check=checks.mount_point,
        honoured_by=GUEST,
        trust=PLAIN,
    ),
    Option(
        "serial",
        "str",
        "Serial number by which the guest identifies the disk. Derived from O(ignore:volumes[].image) by default if "
        "the guest needs one.",
        check=checks.serial,
        trust=PLAIN,
    ),
    Option("direct", "bool", "Whether to bypass the page cache of the host."),
    Option("read_only", "bool", "Whether the guest has read-only access.", default=False),
    Option(
        "image_type",
        "str",
        "Format of the image. Only V(raw) images can be created. Of V(vhd), Cloud Hypervisor reads images of fixed "
        "size only.",
        default="raw",
        choices=("raw", "qcow2", "vhd", "vhdx"),
        # An image of another format may name a file that it is based on.
        trust=ARGUMENTS,
    ),
)

SHARES: Options = (
    Option("tag", "str", "Tag by which the guest mounts the share.", required=True, check=checks.tag, trust=PLAIN),
    Option(
        "source",
        "path",
        (
            "Path of the directory on the host, absolute or relative to the MicroVM's working directory.",
            "The directory is created if it does not exist. The owner and the mode of one that exists are left alone.",
            "C(/nix/store) and what is below it is always shared for reading only with guests of an O(ignore:image), "
            "and a directory above it only with O(ignore:shares[].read_only).",
        ),
        required=True,
        check=checks.state_path,
        trust=FILE,
    ),
    Option(
        "source_owner",
        "str",
        (
            "Name or number of the user who owns a directory that is created. By default O(ignore:shares[].user), "
            "or the MicroVM's user.",
            "With O(ignore:shares[].proto=9p), only for an absolute O(ignore:shares[].source).",
        ),
        check=checks.account,
        cost=RECREATE,
        honoured_by=PACKAGE,
        trust=SANDBOX,
    ),
    Option(
        "source_group",
        "str",
        (
            "Name or number of the group of a directory that is created.",
            "By default the group of the same name or number as O(ignore:shares[].source_owner) or "
            "O(ignore:shares[].user), or the MicroVM's.",
        ),
        check=checks.account,
        cost=RECREATE,
        honoured_by=PACKAGE,
        trust=SANDBOX,
    ),
    Option(
        "source_mode",
        "str",
        "Mode of a directory that is created.",
        default="0755",
        check=checks.mode,
        cost=RECREATE,
        honoured_by=PACKAGE,
        trust=PLAIN,
    ),
    Option(
        "user",
        "str",
        (
            "Name or number of the user of the host, with an entry in C(/etc/passwd), who serves a virtiofs share.",
            "By default root does: files have the owners that the guest gives them, and root of the guest can read and "
            "change everything in O(ignore:shares[].source).",
            "With any other user, the daemon has no privileges: the guest can do what that user can do, and all files "
            "that it creates are the user's, see O(ignore:shares[].translate_uid). A directory that is created is the "
            "user's too, unless O(ignore:shares[].source_owner) is set.",
            "Requires O(ignore:shares[].posix_acl=false), and virtiofsd 1.13 or newer.",
        ),
        check=checks.account,
        trust=SANDBOX,
    ),
    Option(
        "mount_point",
        "str",
        "Mount point of the share in the guest. Requires O(ignore:guest.enable).",
        check=checks.mount_point,
        honoured_by=GUEST,
        trust=PLAIN,
    ),
    Option("proto", "str", "Protocol by which the directory is shared.", default="9p", choices=("9p", "virtiofs")),
    Option(
        "socket",
        "str",
        (
            "Path of the socket between the hypervisor and virtiofsd, absolute or relative to the MicroVM's "
            "working directory.",
            "In the default, C({name}) and C({tag}) stand for O(ignore:name) and O(ignore:shares[].tag).",
        ),
        default="{name}-virtiofs-{tag}.sock",
        nullable=True,
        check=checks.socket_path,
        trust=FILE,
    ),
    Option(
        "security_model",
        "str",
        "How 9p maps the ownership and modes of files, see QEMU's C(-fsdev).",
        default="none",
        choices=("none", "passthrough", "mapped", "mapped-xattr", "mapped-file"),
    ),
    Option("read_only", "bool", "Whether the guest has read-only access.", default=False),
    Option(
        "cache",
        "str",
        "Cache policy of a virtiofs share, see virtiofsd's C(--cache).",
        default="auto",
        choices=("auto", "always", "metadata", "never"),
    ),
    Option("posix_acl", "bool", "Whether a virtiofs share supports POSIX access control lists.", default=True),
    *(
        Option(
            f"translate_{letter}id",
            "list",
            (
                f"How virtiofsd translates numbers of {kind}s between guest and host, as its option "
                f"C(--translate-{letter}id) takes them, such as V(map:0:100000:65536). By default they are the same.",
                "Requires O(ignore:shares[].posix_acl=false), and virtiofsd 1.13 or newer.",
            ),
            elements="str",
            check=checks.identity_map,
            trust=PLAIN,
        )
        for letter, kind in (("u", "user"), ("g", "group"))
    ),
    Option(
        "extra_args",
        "list",
        "Additional arguments of the virtiofsd that serves this share.",
        elements="str",
        check=checks.argument,
        trust=ARGUMENTS,
    ),
)

DEVICES: Options = (
    Option("bus", "str", "Bus of the device.", required=True, choices=("pci", "usb")),
    Option(
        "path",
        "str",
        (
            "For V(pci), the address of the device, such as V(0000:01:00.0).",
            "For V(usb), the properties that identify the device to QEMU's C(usb-host), such as "
            "V(vendorid=0x1050,productid=0x0407).",
        ),
        required=True,
        check=checks.argument,
    ),
    *additions("devices[]"),
)
