# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of single hypervisors, and of the programs beside them. A group has no effect on other hypervisors."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import Option, Options

GRAPHICS: Options = (
    Option("enable", "bool", "Give the guest a display.", default=False),
    Option(
        "backend",
        "str",
        "Where QEMU shows the display.",
        default="gtk",
        choices=("gtk", "headless", "cocoa"),
    ),
    Option(
        "vulkan",
        "str",
        "How QEMU's guest gets Vulkan. By default not at all.",
        choices=("venus", "drm_native_context"),
    ),
    Option(
        "hostmem", "str", "Memory that QEMU shares with the guest for Vulkan.", default="256M", check=checks.byte_size
    ),
    Option(
        "socket",
        "str",
        (
            "Socket between the hypervisor and crosvm's GPU device.",
            "In the default, C({name}) stands for O(ignore:name).",
        ),
        default="{name}-gpu.sock",
        check=checks.socket_path,
    ),
    Option(
        "crosvm_package",
        "str",
        "crosvm whose GPU device Cloud Hypervisor and crosvm use; see O(ignore:crosvm.package).",
        check=checks.package_path,
    ),
)

VIRTIOFSD: Options = (
    Option(
        "inode_file_handles",
        "str",
        "Whether virtiofsd uses file handles in place of open files: V(never), V(prefer) or V(mandatory). V(null) is "
        "virtiofsd's own default.",
        default="prefer",
        choices=("never", "prefer", "mandatory"),
        nullable=True,
    ),
    Option(
        "thread_pool_size",
        "raw",
        "Threads of virtiofsd. V(nproc) is the number of the host's processors.",
        default="nproc",
        check=checks.threads,
    ),
    Option(
        "group",
        "str",
        (
            "Group that may connect to the sockets. V(null) is virtiofsd's own only.",
            "In the default, C({group}) stands for the MicroVM's own group, see O(ignore:isolation).",
        ),
        default="{group}",
        nullable=True,
        check=checks.account_or_own,
    ),
    Option("extra_args", "list", "More arguments of each virtiofsd.", elements="str", check=checks.argument),
    Option("package", "str", "virtiofsd; see O(ignore:qemu.package).", check=checks.package_path),
)


def _package(program: str) -> Option:
    return Option(
        "package",
        "str",
        (
            f"Where C({program}) is: a directory whose C(bin) has it, or the program's own path, in a directory called "
            "C(bin), C(sbin) or C(libexec), or its name.",
            "By default it is looked for in C(PATH).",
        ),
        check=checks.package_path,
    )


_EXTRA_ARGS = Option("extra_args", "list", "More arguments, each an element.", elements="str", check=checks.argument)

_PCIE_ROOT_PORTS: Options = (
    Option("id", "str", "Name of the port, for O(ignore:devices[].qemu.bus).", required=True, check=checks.qemu_id),
    Option("bus", "str", "Bus that the port is on, such as V(pcie.0).", check=checks.qemu_id),
    Option("chassis", "raw", "Number of the chassis.", check=checks.number),
    Option("slot", "raw", "Number of the slot.", check=checks.number),
    Option("addr", "str", "Address on the bus.", check=checks.qemu_id),
)

_QEMU: Options = (
    Option(
        "machine",
        "str",
        "Type of the machine. By default V(microvm) on x86_64 and V(virt) on aarch64.",
        check=checks.qemu_id,
    ),
    Option(
        "machine_opts",
        "dict",
        "Options of the machine in place of ours, texts all of them. An empty mapping is none at all.",
        values="str",
        nullable=True,
    ),
    _EXTRA_ARGS,
    Option(
        "serial_console", "bool", "The guest has a serial console, which is standard input and output.", default=True
    ),
    Option(
        "pcie_root_ports", "list", "Ports that devices can be put on.", elements="dict", suboptions=_PCIE_ROOT_PORTS
    ),
    _package("qemu-system-ARCHITECTURE"),
)

_CLOUD_HYPERVISOR: Options = (
    Option(
        "platform_oem_strings",
        "list",
        (
            "SMBIOS strings for the guest.",
            "They are arguments, which every user of the host can read: secrets are O(ignore:credential_files).",
        ),
        elements="str",
        check=checks.oem_string,
    ),
    _EXTRA_ARGS,
    _package("cloud-hypervisor"),
)

_CROSVM: Options = (
    Option("pivot_root", "path", "Empty directory that crosvm's devices are confined to.", check=checks.absolute_path),
    _EXTRA_ARGS,
    _package("crosvm"),
)

_FIRECRACKER: Options = (
    Option("cpu", "dict", "Custom CPU template, see Firecracker's documentation."),
    Option(
        "drive_io_engine",
        "str",
        "How Firecracker reads and writes disks. V(Async) is faster; Firecracker calls it a developer preview.",
        default="Async",
        choices=("Async", "Sync"),
    ),
    _EXTRA_ARGS,
    Option("extra_config", "dict", "Merged over the configuration that we write, key by key."),
    _package("firecracker"),
)

_ROSETTA: Options = (
    Option("enable", "bool", "Let the guest run x86_64 programs by Rosetta.", default=False),
    Option("install", "bool", "Install Rosetta at the start where it is missing.", default=False),
    Option("ignore_if_missing", "bool", "Start without Rosetta where it is missing.", default=False),
)

_VFKIT: Options = (
    _EXTRA_ARGS,
    Option(
        "log_level",
        "str",
        "How much vfkit says: V(debug), V(info) or V(error). V(null) is vfkit's own default.",
        default="info",
        choices=("debug", "info", "error"),
        nullable=True,
    ),
    Option("rosetta", "dict", "Programs for x86_64.", suboptions=_ROSETTA),
    _package("vfkit"),
)

HYPERVISOR_OPTIONS: Options = (
    Option("qemu", "dict", "QEMU.", suboptions=_QEMU),
    Option("cloud_hypervisor", "dict", "Cloud Hypervisor.", suboptions=_CLOUD_HYPERVISOR),
    Option("firecracker", "dict", "Firecracker.", suboptions=_FIRECRACKER),
    Option("crosvm", "dict", "crosvm.", suboptions=_CROSVM),
    Option("kvmtool", "dict", "kvmtool.", suboptions=(_EXTRA_ARGS, _package("lkvm"))),
    Option("stratovirt", "dict", "StratoVirt.", suboptions=(_EXTRA_ARGS, _package("stratovirt"))),
    Option("alioth", "dict", "alioth.", suboptions=(_EXTRA_ARGS, _package("alioth"))),
    Option("vfkit", "dict", "vfkit, for hosts with macOS: only packages are made for it.", suboptions=_VFKIT),
)
