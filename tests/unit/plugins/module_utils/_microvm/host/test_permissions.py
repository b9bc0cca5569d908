# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Permissions of a user are asked as the user, and those of one that does not exist yet as nobody."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.accounts import Account
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.permissions import is_permitted

MISSING = Account("microvm-nowhere", "microvm-nowhere")
DAEMON = Account("daemon", "daemon")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user for a moment")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that everybody reaches, as those of pytest are not."""
    directory = Path(tempfile.mkdtemp(dir="/var/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize(
    ("mode", "owner", "user", "use", "is_expected"),
    [
        (0o644, "root", MISSING, os.R_OK, True),
        (0o640, "root", MISSING, os.R_OK, False),
        (0o644, "root", MISSING, os.W_OK, False),
        (0o640, "root", DAEMON, os.R_OK, False),
        (0o600, "daemon", DAEMON, os.R_OK | os.W_OK, True),
        (0o400, "daemon", DAEMON, os.W_OK, False),
        (0o600, "daemon", MISSING, os.R_OK, False),
        (0o644, "root", DAEMON, os.X_OK, False),
    ],
)
def test_modes_count_for_the_user(
    place: Path, mode: int, owner: str, user: Account, use: int, is_expected: bool
) -> None:
    file = place / "file"
    file.touch()
    file.chmod(mode)
    os.chown(file, pwd.getpwnam(owner).pw_uid, 0)
    assert is_permitted(user, str(file), use) is is_expected


def test_directories_above_count_too(place: Path) -> None:
    file = place / "closed" / "file"
    file.parent.mkdir(mode=0o700)
    file.touch()
    assert not is_permitted(DAEMON, str(file), os.R_OK)
    assert not is_permitted(MISSING, str(file), os.R_OK)


def test_the_group_counts(place: Path) -> None:
    file = place / "file"
    file.touch()
    os.chown(file, 0, pwd.getpwnam("daemon").pw_gid)
    file.chmod(0o640)
    assert is_permitted(DAEMON, str(file), os.R_OK)
    assert not is_permitted(MISSING, str(file), os.R_OK)


def test_root_is_root_again_afterwards(place: Path) -> None:
    before = (os.getresuid(), os.getresgid(), os.getgroups())
    assert not is_permitted(MISSING, "/nowhere", os.R_OK)
    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before
