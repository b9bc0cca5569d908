# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes that have taps and macvtaps open, found by their files."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import device_users
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.device_users import (
    find_node_users,
    find_users,
)


def process(proc: Path, number: str, command: str, *opened: str, tap: str = "") -> None:
    """Add a process that has files open."""
    for directory in ("fd", "fdinfo"):
        (proc / number / directory).mkdir(parents=True)
    (proc / number / "comm").write_text(f"{command}\n")
    for index, target in enumerate(opened):
        (proc / number / "fd" / str(index)).symlink_to(target)
        (proc / number / "fdinfo" / str(index)).write_text(f"pos:\t0\niff:\t{tap}\n" if tap else "pos:\t0\n")


@pytest.fixture(name="proc")
def _proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "meminfo").touch()
    process(tmp_path, "1", "init", "/etc/hostname", "/dev/zero", "/gone")
    process(tmp_path, "10", "qemu", "/dev/net/tun", tap="lab0")
    process(tmp_path, "9", "crosvm", "/dev/null", "/dev/net/tun", tap="lab2")
    monkeypatch.setattr(
        device_users, "macvtap_node", lambda index: {7: "/dev/null"}.get(index, f"/dev/tap{index}-gone")
    )
    return tmp_path


def test_taps_are_found_by_their_names_and_macvtaps_by_their_numbers(proc: Path) -> None:
    users = find_users(["lab0", "idle"], {"lab1": 7, "unused": 8}, str(proc))
    assert users == {"lab0": "process 10 (qemu)", "lab1": "process 9 (crosvm)"}


def test_devices_that_are_not_asked_for_are_not_listed(proc: Path) -> None:
    assert find_users([], {"unused": 8}, str(proc)) == {}


def test_no_process_is_looked_at_if_no_device_is_asked_for() -> None:
    assert find_users([], {}, "/nonexistent") == {}


def test_processes_that_have_ended_are_no_error(proc: Path) -> None:
    (proc / "11").mkdir()
    (proc / "12" / "fd").mkdir(parents=True)
    (proc / "12" / "fd" / "3").symlink_to("/dev/net/tun")
    assert find_users(["lab0"], {}, str(proc)) == {"lab0": "process 10 (qemu)"}


def test_a_process_is_found_that_has_a_node_open(proc: Path) -> None:
    process(proc, "11", "qemu", "/dev/vfio/vfio", "/dev/vfio/1")
    process(proc, "12", "crosvm", "/dev/vfio/12")
    assert find_node_users(["/dev/vfio/12", "/dev/vfio/3"], str(proc)) == {"/dev/vfio/12": "process 12 (crosvm)"}
    assert find_node_users([], str(proc / "none")) == {}
