# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories are there with their mode or not at all, and are made of nobody else's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.handlers_files import (
    create_directory,
)

OWNER = (os.getuid(), os.getgid())


def test_leftovers_of_a_killed_run_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "share.partial").mkdir(0o700)
    create_directory(str(tmp_path / "share"), OWNER, 0o775)
    assert (tmp_path / "share").stat().st_mode & 0o777 == 0o775
    assert not (tmp_path / "share.partial").exists()


def test_somebody_else_s_directory_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "share.partial").mkdir()
    (tmp_path / "share.partial" / "data").touch()
    with pytest.raises(OSError, match="not empty"):
        create_directory(str(tmp_path / "share"), OWNER, 0o775)
    assert (tmp_path / "share.partial" / "data").exists()
    assert not (tmp_path / "share").exists()


def test_a_directory_that_another_microvm_has_just_created_is_kept(tmp_path: Path) -> None:
    (tmp_path / "share").mkdir(0o711)
    create_directory(str(tmp_path / "share"), OWNER, 0o775)
    assert (tmp_path / "share").stat().st_mode & 0o777 == 0o711


def test_no_link_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.mkdir(0o700)

    def replaced(path: str, _mode: int) -> None:
        Path(path).symlink_to(victim)

    monkeypatch.setattr(os, "mkdir", replaced)
    with pytest.raises(OSError, match=r"Not a directory|symbolic link"):
        create_directory(str(tmp_path / "share"), OWNER, 0o777)
    assert victim.stat().st_mode & 0o777 == 0o700
