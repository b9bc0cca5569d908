# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the folders of hypervisors.

"""Command lines of all hypervisors, by name."""

from __future__ import annotations

from typing import Dict

from .alioth.command import HYPERVISOR as ALIOTH
from .cloud_hypervisor.command import HYPERVISOR as CLOUD_HYPERVISOR
from .crosvm.command import HYPERVISOR as CROSVM
from .firecracker.command import HYPERVISOR as FIRECRACKER
from .hypervisor import Hypervisor
from .kvmtool.command import HYPERVISOR as KVMTOOL
from .qemu.command import HYPERVISOR as QEMU
from .stratovirt.command import HYPERVISOR as STRATOVIRT
from .vfkit.command import HYPERVISOR as VFKIT

HYPERVISORS: Dict[str, Hypervisor] = {
    hypervisor.profile.name: hypervisor
    for hypervisor in (
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
