# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the folders of hypervisors.

"""Profiles of all hypervisors, by name."""

from __future__ import annotations

from typing import Dict

from .alioth.profile import PROFILE as ALIOTH
from .cloud_hypervisor.profile import PROFILE as CLOUD_HYPERVISOR
from .crosvm.profile import PROFILE as CROSVM
from .firecracker.profile import PROFILE as FIRECRACKER
from .kvmtool.profile import PROFILE as KVMTOOL
from .profile import Profile
from .qemu.profile import PROFILE as QEMU
from .stratovirt.profile import PROFILE as STRATOVIRT
from .vfkit.profile import PROFILE as VFKIT

PROFILES: Dict[str, Profile] = {
    profile.name: profile
    for profile in (
        QEMU,
        CLOUD_HYPERVISOR,
        FIRECRACKER,
        CROSVM,
        KVMTOOL,
        STRATOVIRT,
        ALIOTH,
        VFKIT,
    )
}
