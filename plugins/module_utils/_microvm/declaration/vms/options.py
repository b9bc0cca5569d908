# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a MicroVM: microvm.nix's names in snake_case with the same nesting, and what only a host needs."""

from __future__ import annotations

from ...hypervisors.profiles import PROFILES
from ...schema import checks
from ...schema.options import GUEST, HYPERVISOR, LIVE, PACKAGE, RECORD, Option, Options
from ..names import SYSTEMS
from .device_options import DEVICES, FORWARD_PORTS, INTERFACES, SHARES, VOLUMES
from .host_options import HOST_OPTIONS
from .hypervisor_options import GRAPHICS, HYPERVISOR_OPTIONS, VIRTIOFSD

_VSOCK_SSH: Options = (
    Option(
        "enable",
        "bool",
        (
            "The guest's SSH server is expected to answer at the vsock. Needs O(ignore:vsock.cid).",
            "A guest with systemd 256 or newer and an SSH server does so by itself; the package is no other one.",
        ),
        default=False,
    ),
)

_VSOCK: Options = (
    Option(
        "cid",
        "int",
        "Context identifier of the guest, 3 or more. No two MicroVMs of a host may have the same.",
        check=checks.context_identifier,
    ),
    Option("ssh", "dict", "SSH through the vsock.", suboptions=_VSOCK_SSH, honoured_by=RECORD),
)

_OPTIMIZE: Options = (
    Option(
        "enable",
        "bool",
        (
            "For guests that Nix builds: leave out what MicroVMs seldom need.",
            "Recorded in the package, of which it is no part.",
        ),
        default=True,
    ),
)

_NETWORKS: Options = (
    Option(
        "interface",
        "str",
        "O(ignore:interfaces[].id) of the interface. By default the one at the same position.",
        check=checks.interface_name,
        derived=True,
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
        derived=True,
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
        derived=True,
        honoured_by=HYPERVISOR,
    ),
    Option(
        "hostname",
        "str",
        "Host name of the guest. By default the MicroVM's name.",
        check=checks.hostname,
        derived=True,
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

_MACHINE: Options = (
    Option(
        "hypervisor",
        "str",
        "Program that runs the MicroVM.",
        default=next(iter(PROFILES)),
        choices=tuple(PROFILES),
        honoured_by=PACKAGE,
    ),
    Option(
        "accel",
        "str",
        (
            "How the guest's instructions are run.",
            "V(auto) is V(kvm) where an ordinary kernel really boots under the host's KVM, which is tried, "
            "else V(tcg), which only QEMU has.",
        ),
        default="auto",
        choices=("auto", "kvm", "tcg"),
    ),
    Option(
        "guest_system",
        "str",
        (
            "Architecture of the guest, as Nix calls it. By default the host's.",
            "Another one than the host's is emulated, which needs O(ignore:cpu).",
        ),
        choices=SYSTEMS,
    ),
    Option(
        "cpu",
        "str",
        "Model of the processor that QEMU gives the guest, such as V(max) or V(cortex-a57). By default the host's own.",
        check=checks.cpu_model,
    ),
    Option("vcpu", "int", "Number of virtual processors.", default=1, check=checks.positive),
    Option(
        "mem",
        "raw",
        "Memory: MiB, or a number with V(M) or V(G).",
        default="512",
        check=checks.size,
        parsed=checks.mebibytes,
    ),
    Option("hugepage_mem", "bool", "Take the memory from the host's huge pages.", default=False),
    Option(
        "hotplug_mem",
        "raw",
        "Memory that can be plugged in beside O(ignore:mem), by virtio-mem.",
        default="0",
        check=checks.size_or_none,
        parsed=checks.mebibytes,
    ),
    Option(
        "hotplugged_mem",
        "raw",
        "How much of O(ignore:hotplug_mem) is plugged in at the start. By default all of it.",
        check=checks.size_or_none,
        parsed=checks.mebibytes,
        derived=True,
    ),
    Option("balloon", "bool", "A balloon that takes memory from the guest and gives it back.", default=False),
    Option(
        "initial_balloon_mem",
        "raw",
        "Memory that the balloon takes at the start. Needs O(ignore:balloon).",
        default="0",
        check=checks.size_or_none,
        cost=LIVE,
        parsed=checks.mebibytes,
    ),
    Option("deflate_on_oom", "bool", "The balloon gives memory back when the guest has none left.", default=True),
    Option(
        "user",
        "str",
        "Account that QEMU changes to after its start. The unit's own account, where it is not set.",
        check=checks.account,
    ),
    Option(
        "socket",
        "str",
        (
            "Control socket of the hypervisor, below the state directory or absolute. V(null) is none: such a MicroVM "
            "is only stopped from inside.",
            "In the default, C({name}) stands for O(ignore:name).",
        ),
        default="{name}.sock",
        nullable=True,
        check=checks.socket_path,
    ),
    Option(
        "pre_start",
        "str",
        "Shell commands that C(microvm-run) runs before the hypervisor.",
        default="",
        honoured_by=PACKAGE,
    ),
    Option(
        "extra_args_script",
        "path",
        "Program that prints more arguments for the hypervisor, separated by blanks, at each start.",
        check=checks.absolute_path,
        honoured_by=PACKAGE,
    ),
    Option(
        "pretty_procnames",
        "bool",
        "The hypervisor's process is called C(microvm@NAME).",
        default=True,
        honoured_by=PACKAGE,
    ),
)

_SYSTEM: Options = (
    Option(
        "image",
        "str",
        (
            "Guest image: the name of one of the images that the host was given, or the absolute path of an image "
            "directory.",
            "Gives O(ignore:kernel), O(ignore:initrd_path) and O(ignore:store_disk) unless they are set.",
        ),
        honoured_by=PACKAGE,
    ),
    Option(
        "kernel",
        "path",
        (
            "File of the kernel to boot. Required without O(ignore:image).",
            "Firecracker boots an uncompressed C(vmlinux) only.",
        ),
        check=checks.absolute_path,
        # But for MicroVMs that are removed, which nobody asks for it.
        derived=True,
    ),
    Option("initrd_path", "path", "Initial RAM disk.", check=checks.absolute_path),
    Option(
        "kernel_params",
        "list",
        "Parameters that are added to the kernel's command line, one for each element.",
        elements="str",
        check=checks.kernel_parameter,
    ),
    Option(
        "store_on_disk",
        "bool",
        (
            "The MicroVM has O(ignore:store_disk).",
            "By default it has, unless a guest without O(ignore:image) gets C(/nix/store) as a share.",
        ),
        derived=True,
        honoured_by=PACKAGE,
    ),
    Option("store_disk", "path", "Read-only root disk.", check=checks.absolute_path),
    Option(
        "store_disk_type",
        "str",
        "File system of O(ignore:store_disk). An image that the host was given says it itself.",
        default="erofs",
        choices=("erofs", "squashfs"),
        honoured_by=GUEST,
    ),
    Option(
        "store_disk_erofs_flags",
        "list",
        "For guests that Nix builds: flags of mkfs.erofs. Recorded in the package, of which they are no part.",
        elements="str",
        honoured_by=RECORD,
    ),
    Option(
        "store_disk_squashfs_flags",
        "list",
        "For guests that Nix builds: flags of gensquashfs. Recorded in the package, of which they are no part.",
        elements="str",
        honoured_by=RECORD,
    ),
    Option(
        "writable_store_overlay",
        "path",
        (
            "For guests that Nix builds: where the writable layer of their C(/nix/store) is.",
            "Recorded in the package, of which it is no part: the volume or share there is.",
        ),
        check=checks.absolute_path,
        honoured_by=RECORD,
    ),
    Option(
        "register_closure",
        "bool",
        (
            "For guests that Nix builds: tell the guest's Nix of its store.",
            "Recorded in the package, of which it is no part.",
        ),
        honoured_by=RECORD,
    ),
    Option(
        "system_symlink",
        "bool",
        "C(share/microvm/system) of the package leads to the guest's image. By default where O(ignore:image) is set.",
        derived=True,
        honoured_by=PACKAGE,
    ),
    Option("optimize", "dict", "Optimisations of the guest.", suboptions=_OPTIMIZE, honoured_by=RECORD),
    Option(
        "machine_id",
        "str",
        (
            "The guest's machine id: 32 hexadecimal digits, or a UUID. By default a UUID of version 5 from "
            "O(ignore:name).",
            "It is the machine's UUID (SMBIOS) too, where the hypervisor has one.",
        ),
        check=checks.machine_id,
        derived=True,
        honoured_by=GUEST,
    ),
    Option("register_with_machined", "bool", "Register with systemd-machined, for machinectl(1).", default=False),
    Option(
        "credential_files",
        "dict",
        (
            "Secrets for the guest's systemd (systemd.system-credentials(7)): names, and the host's files with their "
            "contents.",
            "The files are read at each start. Their contents are in no argument, unit, log or package.",
        ),
        values="str",
        check=checks.credential_files,
        no_log=False,
    ),
)

_ATTACHED: Options = (
    Option("vsock", "dict", "The guest's vsock(7).", suboptions=_VSOCK),
    Option("interfaces", "list", "Network interfaces.", elements="dict", suboptions=INTERFACES),
    Option("forward_ports", "list", "Ports of user networks.", elements="dict", suboptions=FORWARD_PORTS),
    Option("volumes", "list", "Disks that keep the guest's data.", elements="dict", suboptions=VOLUMES),
    Option("shares", "list", "Directories of the host.", elements="dict", suboptions=SHARES),
    Option("devices", "list", "Devices of the host that the guest gets.", elements="dict", suboptions=DEVICES),
    Option("graphics", "dict", "A display of the guest.", suboptions=GRAPHICS),
    Option("virtiofsd", "dict", "The daemon of virtiofs shares.", suboptions=VIRTIOFSD, honoured_by=PACKAGE),
    Option(
        "bin_scripts",
        "dict",
        (
            "Shell commands by the name of a script of the package: appended to C(tap-up) and the like, or a script of "
            "their own.",
            "What C(microvm-run) shall do first is O(ignore:pre_start).",
        ),
        values="str",
        check=checks.bin_scripts,
        honoured_by=PACKAGE,
    ),
    Option(
        "guest",
        "dict",
        "Configuration of the guest without rebuilding its image.",
        suboptions=_GUEST,
        honoured_by=GUEST,
    ),
)

_UNIT: Options = (
    Option(
        "isolation",
        "str",
        (
            "V(per_vm) gives the MicroVM a user and a group of its own, so that no other one's process can open its "
            "volumes, sockets, taps and devices.",
            "V(shared) is microvm.nix's way: the user V(microvm) in the group V(kvm), as all who share it.",
        ),
        default="per_vm",
        choices=("per_vm", "shared"),
        honoured_by=PACKAGE,
    ),
    Option(
        "profile",
        "str",
        (
            "How narrow the unit's sandbox is.",
            "V(strict) leaves the hypervisor only what the declaration needs: its devices, system calls, address "
            "families, paths. V(compat) is for what V(strict) breaks, such as O(ignore:pre_start) that does more.",
        ),
        default="strict",
        choices=("strict", "compat"),
        honoured_by=PACKAGE,
    ),
    Option(
        "use_notify_sockets",
        "bool",
        (
            "The unit counts as started when the guest's systemd says so over the vsock, not when the hypervisor runs.",
            "A guest that does not say so within O(ignore:startup_timeout) is stopped. Needs O(ignore:vsock.cid).",
        ),
        default=False,
    ),
)

PACKAGE_OPTIONS: Options = (
    Option(
        "name",
        "str",
        "Name of the MicroVM: of its unit, its state directory and, by default, of its guest.",
        required=True,
        check=checks.name,
        honoured_by=PACKAGE,
    ),
    *_MACHINE,
    *_SYSTEM,
    *_ATTACHED,
    *_UNIT,
    *HYPERVISOR_OPTIONS,
)
"""Options that determine the runner package."""

VM_OPTIONS: Options = PACKAGE_OPTIONS + HOST_OPTIONS
