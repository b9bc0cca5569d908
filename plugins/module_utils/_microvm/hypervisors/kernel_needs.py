# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings of a guest's kernel that a declaration needs: what each hypervisor needs, and what all of them do."""

from __future__ import annotations

from typing import Iterator, Mapping, Optional, Tuple

from ..declaration.vms.parse import Declaration
from .facts import HostFacts
from .profile import KernelNeed, Value
from .profiles import PROFILES
from .refusals import values_at
from .registry import needs

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
    for need in (*needs(declaration, facts), *OF_ALL):
        if architecture in need.architectures and _is_besides(declaration, need):
            yield from ((key, need) for key, value in _values(declaration, need.option) if value == need.value)


def _is_besides(declaration: Declaration, need: KernelNeed) -> bool:
    return all(_value(declaration, path) in values for path, values in need.besides.items())


def _values(declaration: Declaration, path: str) -> Iterator[Tuple[str, Optional[Value]]]:
    if "[]" in path:
        yield from values_at(declaration, path)
    else:
        yield path, _value(declaration, path)


def _value(declaration: Declaration, path: str) -> Optional[Value]:
    """Return the value of an option that is in no list, or of a key of a free mapping, which may not be there."""
    value: object = declaration
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, (str, bool)) else None
