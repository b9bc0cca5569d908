# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profile of StratoVirt 2.5."""

from __future__ import annotations

from ...schema.options import Option
from ..profile import ANY, KernelNeed, Profile
from ..profile_parts import ASKED, BY_VSOCK, EXTRA_ARGS, LINUX, WITH_VIRTIOFSD, group, package

MICROVM, STANDARD = "microvm", "standard"

_GROUP = group(
    "stratovirt",
    "Options of StratoVirt.",
    Option(
        "machine",
        "str",
        (
            "Machine of the guest. V(microvm) has few devices, on virtio-mmio, and no ACPI. V(standard) is called q35 "
            "by StratoVirt on x86_64, and virt on aarch64; its devices are on PCI.",
            "On x86_64, guests of V(microvm) need a kernel that is built with C(CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES), "
            "which Debian's kernels are not. Defaults to V(standard) on x86_64 with the kernel of O(ignore:image), and "
            "to V(microvm) otherwise.",
        ),
        choices=(MICROVM, STANDARD),
    ),
    EXTRA_ARGS,
    package("stratovirt"),
)


PROFILE = Profile(
    name="stratovirt",
    order=60,
    group=_GROUP,
    honours={
        **WITH_VIRTIOFSD,
        "hugepage_mem": ANY,
        # Without a first size.
        "balloon": ANY,
        "deflate_on_oom": ANY,
        "ready.check": ("auto", "ssh", "tcp", "vsock", "notify", "hypervisor", "none"),
        # Either with one of the machines.
        "on_reboot": ("restart", "stop"),
        "on_poweroff": ("restart", "stop"),
        "interfaces[].type": ("tap", "macvtap"),
        "interfaces[].tap.vhost": ANY,
        "volumes[].serial": ANY,
        "volumes[].direct": ANY,
        "shares[].proto": ("virtiofs",),
        "shares[].read_only": ANY,
    },
    reports_free_pages=True,
    systems=LINUX,
    vcpus=254,
    serials=True,
    credentials="initrd",
    stop=ASKED + ", to power off, or with `machine: microvm` to reboot.",
    ready="QMP reports that the guest is running; " + BY_VSOCK,
    on_poweroff="exits; so it does after a triple fault, which is taken for a poweroff. With `machine: microvm` it "
    "keeps running (reboot instead)",
    on_reboot="reboots in place, by ACPI (`reboot=a` is the default here). With `machine: microvm` it exits",
    kernel_needs=(
        KernelNeed(
            "CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES",
            "stratovirt.machine",
            MICROVM,
            reason="without ACPI, this machine names disks and interfaces on the kernel's command line",
            remedy="set it to standard, or `kernel` and `initrd_path` to a kernel that is built with it",
            architectures=("x86_64",),
        ),
        KernelNeed(
            "CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES",
            "stratovirt.machine",
            None,
            reason="without the kernel of `image` it is microvm, which names disks and interfaces on the kernel's "
            "command line",
            remedy="set it to standard, or `kernel` and `initrd_path` to a kernel that is built with it",
            architectures=("x86_64",),
        ),
    ),
    makes_huge_page_files=True,
)
