# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Profile of alioth 0.12."""

from __future__ import annotations

from ..profile import ANY, Profile
from ..profile_parts import ASKED, BY_VSOCK, EXTRA_ARGS, LINUX, WITH_VIRTIOFSD, group, package

PROFILE = Profile(
    name="alioth",
    order=70,
    group=group("alioth", "Options of alioth.", EXTRA_ARGS, package("alioth")),
    honours={
        **WITH_VIRTIOFSD,
        "on_poweroff": ("restart", "stop"),
        "interfaces[].type": ("tap", "macvtap"),
        "shares[].proto": ("virtiofs",),
        "shares[].read_only": ANY,
    },
    systems=LINUX,
    vcpus=255,
    serials=False,
    credentials="initrd",
    stop=ASKED + ", to power off.",
    ready=BY_VSOCK,
    on_poweroff="exits; so it does after a triple fault, which is taken for a poweroff",
    on_reboot="reboots in place, by ACPI (`reboot=a` is the default here)",
)
