# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a MicroVM: microvm.nix's names in snake_case with the same nesting, and what only a host needs."""

from __future__ import annotations

from . import checks
from .options import Option, Options

_INTERFACES: Options = (
    Option(
        "type",
        "str",
        (
            "How the interface reaches the host's network.",
            "V(user) is QEMU's own user-space network: no privileges, no way in.",
            "V(tap) is a tap device that exists as long as the MicroVM runs.",
        ),
        default="tap",
        choices=("user", "tap"),
    ),
    Option(
        "id",
        "str",
        (
            "Name of the interface on the host, at most 15 characters.",
            "By default derived from the MicroVM's name and the interface's position.",
        ),
        check=checks.interface_id,
    ),
    Option(
        "mac",
        "str",
        (
            "Hardware address of the guest's interface.",
            "By default derived from the MicroVM's name and the interface's position.",
        ),
        check=checks.mac_address,
    ),
    Option(
        "bridge",
        "str",
        "Bridge that a tap becomes a port of. Role P(microvm.fleet.network#role) makes bridges.",
        check=checks.interface_name,
    ),
)

_VOLUMES: Options = (
    Option(
        "image",
        "str",
        (
            "Disk image: an absolute path, or a path below the MicroVM's state directory.",
            "Its directory is created, for the user V(microvm), if it does not exist.",
        ),
        required=True,
        check=checks.state_path,
    ),
    Option(
        "size",
        "raw",
        "Size of an image that is created: MiB, or a number with V(M), V(G) or V(T).",
        check=checks.size,
    ),
    Option(
        "auto_create",
        "bool",
        (
            "Create and format the image at the first start. Needs O(ignore:size).",
            "An image that exists is never formatted.",
        ),
        default=True,
    ),
    Option("fs_type", "str", "File system of an image that is created.", default="ext4", choices=("ext4",)),
    Option("label", "str", "Label of the file system of an image that is created.", check=checks.label),
    Option(
        "mount_point",
        "str",
        (
            "Where a guest that is configured by O(ignore:guest) mounts the volume.",
            "On V(/), the volume keeps every change to the read-only root, which a tmpfs keeps until the guest stops.",
        ),
        check=checks.absolute_path,
    ),
    Option(
        "serial",
        "str",
        "Serial of the disk, by which the guest finds it. By default derived from O(ignore:image) where it is needed.",
        check=checks.serial,
    ),
    Option("direct", "bool", "Bypass the host's page cache."),
    Option("read_only", "bool", "Let the guest read only.", default=False),
)

_SHARES: Options = (
    Option("tag", "str", "Name under which the guest mounts the share.", required=True, check=checks.tag),
    Option(
        "source",
        "path",
        "Directory of the host. Created, for the user V(microvm), if it does not exist.",
        required=True,
        check=checks.absolute_path,
    ),
    Option(
        "mount_point",
        "str",
        "Where a guest that is configured by O(ignore:guest) mounts the share.",
        check=checks.absolute_path,
    ),
    Option("proto", "str", "Protocol of the share.", default="9p", choices=("9p",)),
    Option(
        "security_model",
        "str",
        "How 9p maps ownership and modes, see QEMU's C(-fsdev).",
        default="none",
        choices=("none", "passthrough", "mapped", "mapped-xattr", "mapped-file"),
    ),
    Option("read_only", "bool", "Let the guest read only.", default=False),
)

_NETWORKS: Options = (
    Option(
        "interface",
        "str",
        "O(ignore:interfaces[].id) of the interface. By default the one at the same position.",
        check=checks.interface_name,
    ),
    Option(
        "addresses",
        "list",
        "Static addresses with prefix length.",
        elements="str",
        check=checks.interface_address,
    ),
    Option("gateway", "str", "Router for everything else.", check=checks.ip_address),
    Option("dns", "list", "Name servers.", elements="str", check=checks.ip_address),
    Option(
        "dhcp",
        "bool",
        "Ask for an address by DHCP. By default where O(ignore:guest.networks[].addresses) is not set.",
    ),
)

_GUEST: Options = (
    Option(
        "enable",
        "bool",
        (
            "Configure the guest by systemd credentials: host name, machine id, network, keys, mounts.",
            "By default where O(ignore:image) is set.",
        ),
    ),
    Option(
        "hostname",
        "str",
        "Host name of the guest. By default the MicroVM's name.",
        check=checks.hostname,
    ),
    Option(
        "authorized_keys",
        "list",
        "Public SSH keys that may log in as root, one line of authorized_keys(5) each.",
        elements="str",
        check=checks.authorized_key,
        no_log=False,
    ),
    Option(
        "networks",
        "list",
        "Configuration of the guest's interfaces. An interface without one uses DHCP.",
        elements="dict",
        suboptions=_NETWORKS,
    ),
)

_READY: Options = (
    Option(
        "check",
        "str",
        (
            "What tells that the guest is up.",
            "V(ssh) waits for the greeting of an SSH server, V(tcp) for a connection, V(hypervisor) for the hypervisor "
            "to say that the guest runs, V(none) for nothing but the unit.",
            "V(auto) is V(ssh) where the guest has a static address and an authorized key, else V(hypervisor).",
        ),
        default="auto",
        choices=("auto", "ssh", "tcp", "hypervisor", "none"),
    ),
    Option(
        "address",
        "str",
        "Address that V(ssh) and V(tcp) connect to from the host. By default the guest's first static address.",
        check=checks.ip_address,
    ),
    Option("port", "int", "Port that V(ssh) and V(tcp) connect to.", default=22, check=checks.port),
    Option("timeout", "int", "Seconds to wait at most.", default=300, check=checks.positive),
)

PACKAGE_OPTIONS: Options = (
    Option(
        "name",
        "str",
        "Name of the MicroVM: of its unit, its state directory and, by default, of its guest.",
        required=True,
        check=checks.name,
    ),
    Option("hypervisor", "str", "Program that runs the MicroVM.", default="qemu", choices=("qemu",)),
    Option(
        "accel",
        "str",
        (
            "How the guest's instructions are run.",
            "V(auto) is V(kvm) where an ordinary kernel really boots under the host's KVM, which is tried, "
            "else V(tcg).",
        ),
        default="auto",
        choices=("auto", "kvm", "tcg"),
    ),
    Option("vcpu", "int", "Number of virtual processors.", default=1, check=checks.positive),
    Option(
        "mem",
        "raw",
        "Memory: MiB, or a number with V(M) or V(G).",
        default="512",
        check=checks.size,
    ),
    Option(
        "image",
        "str",
        (
            "Guest image: the name of one of the images that the host was given, or the absolute path of an image "
            "directory.",
            "Gives O(ignore:kernel), O(ignore:initrd_path) and O(ignore:store_disk) unless they are set.",
        ),
    ),
    Option(
        "kernel",
        "path",
        "Kernel to boot. Required without O(ignore:image).",
        check=checks.absolute_path,
    ),
    Option("initrd_path", "path", "Initial RAM disk.", check=checks.absolute_path),
    Option("store_disk", "path", "Read-only root disk.", check=checks.absolute_path),
    Option(
        "store_disk_type",
        "str",
        "File system of O(ignore:store_disk). An image that the host was given says it itself.",
        default="erofs",
        choices=("erofs", "squashfs"),
    ),
    Option(
        "kernel_params",
        "list",
        "Parameters that are added to the kernel's command line, one for each element.",
        elements="str",
        check=checks.kernel_parameter,
    ),
    Option(
        "machine_id",
        "str",
        "The guest's machine id, 32 hexadecimal digits. By default derived from O(ignore:name).",
        check=checks.machine_id,
    ),
    Option("interfaces", "list", "Network interfaces.", elements="dict", suboptions=_INTERFACES),
    Option("volumes", "list", "Disks that keep the guest's data.", elements="dict", suboptions=_VOLUMES),
    Option("shares", "list", "Directories of the host.", elements="dict", suboptions=_SHARES),
    Option(
        "socket",
        "str",
        "Control socket of the hypervisor, below the state directory or absolute. By default O(ignore:name) with "
        "V(.sock).",
        check=checks.state_path,
    ),
    Option("guest", "dict", "Configuration of the guest without rebuilding its image.", suboptions=_GUEST),
)
"""What determines the runner package."""

HOST_OPTIONS: Options = (
    Option(
        "state",
        "str",
        (
            "V(started) installs, starts, restarts where the package has changed, and waits until the guest is up.",
            "V(stopped) installs and stops. V(restarted) is V(started) with one restart in any case.",
            "V(present) installs and leaves the running MicroVM alone: a changed package waits for the next start.",
            "V(absent) stops and removes everything but volumes.",
        ),
        choices=("started", "stopped", "restarted", "present", "absent"),
    ),
    Option("autostart", "bool", "Start the MicroVM with the host.", default=True),
    Option("ready", "dict", "When a start counts as done.", suboptions=_READY),
)
"""What the host does with the package."""

VM_OPTIONS: Options = PACKAGE_OPTIONS + HOST_OPTIONS
