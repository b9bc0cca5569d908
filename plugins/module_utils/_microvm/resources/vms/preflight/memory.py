# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verify that a host has the memory that its MicroVMs need: ordinary one, and huge pages."""

from __future__ import annotations

import os
from typing import Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from ....declaration.huge_pages import HUGE_PAGE_POOL as _POOL
from ....declaration.huge_pages import HUGE_PAGE_SIZES
from ....declaration.names import HUGE_PAGES
from ....declaration.types import PackagedVm
from ....host import files
from ....hypervisors.profiles import PROFILES
from ....schema.errors import DeclarationError
from ..state import Observed
from .expected import Placed, together


def check_memory(
    placed: Placed, observed: Mapping[str, Observed], expected_pages: Sequence[Tuple[int, int]] = ()
) -> None:
    """Refuse MicroVMs that need more memory than a host has; ``observed`` are those that it has by name.

    ``expected_pages`` are the numbers of huge pages that the same run sets aside before, by their KiB.

    Raises DeclarationError.
    """
    pools = {size: _pool(size) for size in {size for size, _count in expected_pages}}
    pools.update({size: _pool(size) for size in {_page_size(vm) for _path, vm in placed} - {0}})
    # A processor that has no pages of a size gets none.
    changes = {size: count - pools[size].total for size, count in expected_pages if pools[size].exists}
    taken = sum(size * change for size, change in changes.items()) // 1024
    _check_ordinary([(path, vm) for path, vm in placed if not _page_size(vm)], memory_total() - taken)
    _check_mount(placed)
    for size in sorted({_page_size(vm) for _path, vm in placed} - {0}):
        users = [(path, vm) for path, vm in placed if _page_size(vm) == size]
        held = sum(_held(observed.get(vm["name"]), size) for _path, vm in users)
        _check_huge(users, size, max(0, pools[size].free + changes.get(size, 0)) + held)


def _check_ordinary(placed: Placed, available: int) -> None:
    needed = 0
    for path, declaration in placed:
        needed += declaration["mem"]
        if needed > available:
            raise DeclarationError(
                f"{path}.mem",
                f"{declaration['mem']} MiB{together(needed, declaration['mem'], 'MiB')} exceed the {available} MiB of "
                "this host; declare less, or run it elsewhere",
            )


def _check_huge(placed: Placed, size: int, available: int) -> None:
    needed = 0
    for path, declaration in placed:
        own = _pages(declaration, size)
        needed += own
        if needed > available:
            raise DeclarationError(
                f"{path}.hugepage_mem",
                f"{own} huge pages of {size} KiB{together(needed, own, 'pages')} exceed the {available} that this "
                "host has free; set more aside (microvm_huge_pages of role host, or hugepagesz= and hugepages= on the "
                "host's kernel command line), declare less memory, or remove this option",
            )


def _check_mount(placed: Placed) -> None:
    """Refuse hypervisors that make files of huge pages where these are not mounted."""
    for path, declaration in placed:
        makes_file = declaration["hugepage_mem"] and PROFILES[declaration["hypervisor"]].makes_huge_page_files
        if makes_file and not os.path.ismount(HUGE_PAGES):
            raise DeclarationError(
                f"{path}.hugepage_mem",
                f"{declaration['hypervisor']} takes huge pages from {HUGE_PAGES}, where this host has none mounted; "
                "mount them (systemctl start dev-hugepages.mount), or remove this option",
            )


def _page_size(declaration: PackagedVm) -> int:
    """Return the KiB of the reserved pages that a MicroVM's memory is made of; 0 for memory that needs none."""
    kind = PROFILES[declaration["hypervisor"]].huge_pages
    if not declaration["hugepage_mem"] or kind is None:
        return 0
    size = declaration["hugepage_size"]
    return HUGE_PAGE_SIZES[size] if size else kind or _meminfo()["Hugepagesize"]


def _pages(declaration: PackagedVm, size: int) -> int:
    return -(-(declaration["mem"] + declaration["hotplugged_mem"]) * 1024 // size)


def _held(observed: Optional[Observed], size: int) -> int:
    """Return the pages that a MicroVM has already, and gives back before it starts anew."""
    running = observed.booted_declared if observed is not None and observed.unit.running else None
    return _pages(running, size) if running is not None and _page_size(running) == size else 0


class _Pool(NamedTuple):
    """Huge pages of one size."""

    exists: bool
    total: int
    free: int
    """Pages that nobody has or has reserved."""


def _pool(size: int) -> _Pool:
    """Return the huge pages of so many KiB."""
    texts = [
        files.read_text(f"{_POOL.format(size=size)}/{name}")
        for name in ("nr_hugepages", "free_hugepages", "resv_hugepages")
    ]
    total, free, reserved = (int((text or "0").strip()) for text in texts)
    return _Pool(texts[0] is not None, total, free - reserved)


def memory_total() -> int:
    """The host's memory in MiB (proc_meminfo(5)), without what is set aside for huge pages."""
    sizes = _meminfo()
    return (sizes["MemTotal"] - sizes.get("Hugetlb", 0)) // 1024


def _meminfo() -> Dict[str, int]:
    """Return the sizes of proc_meminfo(5) in KiB."""
    fields = (line.partition(":") for line in (files.read_text("/proc/meminfo") or "").splitlines())
    return {name: int(value.split()[0]) for name, _colon, value in fields}
