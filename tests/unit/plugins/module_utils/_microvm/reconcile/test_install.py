# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories are there with their mode or not at all, and are made of nobody else's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.reconcile.install import _create_directory


@pytest.fixture(autouse=True)
def any_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "chown", lambda _path, _user, _group: None)


def test_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "share.partial").mkdir(0o700)
    _create_directory(str(tmp_path / "share"), "microvm", "kvm", 0o775)
    assert (tmp_path / "share").stat().st_mode & 0o777 == 0o775
    assert not (tmp_path / "share.partial").exists()


def test_somebody_else_s_directory_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "share.partial").mkdir()
    (tmp_path / "share.partial" / "data").touch()
    with pytest.raises(OSError, match="not empty"):
        _create_directory(str(tmp_path / "share"), "microvm", "kvm", 0o775)
    assert (tmp_path / "share.partial" / "data").exists()
    assert not (tmp_path / "share").exists()
