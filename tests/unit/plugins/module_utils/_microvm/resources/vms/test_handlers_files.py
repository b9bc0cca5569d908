# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Directories outside of state directories exist with their mode or not at all, and none of others is taken."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.share_sources import Ownership
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.actions import Plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.handlers_files import (
    create_external_directory,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.handlers_job import Job

from ...fake_host import FakeHost


def create(host: FakeHost, path: Path) -> None:
    create_external_directory(Job(Plan("web", (), None, None), host.places), str(path))


def test_a_source_has_the_declared_owner_and_mode(host: FakeHost, tmp_path: Path) -> None:
    path = tmp_path / "share"
    host.users.add("alice")
    plan = Plan("web", (), None, None, source_ownerships={str(path): Ownership("alice", "users", "0700")})
    create_external_directory(Job(plan, host.places), str(path))
    assert (host.group(str(path)), path.stat().st_mode & 0o777) == ("users", 0o700)


def test_leftovers_of_a_killed_run_are_replaced(host: FakeHost, tmp_path: Path) -> None:
    (tmp_path / "share.partial").mkdir(0o700)
    create(host, tmp_path / "share")
    assert (tmp_path / "share").stat().st_mode & 0o777 == 0o755
    assert not (tmp_path / "share.partial").exists()


def test_somebody_else_s_directory_is_not_taken(host: FakeHost, tmp_path: Path) -> None:
    (tmp_path / "share.partial").mkdir()
    (tmp_path / "share.partial" / "data").touch()
    with pytest.raises(OSError, match="not empty"):
        create(host, tmp_path / "share")
    assert (tmp_path / "share.partial" / "data").exists()
    assert not (tmp_path / "share").exists()


def test_a_directory_that_another_microvm_has_just_created_is_kept(
    host: FakeHost,
    tmp_path: Path,
) -> None:
    (tmp_path / "share").mkdir(0o711)
    create(host, tmp_path / "share")
    assert (tmp_path / "share").stat().st_mode & 0o777 == 0o711


def test_missing_parents_are_root_s(host: FakeHost, tmp_path: Path) -> None:
    create(host, tmp_path / "a/b/share")
    assert (tmp_path / "a/b").stat().st_ino not in host.groups
    assert host.groups[(tmp_path / "a/b/share").stat().st_ino] == "microvm"


def test_no_link_that_others_may_have_placed_is_followed(host: FakeHost, tmp_path: Path) -> None:
    victim, shared = tmp_path / "victim", tmp_path / "shared"
    victim.mkdir(0o700)
    shared.mkdir()
    shared.chmod(0o777)
    (shared / "below").symlink_to(victim)
    with pytest.raises(HostError, match="leads through the link 'below'"):
        create(host, shared / "below/share")
    assert os.listdir(victim) == []
