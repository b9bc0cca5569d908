# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""State directories of an earlier version get today's layout, whole, whenever the run is killed; nothing is lost."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.accounts import SHARED
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import state_directories
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.state_directories import (
    create,
    former,
    is_former,
    migrate,
    remove,
)

from ..kills import killed_at_call

DATA = b"the guest's only copy"


@pytest.fixture(autouse=True)
def _accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_directories, "numbers", lambda _account: (os.getuid(), os.getgid()))


def made_before(directory: Path, name: str = "web", mode: int = 0o1770) -> Path:
    """Return a state directory as earlier versions made it."""
    path = directory / name
    (path / "mnt").mkdir(parents=True)
    (path / "root.img").write_bytes(DATA)
    (path / "mnt/data.img").write_bytes(DATA)
    (path / "current").symlink_to("/packages/new")
    (path / "booted").symlink_to("/packages/old")
    (path / "flake").write_text("/root/flake\n")
    path.chmod(mode)
    return path


def assert_is_new(path: Path) -> None:
    """Assert that a state directory has today's layout, and all that it had."""
    assert not is_former(str(path))
    assert sorted(os.listdir(path)) == ["booted", "current", "flake", "sockets", "work"]
    assert sorted(os.listdir(path / "work")) == ["mnt", "root.img"]
    assert os.readlink(path / "current") == "/packages/new"
    assert os.readlink(path / "booted") == "/packages/old"
    assert (path / "flake").read_text() == "/root/flake\n"
    assert (path / "work/root.img").read_bytes() == (path / "work/mnt/data.img").read_bytes() == DATA
    assert path.stat().st_mode & 0o7777 == 0o750
    assert (path / "work").stat().st_mode & 0o7777 == 0o700
    assert [entry for entry in os.listdir(path.parent) if entry != path.name] == []


@pytest.mark.parametrize("mode", [0o1770, 0o1775, 0o755])
def test_the_former_layout_is_seen_and_changed(tmp_path: Path, mode: int) -> None:
    path = made_before(tmp_path, mode=mode)
    assert former(str(tmp_path)) == ["web"]
    inode = path.stat().st_ino
    migrate(str(path))
    assert_is_new(path)
    assert (path / "work").stat().st_ino == inode, "a hypervisor that runs works in another directory"
    assert former(str(tmp_path)) == []


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("mode", [0o1770, 0o755])
def test_a_killed_migration_is_completed_by_the_next(
    tmp_path: Path, mode: int, exchanges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:
        monkeypatch.setattr(state_directories, "exchange_at_once", _refused)
    number = 0
    while True:
        path = made_before(tmp_path / str(number), mode=mode)
        if not killed_at_call(number, partial(migrate, str(path))):
            break
        for name in former(str(path.parent)):
            migrate(str(path.parent / name))
        assert_is_new(path)
        number += 1
    assert number > 10


def _refused(_one: str, _other: str) -> None:
    raise OSError(errno.EINVAL, "the file system cannot exchange names")


def test_entries_of_the_hypervisor_s_user_are_not_taken_for_root_s(tmp_path: Path) -> None:
    path = made_before(tmp_path)
    for entry in ("current", "booted", "old"):
        (path / entry).unlink(missing_ok=True)
        (path / entry / "bin").mkdir(parents=True)
    migrate(str(path))
    assert sorted(os.listdir(path)) == ["flake", "sockets", "work"]
    assert sorted(os.listdir(path / "work")) == ["booted", "current", "mnt", "old", "root.img"]


@pytest.mark.parametrize("name", ["old.partial", "booted.partial", "work", "sockets"])
def test_a_directory_with_any_name_does_not_block_the_migration(tmp_path: Path, name: str) -> None:
    path = made_before(tmp_path)
    (path / name / "below").mkdir(parents=True)
    migrate(str(path))
    assert (path / "work" / name / "below").is_dir()
    assert former(str(tmp_path)) == []


def test_directories_of_others_are_not_taken_for_microvms(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir(0o700)
    (tmp_path / "images").mkdir()
    (tmp_path / "images").chmod(0o777)
    (tmp_path / "file").touch()
    assert former(str(tmp_path)) == []
    assert former(str(tmp_path), recorded=["images"]) == ["images"]


def test_a_state_directory_that_is_a_link_is_changed_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "vms").mkdir()
    (tmp_path / "vms/web").symlink_to(made_before(tmp_path / "disk"))
    assert former(str(tmp_path / "vms")) == ["web"]
    migrate(str(tmp_path / "vms/web"))
    assert_is_new(tmp_path / "disk/web")
    assert former(str(tmp_path / "vms")) == []


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o000])
def test_a_hypervisor_cannot_make_its_state_directory_look_former(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "web"
    create(str(path), SHARED)
    (path / "work").chmod(mode)
    assert former(str(tmp_path)) == []


def test_a_new_state_directory_has_today_s_layout_or_is_not_there(tmp_path: Path) -> None:
    number, path = 0, tmp_path / "web"
    while killed_at_call(number, partial(create, str(path), SHARED)):
        if path.exists():
            assert sorted(os.listdir(path)) == ["sockets", "work"]
            break
        number += 1
    assert number > 2


@pytest.mark.parametrize("entry", ["sockets/web.sock", "sockets/run/web.sock"])
def test_a_removal_takes_what_daemons_have_left(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "web"
    create(str(path), SHARED)
    (path / entry).parent.mkdir(parents=True, exist_ok=True)
    (path / entry).touch()
    remove(str(path))
    assert os.listdir(tmp_path) == []


def test_a_removal_keeps_a_working_directory_that_is_not_empty(tmp_path: Path) -> None:
    path = tmp_path / "web"
    create(str(path), SHARED)
    (path / "work/notes").touch()
    with pytest.raises(OSError, match="not empty"):
        remove(str(path))
    assert (path / "work/notes").exists()
