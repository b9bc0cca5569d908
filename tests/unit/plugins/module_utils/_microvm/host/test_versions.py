# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of parsing the versions that programs print."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import versions
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.capture import Captured
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.versions import (
    installed_version,
    missing_options,
    parse_version,
)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)\nCopyright (c) 2003-2025", (10, 0, 13)),
        ("cloud-hypervisor v53.0", (53, 0)),
        ("Firecracker v1.16.1\n\n2026-06-29T10:00:00.0", (1, 16, 1)),
        ("virtiofsd 1.14.0", (1, 14, 0)),
        ("crosvm 0.1.0", (0, 1, 0)),
        ("unknown", None),
    ],
)
def test_versions_are_parsed_from_the_output_of_programs(text: str, version: tuple[int, ...] | None) -> None:
    assert parse_version(text) == version


def test_a_program_that_is_declared_by_its_path_runs_in_a_sandbox_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "declared").write_text(f"#!/bin/sh\ntouch {tmp_path}/planted\n")
    (tmp_path / "declared").chmod(0o755)
    confined = Captured(0, b"QEMU emulator version 9.1\n", b"", False)
    monkeypatch.setattr(versions, "run_confined", lambda _purpose, _argv, _seconds: confined)
    assert installed_version(str(tmp_path / "declared")) == (9, 1)
    assert not (tmp_path / "planted").exists()


def test_a_program_that_is_not_there_or_fails_has_none(tmp_path: Path) -> None:
    assert installed_version(str(tmp_path / "missing")) is None
    (tmp_path / "fails").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "fails").chmod(0o755)
    assert installed_version(str(tmp_path / "fails")) is None


def test_options_that_a_program_does_not_mention_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"Usage: vmm [OPTIONS]\n      --gpu-x <gpu>   not --other-gpu\n      --cpus <cpus>...  number\n  -h, --help"
    asked = []

    def confined(_purpose: str, argv: list[str], _seconds: float) -> Captured:
        asked.append(argv)
        return Captured(0, text, b"", False)

    monkeypatch.setattr(versions, "run_confined", confined)
    program = tmp_path / "vmm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert missing_options(str(program), ["--gpu", "--cpus", "-h"]) == {"--gpu"}
    assert missing_options(str(program), []) == missing_options(str(tmp_path / "nothing"), ["--gpu"]) == frozenset()
    assert asked == [[str(program), "--help"]]
