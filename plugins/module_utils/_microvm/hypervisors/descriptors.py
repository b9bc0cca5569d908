# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""File descriptors that a hypervisor inherits: of macvtaps, and of an initial RAM disk."""

from __future__ import annotations

from typing import Dict, List, Mapping, Tuple

from ..declaration.vms.parse import Declaration

FIRST_DESCRIPTOR = 3
"""Lowest descriptor after standard input, output and errors."""

Descriptors = Mapping[str, List[int]]


def macvtap_descriptors(declaration: Declaration, queues: int) -> Dict[str, List[int]]:
    """Return the file descriptors of each macvtap, one for each queue."""
    names = [interface["id"] for interface in declaration["interfaces"] if interface["type"] == "macvtap"]
    starts = {name: FIRST_DESCRIPTOR + index * queues for index, name in enumerate(names)}
    return {name: list(range(start, start + queues)) for name, start in starts.items()}


def pairs(descriptors: Descriptors) -> Tuple[Tuple[str, int], ...]:
    """Return the descriptors as ``Command.macvtaps`` has them."""
    return tuple((name, descriptor) for name, own in descriptors.items() for descriptor in own)


def next_descriptor(descriptors: Descriptors) -> int:
    """Return the lowest descriptor that no macvtap has."""
    return FIRST_DESCRIPTOR + sum(map(len, descriptors.values()))
