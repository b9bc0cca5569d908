# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profile of QEMU 11.1."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import ARGUMENTS, PLAIN, Option, Options
from ..profile import ANY, KernelNeed, Profile
from ..profile_parts import BY_VSOCK, EXITS, EXTRA_ARGS, LINUX, WITH_VIRTIOFSD, group, package

_IDENTIFIER = checks.pattern(
    r"[A-Za-z0-9][A-Za-z0-9_.-]*", "is not a QEMU identifier: use letters, digits, '.', '_' and '-'"
)

_PCIE_ROOT_PORTS: Options = (
    Option(
        "id",
        "str",
        "Identifier of the port, to which O(ignore:devices[].qemu.bus) refers.",
        required=True,
        check=_IDENTIFIER,
        trust=PLAIN,
    ),
    Option("bus", "str", "Bus that the port is attached to, such as V(pcie.0).", check=_IDENTIFIER, trust=PLAIN),
    Option("chassis", "raw", "Chassis number of the port.", check=checks.number),
    Option("slot", "raw", "Slot number of the port.", check=checks.number),
    Option("addr", "str", "Address of the port on the bus.", check=_IDENTIFIER, trust=PLAIN),
)

_GROUP = group(
    "qemu",
    "Options of QEMU.",
    Option(
        "machine",
        "str",
        "Machine type. Defaults to V(microvm) on x86_64 and V(virt) on aarch64.",
        check=_IDENTIFIER,
        trust=PLAIN,
    ),
    Option(
        "machine_opts",
        "dict",
        "Machine options that replace the default ones. All values are strings. An empty mapping sets no option.",
        values="str",
        check=checks.machine_options,
        nullable=True,
        trust=ARGUMENTS,
    ),
    EXTRA_ARGS,
    Option(
        "serial_console",
        "bool",
        "Whether the guest has a serial console, connected to standard input and output.",
        default=True,
    ),
    Option(
        "pcie_root_ports",
        "list",
        "PCI Express root ports that devices can be attached to.",
        elements="dict",
        suboptions=_PCIE_ROOT_PORTS,
    ),
    package("qemu-system-ARCHITECTURE"),
)

_DEVICE: Options = (
    Option("id", "str", "QEMU identifier of the device.", check=_IDENTIFIER, trust=PLAIN),
    Option(
        "bus",
        "str",
        "Bus that the device is attached to, such as a port in O(ignore:qemu.pcie_root_ports).",
        check=_IDENTIFIER,
        trust=PLAIN,
    ),
    Option(
        "device_extra_args",
        "str",
        "Additional properties of the device, in the syntax of C(-device).",
        check=checks.argument,
    ),
)

PROFILE = Profile(
    name="qemu",
    order=10,
    group=_GROUP,
    additions={"devices[]": (Option("qemu", "dict", "Device options of QEMU.", suboptions=_DEVICE),)},
    honours={
        **WITH_VIRTIOFSD,
        "accel": ("auto", "kvm", "tcg"),
        "cpu": ANY,
        "hugepage_mem": ANY,
        "hugepage_size": ("2M", "1G"),
        "hotplug_mem": ANY,
        "hotplugged_mem": ANY,
        "balloon": ANY,
        "initial_balloon_mem": ANY,
        "deflate_on_oom": ANY,
        "user": ANY,
        "ready.check": ("auto", "ssh", "tcp", "vsock", "notify", "hypervisor", "none"),
        "on_reboot": ("restart", "stop"),
        "on_poweroff": ("restart", "stop"),
        "interfaces[].type": ("user", "tap", "macvtap", "bridge"),
        "interfaces[].tap.vhost": ANY,
        "forward_ports": ANY,
        "forward_ports[].from": ("host", "guest"),
        "forward_ports[].proto": ("tcp", "udp"),
        "forward_ports[].host.address": ANY,
        "forward_ports[].host.port": ANY,
        "forward_ports[].guest.address": ANY,
        "forward_ports[].guest.port": ANY,
        "volumes[].serial": ANY,
        "volumes[].direct": ANY,
        "volumes[].image_type": ("raw", "qcow2", "vhd", "vhdx"),
        "shares[].proto": ("9p", "virtiofs"),
        "shares[].read_only": ANY,
        "shares[].security_model": ("none", "passthrough", "mapped", "mapped-xattr", "mapped-file"),
        "devices[].bus": ("pci", "usb"),
        "devices[].qemu.id": ANY,
        "devices[].qemu.bus": ANY,
        "devices[].qemu.device_extra_args": ANY,
        "graphics.enable": ANY,
        "graphics.backend": ("gtk", "headless", "cocoa"),
        "graphics.vulkan": ("venus", "drm_native_context"),
        "graphics.hostmem": ANY,
    },
    packages={"qemu-system-x86_64": "qemu-system-x86", "qemu-system-aarch64": "qemu-system-arm"},
    reports_free_pages=True,
    systems=(*LINUX, "aarch64-darwin"),
    vcpus=288,
    serials=True,
    credentials="fw_cfg",
    stop="ACPI power button over QMP; the guest needs the module `button`. On aarch64 without UEFI it needs "
    "`gpio_keys` and `evdev`, which Debian's cloud kernel lacks: shut such guests down from inside.",
    ready="QMP reports that the guest is running; " + BY_VSOCK,
    on_poweroff=EXITS,
    on_reboot=EXITS,
    kernel_needs=(
        KernelNeed(
            "CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES",
            "qemu.machine_opts.acpi",
            "off",
            reason="without ACPI, its machine microvm names disks and interfaces on the kernel's command line",
            remedy="set it to on, or `qemu.machine` to q35, or `kernel` and `initrd_path` to a kernel that is built "
            "with it",
            architectures=("x86_64",),
            besides={"qemu.machine": (None, "microvm")},
        ),
    ),
    needs_internet_sockets=False,
)
