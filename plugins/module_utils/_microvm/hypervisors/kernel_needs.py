# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of a guest's kernel that a declaration needs: what each hypervisor needs, and what all of them do."""

from __future__ import annotations

from typing import Iterator, Tuple

from ..declaration.vms.parse import Declaration
from .facts import HostFacts
from .profile import KernelNeed
from .profiles import PROFILES
from .refusals import values_at
from .registry import profile

OF_ALL: Tuple[KernelNeed, ...] = (
    KernelNeed(
        "CONFIG_NET_9P_VIRTIO",
        "shares[].proto",
        "9p",
        reason="the guest mounts this share by 9p",
        remedy="set `proto: virtiofs`, or another `kernel_package` for the image (Debian's for clouds have no 9p)",
    ),
)
"""Needs of options, whichever hypervisor serves them."""

SETTINGS: Tuple[str, ...] = tuple(
    sorted({need.setting for need in (*OF_ALL, *(need for own in PROFILES.values() for need in own.kernel_needs))})
)
"""Names of all settings that a declaration may need."""


def kernel_needs(declaration: Declaration, facts: HostFacts) -> Iterator[Tuple[str, KernelNeed]]:
    """Yield what a declaration needs of its guest's kernel, with the path of the option that needs it."""
    architecture = facts.guest(declaration)
    for need in (*profile(declaration).kernel_needs, *OF_ALL):
        if architecture in need.architectures:
            yield from ((key, need) for key, value in values_at(declaration, need.option) if value == need.value)
