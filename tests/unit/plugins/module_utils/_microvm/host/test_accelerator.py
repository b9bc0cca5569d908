# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The accelerator that ``auto`` comes to: answers of test boots, where they are kept, and what check mode says."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import accelerator as module
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.accelerator import Accelerator, accelerator
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.capture import Captured

FIRST = b"[    0.000000] Linux version 6.12\n"


class FakeKvm:
    """Host with QEMU and kernels, of which some run; ``boots`` are the kernels that were tried."""

    def __init__(self, directory: Path, runs: tuple[bytes, ...]) -> None:
        self.declared, self.own, self.cache = directory / "declared", directory / "own", directory / "accelerator.json"
        self.declared.write_bytes(b"declared")
        self.own.write_bytes(b"own")
        self.runs = runs
        self.boots: list[bytes] = []

    def boot(self, _purpose: str, argv: Any, _seconds: float, properties: Any, _until: bytes) -> Captured:
        """Stand for the boot in a sandbox."""
        assert argv[argv.index("-kernel") + 1] == "/run/kernel"
        (place,) = (line for line in properties if line.startswith("BindReadOnlyPaths="))
        copy = Path(place.partition("=")[2].partition(":")[0])
        assert copy.stat().st_mode & 0o777 == 0o444 and copy.parent.stat().st_mode & 0o777 == 0o700
        self.boots.append(copy.read_bytes())
        return Captured(1, FIRST if self.boots[-1] in self.runs else b"nothing", b"", False)

    def ask(self, check_mode: bool = False) -> Accelerator:
        """Ask for the declared kernel."""
        return accelerator(str(self.declared), check_mode)


def fake(directory: Path, monkeypatch: pytest.MonkeyPatch, *runs: bytes) -> FakeKvm:
    """Return a host with a ``/dev/kvm``."""
    host = FakeKvm(directory, runs)
    (directory / "kvm").write_bytes(b"")
    monkeypatch.setattr(module, "KVM", str(directory / "kvm"))
    monkeypatch.setattr(module, "CACHE", str(host.cache))
    monkeypatch.setattr(module, "RUN_DIRECTORY", str(directory))
    monkeypatch.setattr(module, "HOST_KERNEL", str(host.own))
    monkeypatch.setattr(shutil, "which", lambda program, path: f"/usr/bin/{program}")
    monkeypatch.setattr(module, "run_confined", host.boot)
    return host


@pytest.mark.parametrize(
    ("runs", "boots", "name"),
    [
        ((b"own", b"declared"), [b"own"], "kvm"),
        ((b"declared",), [b"own", b"declared"], "kvm"),
        ((), [b"own", b"declared"], "tcg"),
    ],
)
def test_the_host_s_kernel_is_tried_before_the_declared_one_and_answers_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: tuple[bytes, ...], boots: list[bytes], name: str
) -> None:
    host = fake(tmp_path, monkeypatch, *runs)
    assert host.ask() == Accelerator(name)
    assert host.ask() == host.ask(check_mode=True) == Accelerator(name)
    assert host.boots == boots
    assert sorted(path.name for path in tmp_path.iterdir()) == ["accelerator.json", "declared", "kvm", "own"]


def test_check_mode_boots_nothing_and_says_that_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = fake(tmp_path, monkeypatch)
    assert host.ask(check_mode=True) == Accelerator("kvm", is_tested=False)
    assert host.boots == [] and not host.cache.exists()


def test_a_kernel_that_has_changed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = fake(tmp_path, monkeypatch)
    assert host.ask().name == "tcg"
    host.declared.write_bytes(b"another")
    host.runs = (b"another",)
    assert host.ask().name == "kvm"
    assert host.boots == [b"own", b"declared", b"another"]


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"null",
        b"[]",
        b"[" * 60_000,
        b"\xff",
        b'{"a": 7}',
        b'{"a": []}',
        b"x" * (1 << 17),
        b'{"a": "rm -rf"}',
        b"",
    ],
)
def test_a_corrupt_cache_is_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    host = fake(tmp_path, monkeypatch, b"own")
    host.cache.write_bytes(content)
    assert host.ask() == Accelerator("kvm") and host.boots == [b"own"]
    assert set(json.loads(host.cache.read_text()).values()) == {"kvm"}


@pytest.mark.parametrize("kind", ["a FIFO", "a link", "a directory"])
def test_what_is_no_file_in_place_of_the_cache_is_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    host = fake(tmp_path, monkeypatch, b"own")
    (tmp_path / "elsewhere").write_text("{}")
    if kind == "a FIFO":
        os.mkfifo(host.cache)
    elif kind == "a link":
        host.cache.symlink_to(tmp_path / "elsewhere")
    else:
        assert module._cached() == {}
        return
    assert host.ask() == Accelerator("kvm") and host.boots == [b"own"]
    assert (tmp_path / "elsewhere").read_text() == "{}"


def test_without_the_device_guests_are_translated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = fake(tmp_path, monkeypatch, b"own")
    (tmp_path / "kvm").unlink()
    assert host.ask(check_mode=True) == host.ask() == Accelerator("tcg") and host.boots == []


def test_without_a_program_or_a_kernel_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = fake(tmp_path, monkeypatch, b"own")
    host.own.unlink()
    host.declared.unlink()
    os.mkfifo(host.declared)
    assert host.ask() == Accelerator("kvm", is_tested=False)
    host.own.write_bytes(b"own")
    monkeypatch.setattr(shutil, "which", lambda program, path: None)
    assert host.ask() == Accelerator("kvm", is_tested=False) and host.boots == []


def test_a_kernel_that_is_too_large_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = fake(tmp_path, monkeypatch, b"declared")
    os.truncate(host.declared, module.KERNEL_BYTES + 1)
    assert host.ask().name == "tcg" and host.boots == [b"own"]
