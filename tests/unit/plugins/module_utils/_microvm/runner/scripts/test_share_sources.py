# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sources of shares that ``microvm-package virtiofsd-prepare`` creates in the working directory, by real bash.

Whoever runs the tests is the MicroVM's user, and the user to whom sources are given; only the mode tells them apart.
"""

from __future__ import annotations

import os
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from .test_functions import bash, fake

UNUSED = (
    *("user", "group", "current", "booted", "sockets", "shares_directory", "restarts_directory", "console_directory"),
    *("huge_pages_prefix", "device_list", "device_rules", "lost_shares_directory", "package"),
)
"""Names that the functions are given besides."""

SOURCE = "data/inner"


@pytest.fixture
def share(tmp_path: Path) -> Path:
    """List of a share with an owner, and a working directory."""
    share = tmp_path / "share"
    for directory in (share, tmp_path / "work"):
        directory.mkdir()
    (share / "source").write_text(f"{SOURCE}\n")
    (share / "created").write_text(f"{os.getuid()} {os.getgid()} 0700\n")
    fake(tmp_path, "setpriv", 'while [[ "$1" == --* ]]; do shift; done; exec "$@"')
    return share


def prepare(share: Path) -> CompletedProcess[str]:
    """Create a source and go there."""
    names = dict.fromkeys(UNUSED, "unused")
    script = f"make_source {share}; enter_source {share}; pwd -P"
    work = str(share.with_name("work"))
    return bash(share.parent, script, "enter_directory", "package_actions", **{**names, "work": work})


def entries(share: Path) -> dict[str, int]:
    """Return what is in the working directory, with the modes."""
    work = share.with_name("work")
    return {str(path.relative_to(work)): path.stat().st_mode & 0o777 for path in sorted(work.rglob("*"))}


def test_a_source_is_created_with_its_owner_and_mode(share: Path) -> None:
    done = prepare(share)
    assert done.stdout == f"{share.with_name('work')}/{SOURCE}\n", done.stderr
    assert entries(share) == {"data": 0o755, SOURCE: 0o700}
    share.with_name("work").joinpath(SOURCE).chmod(0o750)
    assert prepare(share).returncode == 0 and entries(share)[SOURCE] == 0o750


def test_a_source_without_a_declared_owner_is_the_user_s(share: Path) -> None:
    (share / "created").unlink()
    assert prepare(share).returncode == 0 and entries(share) == {"data": 0o755, SOURCE: 0o755}


@pytest.mark.parametrize("program", ["chown", "chmod", "mv"])
def test_a_start_that_is_killed_leaves_no_source_that_is_not_given(share: Path, program: str) -> None:
    fake(share.parent, program, "kill -KILL $PPID")
    assert prepare(share).returncode != 0 and SOURCE not in entries(share)
    (share.parent / "bin" / program).unlink()
    assert prepare(share).returncode == 0 and entries(share) == {"data": 0o755, SOURCE: 0o700}


def test_what_somebody_else_has_in_its_place_is_kept(share: Path) -> None:
    aside = share.with_name("work") / f"{SOURCE}.partial"
    (aside / "file").mkdir(parents=True)
    done = prepare(share)
    assert done.returncode != 0 and "not empty" in done.stderr and aside.joinpath("file").exists()
    assert SOURCE not in entries(share)
