# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profile of Cloud Hypervisor 53."""

from __future__ import annotations

from ...schema import checks
from ...schema.options import PLAIN, Option
from ..profile import ANY, Profile
from ..profile_parts import EXITS, EXTRA_ARGS, LINUX, NOTIFIES, WITH_VIRTIOFSD, group, package

_GROUP = group(
    "cloud_hypervisor",
    "Options of Cloud Hypervisor.",
    Option(
        "platform_oem_strings",
        "list",
        (
            "SMBIOS OEM strings for the guest.",
            "They are passed as process arguments, which every user of the host can read. Pass secrets through "
            "O(ignore:credential_files) instead.",
        ),
        elements="str",
        check=checks.oem_string,
        trust=PLAIN,
    ),
    EXTRA_ARGS,
    package("cloud-hypervisor"),
)

PROFILE = Profile(
    name="cloud-hypervisor",
    order=20,
    group=_GROUP,
    honours={
        **WITH_VIRTIOFSD,
        "hugepage_mem": ANY,
        "hugepage_size": ("2M", "1G"),
        "hotplug_mem": ANY,
        "hotplugged_mem": ANY,
        "balloon": ANY,
        "initial_balloon_mem": ANY,
        "deflate_on_oom": ANY,
        # The process goes on when the guest reboots.
        "on_poweroff": ("restart", "stop"),
        "interfaces[].type": ("tap", "macvtap"),
        "volumes[].serial": ANY,
        "volumes[].direct": ANY,
        "volumes[].image_type": ("raw", "qcow2", "vhd", "vhdx"),
        "shares[].proto": ("virtiofs",),
        "shares[].read_only": ANY,
        "devices[].bus": ("pci",),
        "graphics.enable": ANY,
    },
    reports_free_pages=True,
    systems=LINUX,
    vcpus=254,
    serials=True,
    credentials="initrd",
    stop="`vm.power-button` over the API socket; the guest needs the module `button`.",
    ready=NOTIFIES,
    has_kernel_vsock=False,
    on_poweroff=EXITS,
    on_reboot="reboots in place",
    leaves=("{socket}.lock",),
)
