# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Memory of a host is counted before anything is changed: ordinary one for all together, huge pages of each size."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight import memory as module
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.memory import (
    check_memory,
    memory_total,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ....examples import parse
from .placed import TAP, USER, placed


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Huge pages of a host with enough memory: 150 of 200 of 2 MiB are free, 20 of them reserved, and 1 of 1 GiB."""
    for size, total, free, reserved in ((2048, 200, 150, 20), (1048576, 1, 1, 0)):
        pool = tmp_path / f"hugepages-{size}kB"
        pool.mkdir()
        (pool / "nr_hugepages").write_text(f"{total}\n")
        (pool / "free_hugepages").write_text(f"{free}\n")
        (pool / "resv_hugepages").write_text(f"{reserved}\n")
    monkeypatch.setattr(module, "_POOL", str(tmp_path / "hugepages-{size}kB"))
    monkeypatch.setattr(module, "HUGE_PAGES", "/proc")
    set_memory(monkeypatch)
    return tmp_path


def set_memory(monkeypatch: pytest.MonkeyPatch, **sizes: int) -> None:
    """Set fields of /proc/meminfo, in KiB."""
    fields = {"MemTotal": 8 << 20, "Hugepagesize": 2048, "Hugetlb": 1 << 20, **sizes}
    monkeypatch.setattr(module, "_meminfo", lambda: fields)


def huge(name: str, mem: int, **options: Any) -> dict[str, Any]:
    return {"name": name, "kernel": "/k", "mem": mem, "hugepage_mem": True, **options}


def test_memory_is_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    set_memory(monkeypatch, MemTotal=599 * 1024, Hugetlb=0)
    check_memory(placed(USER), {})
    with pytest.raises(DeclarationError, match="600 MiB in all") as refusal:
        check_memory(placed(USER, TAP), {})
    assert refusal.value.path == "vms[1].mem"


def test_pages_that_are_set_aside_are_no_ordinary_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    set_memory(monkeypatch)
    assert memory_total() == 7 * 1024


@pytest.mark.parametrize("mem", [260, 130])
def test_huge_pages_that_are_free_are_enough(memory: Path, mem: int) -> None:
    check_memory(placed(huge("a", mem)), {})


@pytest.mark.parametrize("hypervisor", ["qemu", "cloud-hypervisor", "kvmtool", "stratovirt", "firecracker"])
def test_more_huge_pages_than_are_free_are_refused(memory: Path, hypervisor: str) -> None:
    declared = placed(huge("a", 200, hypervisor=hypervisor), huge("b", 62, hypervisor=hypervisor))
    with pytest.raises(DeclarationError, match=r"31 huge pages .*\(131 pages in all\) exceed the 130") as why:
        check_memory(declared, {})
    assert why.value.path == "vms[1].hugepage_mem"


def test_huge_pages_have_the_host_s_default_size_or_that_of_the_hypervisor(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_memory(monkeypatch, Hugepagesize=1048576)
    check_memory(placed(huge("a", 1024), huge("b", 260, hypervisor="firecracker")), {})
    with pytest.raises(DeclarationError, match="2 huge pages of 1048576 KiB"):
        check_memory(placed(huge("a", 1026)), {})


def test_huge_pages_have_the_declared_size(memory: Path) -> None:
    check_memory(placed(huge("a", 1024, hugepage_size="1G"), huge("b", 260, hugepage_size="2M")), {})
    with pytest.raises(DeclarationError, match="2 huge pages of 1048576 KiB exceed the 1 that"):
        check_memory(placed(huge("a", 2048, hugepage_size="1G")), {})


def test_a_hypervisor_that_makes_files_of_huge_pages_needs_them_mounted(
    memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HUGE_PAGES", str(memory))
    check_memory(placed(huge("a", 2, hypervisor="cloud-hypervisor")), {})
    with pytest.raises(DeclarationError, match=r"start dev-hugepages\.mount") as refusal:
        check_memory(placed(huge("a", 2, hypervisor="kvmtool")), {})
    assert refusal.value.path == "vms[0].hugepage_mem"


def test_transparent_huge_pages_need_none_that_are_set_aside(memory: Path) -> None:
    check_memory(placed(huge("a", 4096, hypervisor="crosvm")), {})


def test_a_host_without_huge_pages_has_none_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POOL", str(tmp_path / "{size}"))
    set_memory(monkeypatch)
    with pytest.raises(DeclarationError, match="exceed the 0 that"):
        check_memory(placed(huge("a", 2)), {})


@pytest.mark.parametrize(
    ("unit", "is_enough"), [(Unit(active_state="active", sub_state="running"), True), (Unit(), False)]
)
def test_a_running_microvm_gives_its_huge_pages_back_before_it_starts_anew(
    memory: Path, unit: Unit, is_enough: bool
) -> None:
    (running,) = parse(huge("a", 100))
    observed = {"a": dataclasses.replace(Observed("a"), unit=unit, booted_declared=running)}
    if is_enough:
        check_memory(placed(huge("a", 360)), observed)
    with pytest.raises(DeclarationError, match="huge pages"):
        check_memory(placed(huge("a", 362)), observed)


@pytest.mark.parametrize(("declared", "free"), [(1000, 930), (200, 130), (71, 1), (30, 0)])
def test_pages_that_the_same_run_sets_aside_are_free_but_for_those_in_use(
    memory: Path, declared: int, free: int
) -> None:
    expected = [(2048, declared)]
    if free:
        check_memory(placed(huge("a", 2 * free)), {}, expected)
    with pytest.raises(DeclarationError, match=f"exceed the {free} that"):
        check_memory(placed(huge("a", 2 * free + 2)), {}, expected)


def test_a_new_host_gets_its_first_huge_pages_unless_its_processor_has_none_of_that_size(
    tmp_path: Path, memory: Path
) -> None:
    for name in ("nr_hugepages", "free_hugepages"):
        (tmp_path / "hugepages-1048576kB" / name).write_text("0\n")
    check_memory(placed(huge("a", 4096, hugepage_size="1G")), {}, [(1048576, 4), (2048, 200)])
    (tmp_path / "hugepages-1048576kB").rename(tmp_path / "others")
    with pytest.raises(DeclarationError, match="exceed the 0 that"):
        check_memory(placed(huge("a", 1024, hugepage_size="1G")), {}, [(1048576, 4)])


def test_pages_that_the_same_run_sets_aside_are_no_ordinary_memory(memory: Path) -> None:
    check_memory(placed({**USER, "mem": 6144}), {}, [(1048576, 2)])
    with pytest.raises(DeclarationError, match="exceed the 6144 MiB"):
        check_memory(placed({**USER, "mem": 6145}), {}, [(1048576, 2)])
