# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sizes of huge pages, and where the kernel has a pool of each."""

from __future__ import annotations

HUGE_PAGE_SIZES = {"64K": 64, "2M": 2048, "32M": 32 << 10, "512M": 512 << 10, "1G": 1 << 20, "16G": 16 << 20}
"""Sizes of the processors that MicroVMs run on, in KiB: 2M and 1G with x86_64, others with aarch64."""

HUGE_PAGE_POOLS = "/sys/kernel/mm/hugepages"
"""Directory of the kernel's pools of huge pages."""

HUGE_PAGE_POOL = HUGE_PAGE_POOLS + "/hugepages-{size}kB"
"""Directory of the pool of one size, in KiB."""


def pages_file(size: str) -> str:
    """Return the file with the number of pages of a size that are set aside."""
    return f"{HUGE_PAGE_POOL.format(size=HUGE_PAGE_SIZES[size])}/nr_hugepages"


def page_size(path: str) -> int:
    """Return the KiB of the pages whose number such a file has."""
    return next(size for size in HUGE_PAGE_SIZES.values() if path.startswith(f"{HUGE_PAGE_POOL.format(size=size)}/"))
