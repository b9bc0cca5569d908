# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Option table of a MicroVM: microvm.nix's names in snake_case with the same nesting, and the options of a host."""

from __future__ import annotations

from ...hypervisors.profiles import PROFILES
from ...schema import checks
from ...schema.options import (
    DEVICE,
    FILE,
    GUEST,
    HYPERVISOR,
    IMAGE,
    LIVE,
    NETWORK,
    PACKAGE,
    PLAIN,
    PROGRAM,
    RECORD,
    SANDBOX,
    SCRIPT,
    Option,
    Options,
)
from ..names import SYSTEMS
from .device_options import DEVICES, FORWARD_PORTS, INTERFACES, SHARES, VOLUMES
from .host_options import HOST_OPTIONS
from .hypervisor_options import GRAPHICS, HYPERVISOR_OPTIONS, VIRTIOFSD

_VSOCK_SSH: Options = (
    Option(
        "enable",
        "bool",
        (
            "Whether the guest's SSH server can be reached over the vsock. Requires O(ignore:vsock.cid).",
            "A guest with systemd 256 or newer and an SSH server listens on the vsock without further configuration. "
            "This option is recorded and does not change the package.",
        ),
        default=False,
    ),
)

_VSOCK: Options = (
    Option(
        "cid",
        "raw",
        (
            "Context identifier (CID) of the guest, 3 or greater. It must be unique on the host.",
            "V(auto) means one that is derived from O(ignore:identity), from 65536 on. It stays the same, and is "
            "another one for each MicroVM.",
            "Hypervisors without a power button need it to stop the guest without loss of data, see lifecycle.md.",
        ),
        check=checks.context_identifier,
        parsed=checks.context_number,
        trust=PLAIN,
    ),
    Option("ssh", "dict", "SSH over the vsock.", suboptions=_VSOCK_SSH, honoured_by=RECORD),
)

_OPTIMIZE: Options = (
    Option(
        "enable",
        "bool",
        (
            "For guests built by Nix: whether to leave out software that MicroVMs rarely need.",
            "This option is recorded with the package and does not change it.",
        ),
        default=True,
    ),
)

_ROUTES: Options = (
    Option(
        "destination",
        "str",
        "Subnet or address that the route leads to, V(0.0.0.0/0) or V(::/0) for all.",
        required=True,
        check=checks.route_destination,
        trust=PLAIN,
    ),
    Option(
        "gateway",
        "str",
        "Address of the gateway. Without it, the destination is reached directly on the interface.",
        check=checks.address_without_zone,
        trust=PLAIN,
    ),
    Option(
        "metric",
        "int",
        "Metric of the route. Of several routes to a destination, that with the smallest metric is used.",
        check=checks.not_negative,
    ),
    Option(
        "on_link",
        "bool",
        (
            "Whether the gateway is reached directly on the interface, although no subnet of its addresses has it.",
            "Defaults to V(true) if no subnet has it and an address has the prefix length 32 (IPv4) or 128 (IPv6).",
        ),
        derived=True,
    ),
)

_NETWORKS: Options = (
    Option(
        "interface",
        "str",
        "O(ignore:interfaces[].id) of the interface. Defaults to the interface at the same position in the list.",
        check=checks.interface_name,
        derived=True,
        trust=PLAIN,
    ),
    Option(
        "addresses",
        "list",
        "Static addresses with their prefix lengths.",
        elements="str",
        check=checks.interface_address,
        trust=PLAIN,
    ),
    Option(
        "name",
        "str",
        (
            "Name of the interface in the guest. Defaults to V(net) and the position of the interface, such as "
            "V(net0).",
            "The interface is recognised by its MAC address, so that its name does not depend on other devices.",
        ),
        check=checks.guest_interface_name,
        derived=True,
        trust=PLAIN,
    ),
    Option(
        "gateway",
        "list",
        (
            "Default gateway, or a list with one for IPv4 and one for IPv6.",
            "A gateway must be in a subnet of O(ignore:guest.networks[].addresses). If an address has the prefix "
            "length 32 (IPv4) or 128 (IPv6), the gateway may be any, and is reached directly on the interface.",
        ),
        elements="str",
        single=True,
        check=checks.address_without_zone,
        trust=PLAIN,
    ),
    Option(
        "routes",
        "list",
        "Routes beside that of O(ignore:guest.networks[].gateway).",
        elements="dict",
        suboptions=_ROUTES,
    ),
    Option("dns", "list", "DNS servers.", elements="str", check=checks.ip_address, trust=PLAIN),
    Option(
        "domains",
        "list",
        "Domains in which the guest looks for names without a dot.",
        elements="str",
        check=checks.hostname,
        trust=PLAIN,
    ),
    Option(
        "dhcp",
        "bool",
        "Whether to obtain an address by DHCP. Defaults to V(true) if O(ignore:guest.networks[].addresses) is empty.",
        derived=True,
    ),
)

_GUEST: Options = (
    Option(
        "enable",
        "bool",
        (
            "Whether to configure the guest through systemd credentials: host name, machine ID, network, SSH keys "
            "and mounts.",
            "Defaults to V(true) if O(ignore:image) is set.",
        ),
        derived=True,
        honoured_by=HYPERVISOR,
    ),
    Option(
        "hostname",
        "str",
        "Host name of the guest. Defaults to O(ignore:name).",
        check=checks.hostname,
        derived=True,
        trust=PLAIN,
    ),
    Option(
        "authorized_keys",
        "list",
        "Public SSH keys that are allowed to log in as root. Each element is one line of C(authorized_keys).",
        elements="str",
        check=checks.authorized_key,
        no_log=False,
        trust=PLAIN,
    ),
    Option(
        "host_access",
        "bool",
        (
            "Whether the host's root may log in to the guest as root by SSH, with a key that role "
            "P(microvm.fleet.host#role) creates on each host.",
            "C(microvm ssh) then needs no key of the operator's on the host.",
        ),
        default=False,
    ),
    Option(
        "host_key",
        "bool",
        (
            "Whether the host gives the guest an SSH host key, as a credential. The host makes the key once, so that "
            "it is known before the first connection, and stays the same when the guest is made anew, renamed or "
            "moved. A guest that has a key of its own on a volume shows that one too.",
            "Defaults to V(true) for images that use the key, which are those that this version of the collection "
            "builds, if O(ignore:guest.enable) is true and neither a volume nor a share is mounted at C(/etc) or "
            "C(/etc/ssh). For an image by its path, set the option.",
        ),
    ),
    Option(
        "networks",
        "list",
        "Network configuration of the guest's interfaces. Interfaces that are not listed use DHCP.",
        elements="dict",
        suboptions=_NETWORKS,
    ),
)

_MACHINE: Options = (
    Option(
        "hypervisor",
        "str",
        "Hypervisor that runs the MicroVM.",
        default=next(iter(PROFILES)),
        choices=tuple(PROFILES),
        honoured_by=PACKAGE,
    ),
    Option(
        "accel",
        "str",
        (
            "How the guest's instructions are executed.",
            "V(kvm) uses the host's hardware virtualization. V(tcg) emulates the processor in software.",
            "V(auto) uses V(kvm) if a test boot shows that the host's KVM can run an ordinary kernel, and V(tcg) "
            "otherwise.",
        ),
        default="auto",
        choices=("auto", "kvm", "tcg"),
    ),
    Option(
        "guest_system",
        "str",
        (
            "Architecture of the guest, in Nix's notation. Defaults to the architecture of the host.",
            "A guest of a different architecture is emulated, which requires O(ignore:cpu).",
        ),
        choices=SYSTEMS,
    ),
    Option(
        "cpu",
        "str",
        "CPU model that QEMU presents to the guest, such as V(max) or V(cortex-a57). Defaults to the CPU of the host.",
        check=checks.cpu_model,
        trust=PLAIN,
    ),
    Option("vcpu", "int", "Number of virtual CPUs.", default=1, check=checks.positive),
    Option(
        "mem",
        "raw",
        "Memory of the guest in MiB, or a number with the suffix V(M) or V(G).",
        default="512",
        check=checks.size,
        parsed=checks.mebibytes,
    ),
    Option("hugepage_mem", "bool", "Whether to allocate the guest's memory from the host's huge pages.", default=False),
    Option(
        "hugepage_size",
        "str",
        (
            "Size of the huge pages. Defaults to the host's default size, which is V(2M) on x86_64.",
            "O(ignore:mem) must be a multiple of it. Requires O(ignore:hugepage_mem), and pages that the host has set "
            "aside, see C(microvm_huge_pages) of role P(microvm.fleet.host#role).",
        ),
        choices=("2M", "1G"),
    ),
    Option(
        "hotplug_mem",
        "raw",
        "Memory that can be hot-plugged in addition to O(ignore:mem), by virtio-mem.",
        default="0",
        check=checks.size_or_none,
        parsed=checks.mebibytes,
    ),
    Option(
        "hotplugged_mem",
        "raw",
        "Part of O(ignore:hotplug_mem) that is plugged in when the guest starts. Defaults to all of it.",
        check=checks.size_or_none,
        parsed=checks.mebibytes,
        derived=True,
    ),
    Option(
        "balloon",
        "bool",
        "Whether the guest has a balloon device, through which the host can reclaim memory from the guest.",
        default=False,
    ),
    Option(
        "initial_balloon_mem",
        "raw",
        "Memory that the balloon reclaims when the guest starts. Requires O(ignore:balloon).",
        default="0",
        check=checks.size_or_none,
        cost=LIVE,
        parsed=checks.mebibytes,
    ),
    Option("deflate_on_oom", "bool", "Whether the balloon deflates when the guest runs out of memory.", default=True),
    Option(
        "user",
        "str",
        "User that QEMU switches to after its start. By default QEMU keeps running as the user of the unit.",
        check=checks.account,
        trust=SANDBOX,
    ),
    Option(
        "socket",
        "str",
        (
            "Path of the hypervisor's control socket, absolute or relative to the MicroVM's working directory.",
            "With V(null) there is no control socket, and the MicroVM can be shut down cleanly only from inside the "
            "guest.",
            "In the default, C({name}) stands for O(ignore:name).",
        ),
        default="{name}.sock",
        nullable=True,
        check=checks.socket_path,
        trust=FILE,
    ),
    Option(
        "pre_start",
        "str",
        "Shell commands that C(microvm-run) executes before it starts the hypervisor.",
        default="",
        check=checks.shell_commands,
        honoured_by=PACKAGE,
        trust=SCRIPT,
    ),
    Option(
        "extra_args_script",
        "path",
        "Program that is run at each start and prints additional hypervisor arguments, separated by spaces.",
        check=checks.absolute_path,
        honoured_by=PACKAGE,
        trust=PROGRAM,
    ),
    Option(
        "pretty_procnames",
        "bool",
        "Whether to name the hypervisor's process C(microvm@NAME).",
        default=True,
        honoured_by=PACKAGE,
    ),
)

_SYSTEM: Options = (
    Option(
        "image",
        "str",
        (
            "Guest image: the name of an image that is installed on the host, or the absolute path of an image "
            "directory.",
            "Provides O(ignore:kernel), O(ignore:initrd_path) and O(ignore:store_disk) unless they are set.",
        ),
        check=checks.image_reference,
        honoured_by=PACKAGE,
        trust=IMAGE,
    ),
    Option(
        "kernel",
        "path",
        (
            "Path of the kernel to boot. Required if O(ignore:image) is not set.",
            "Firecracker boots only an uncompressed C(vmlinux).",
        ),
        check=checks.absolute_path,
        # MicroVMs that are being removed need none.
        derived=True,
        trust=IMAGE,
    ),
    Option("initrd_path", "path", "Path of the initial RAM disk.", check=checks.absolute_path, trust=IMAGE),
    Option(
        "kernel_params",
        "list",
        "Parameters to append to the kernel command line, one per element.",
        elements="str",
        check=checks.kernel_parameter,
        trust=PLAIN,
    ),
    Option(
        "store_on_disk",
        "bool",
        (
            "Whether to attach O(ignore:store_disk) to the MicroVM.",
            "Defaults to V(true), except for a guest without O(ignore:image) that mounts C(/nix/store) as a share.",
        ),
        derived=True,
        honoured_by=PACKAGE,
    ),
    Option("store_disk", "path", "Path of the read-only root disk.", check=checks.absolute_path, trust=IMAGE),
    Option(
        "store_disk_type",
        "str",
        "File system of O(ignore:store_disk). Images that are installed on the host override it with their own.",
        default="erofs",
        choices=("erofs", "squashfs"),
        honoured_by=GUEST,
    ),
    Option(
        "store_disk_erofs_flags",
        "list",
        "For guests built by Nix: flags of C(mkfs.erofs). They are recorded with the package and do not change it.",
        elements="str",
        check=checks.argument,
        honoured_by=RECORD,
        trust=PLAIN,
    ),
    Option(
        "store_disk_squashfs_flags",
        "list",
        "For guests built by Nix: flags of C(gensquashfs). They are recorded with the package and do not change it.",
        elements="str",
        check=checks.argument,
        honoured_by=RECORD,
        trust=PLAIN,
    ),
    Option(
        "writable_store_overlay",
        "path",
        (
            "Directory of the guest in which it keeps what it writes to C(/nix/store), such as V(/nix/.rw-store). Its "
            "image must have been built with C(nix: true), and O(ignore:shares) must have C(/nix/store) of the host.",
            "The directory is on the volume that is mounted there, and otherwise in the guest's memory. It cannot be "
            "on a share. Without the option, the guest only reads the host's store, see guests.md.",
            "For guests without O(ignore:image), which Nix has built, the option is recorded with the package and does "
            "not change it.",
        ),
        check=checks.absolute_path,
        honoured_by=GUEST,
        trust=PLAIN,
    ),
    Option(
        "register_closure",
        "bool",
        (
            "Whether the closure of O(ignore:store_paths) is registered in the Nix database of the guest, so that its "
            "Nix takes these paths for its own. Defaults to V(true) if there are such paths.",
            "For guests without O(ignore:image), which Nix has built, the option is recorded with the package and does "
            "not change it.",
        ),
        honoured_by=GUEST,
    ),
    Option(
        "store_paths",
        "list",
        (
            "Paths in the host's C(/nix/store) that the guest uses, for guests of images with C(nix: true) that have "
            "it in O(ignore:shares).",
            "The garbage collector of the host keeps them, and all that they refer to, for as long as a generation of "
            "the MicroVM names them. Any other path of the store may vanish while the guest runs.",
        ),
        elements="str",
        check=checks.store_path,
        honoured_by=GUEST,
        # The share without which it has no effect is what needs trust.
        trust=PLAIN,
    ),
    Option(
        "system_symlink",
        "bool",
        "Whether C(share/microvm/system) in the package is a symbolic link to the guest's image. Defaults to V(true) "
        "if O(ignore:image) is set.",
        derived=True,
        honoured_by=PACKAGE,
    ),
    Option("optimize", "dict", "Optimizations of the guest.", suboptions=_OPTIMIZE, honoured_by=RECORD),
    Option(
        "machine_id",
        "str",
        (
            "Machine ID of the guest: 32 hexadecimal digits, or a UUID. Defaults to a version 5 UUID derived from "
            "O(ignore:name).",
            "Hypervisors that provide SMBIOS also use it as the system UUID.",
        ),
        check=checks.machine_id,
        derived=True,
        honoured_by=GUEST,
        trust=PLAIN,
    ),
    Option(
        "register_with_machined",
        "bool",
        "Whether to register the MicroVM with systemd-machined, so that C(machinectl) lists it.",
        default=False,
    ),
    Option(
        "credential_files",
        "dict",
        (
            "System credentials for the guest's systemd: a mapping from the name of each credential to the path of "
            "the file on the host that contains it.",
            "The files are read at each start. Their contents appear in no process argument, unit, log or package. "
            "Paths must not contain blanks or backslashes, which systemd cannot pass on.",
        ),
        values="str",
        check=checks.credential_files,
        no_log=False,
        trust=FILE,
    ),
)

_ATTACHED: Options = (
    Option("vsock", "dict", "Virtual socket (vsock) of the guest.", suboptions=_VSOCK),
    Option("interfaces", "list", "Network interfaces.", elements="dict", suboptions=INTERFACES),
    Option(
        "forward_ports",
        "list",
        "Port forwardings of interfaces of type V(user).",
        elements="dict",
        suboptions=FORWARD_PORTS,
        trust=NETWORK,
    ),
    Option("volumes", "list", "Disks for persistent data of the guest.", elements="dict", suboptions=VOLUMES),
    Option(
        "shares", "list", "Directories of the host that are shared with the guest.", elements="dict", suboptions=SHARES
    ),
    Option(
        "devices",
        "list",
        "Devices of the host that are passed through to the guest.",
        elements="dict",
        suboptions=DEVICES,
        trust=DEVICE,
    ),
    Option("graphics", "dict", "Graphical display of the guest.", suboptions=GRAPHICS),
    Option(
        "virtiofsd",
        "dict",
        "Settings of virtiofsd, the daemon that serves virtiofs shares.",
        suboptions=VIRTIOFSD,
        honoured_by=PACKAGE,
    ),
    Option(
        "bin_scripts",
        "dict",
        (
            "Shell commands, keyed by the name of a script in the package. They are appended to an existing script "
            "such as C(tap-up), or become a script of their own.",
            "Commands that C(microvm-run) executes before the hypervisor belong in O(ignore:pre_start).",
        ),
        values="str",
        check=checks.bin_scripts,
        honoured_by=PACKAGE,
        trust=SCRIPT,
    ),
    Option(
        "guest",
        "dict",
        "Configuration that is applied to the guest when it boots, without rebuilding its image.",
        suboptions=_GUEST,
        honoured_by=GUEST,
    ),
)

_UNIT: Options = (
    Option(
        "isolation",
        "str",
        (
            "V(per_vm) runs the MicroVM as a user and a group of its own, so that the processes of other MicroVMs "
            "cannot open its volumes, sockets, taps and devices.",
            "V(shared) runs it as user V(microvm), which all MicroVMs with this value have in common, as microvm.nix "
            "does. The group is V(microvm) and not V(kvm), since people are in the latter to use C(/dev/kvm).",
        ),
        default="per_vm",
        choices=("per_vm", "shared"),
        honoured_by=PACKAGE,
        trust=SANDBOX,
    ),
    Option(
        "profile",
        "str",
        (
            "Sandbox of the systemd unit.",
            "V(strict) restricts the hypervisor to the devices, system calls, address families and paths that the "
            "declaration needs. V(compat) relaxes the sandbox for MicroVMs that do not work with V(strict), for "
            "example because O(ignore:pre_start) needs more access.",
        ),
        default="strict",
        choices=("strict", "compat"),
        honoured_by=PACKAGE,
        trust=SANDBOX,
    ),
    Option(
        "use_notify_sockets",
        "bool",
        (
            "Whether the unit becomes active only when the guest's systemd reports over the vsock that it is ready, "
            "instead of when the hypervisor is running.",
            "A guest that does not report this within O(ignore:startup_timeout) is stopped. Requires "
            "O(ignore:vsock.cid), and systemd 254 or newer in the guest.",
        ),
        default=False,
    ),
)

PACKAGE_OPTIONS: Options = (
    Option(
        "name",
        "str",
        "Name of the MicroVM, of its unit and of its state directory. It is also the default host name of the guest.",
        required=True,
        check=checks.name,
        honoured_by=PACKAGE,
        trust=PLAIN,
    ),
    *_MACHINE,
    *_SYSTEM,
    *_ATTACHED,
    *_UNIT,
    *HYPERVISOR_OPTIONS,
)
"""Options that determine the runner package."""

VM_OPTIONS: Options = PACKAGE_OPTIONS + HOST_OPTIONS
