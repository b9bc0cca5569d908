# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profile of StratoVirt 2.5."""

from __future__ import annotations

from ..profile import ANY, KernelNeed, Profile
from ..profile_parts import ASKED, BY_VSOCK, EXITS, EXTRA_ARGS, LINUX, WITH_VIRTIOFSD, group, package

PROFILE = Profile(
    name="stratovirt",
    order=60,
    group=group("stratovirt", "Options of StratoVirt.", EXTRA_ARGS, package("stratovirt")),
    honours={
        **WITH_VIRTIOFSD,
        "hugepage_mem": ANY,
        # Without a first size.
        "balloon": ANY,
        "deflate_on_oom": ANY,
        "ready.check": ("auto", "ssh", "tcp", "vsock", "hypervisor", "none"),
        # The process goes on when the guest powers off.
        "on_reboot": ("restart", "stop"),
        "interfaces[].type": ("tap", "macvtap"),
        "interfaces[].tap.vhost": ANY,
        "volumes[].serial": ANY,
        "volumes[].direct": ANY,
        "shares[].proto": ("virtiofs",),
        "shares[].read_only": ANY,
    },
    systems=LINUX,
    vcpus=254,
    serials=True,
    credentials="initrd",
    stop=ASKED + ", to reboot.",
    ready="QMP reports that the guest is running; " + BY_VSOCK,
    on_poweroff="keeps running (reboot instead)",
    on_reboot=EXITS,
    clean_end="reboot",
    kernel_needs=(
        KernelNeed(
            "CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES",
            "hypervisor",
            "stratovirt",
            reason="its machine, which has no ACPI, names disks and interfaces on the kernel's command line",
            remedy="set `kernel` and `initrd_path` to a kernel that is built with it, or choose another hypervisor",
            architectures=("x86_64",),
        ),
    ),
    makes_huge_page_files=True,
)
