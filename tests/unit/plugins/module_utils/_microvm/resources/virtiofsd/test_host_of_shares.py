# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looking at the host of shares: programs that are too old, and root under another name."""

from __future__ import annotations

import pwd
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.virtiofsd.parse import (
    parse_host_shares,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.virtiofsd import observe as module
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.virtiofsd.observe import observe_shares
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.virtiofsd.state import Problem

VERSION = (1, 13, 2)


@pytest.fixture(name="program")
def _program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A program, on a host where nothing but it and its users is looked at."""
    path = tmp_path / "virtiofsd"
    path.touch(0o755)
    monkeypatch.setattr(systemd, "show", lambda names: {name: systemd.Unit() for name in names})
    for place in ("_problem_of_socket", "_problem_of_source"):
        monkeypatch.setattr(module, place, lambda _share: None)
    monkeypatch.setattr(module, "installed_version", lambda _program: VERSION)
    return str(path)


def problem(program: str, **options: Any) -> Optional[Problem]:
    """Return why a share cannot be served."""
    share = {"name": "media", "source": "/srv/media", "package": program, **options}
    return observe_shares(parse_host_shares([share])).problems.get("media")


@pytest.mark.parametrize("version", [(1, 10, 0), (1, 12, 9), (7, 2, 22)])
def test_a_program_that_lacks_options_is_refused(
    program: str, version: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "installed_version", lambda asked: version if asked == program else VERSION)
    found = problem(program)
    assert found is not None and found.option == "package"
    assert f"version {'.'.join(map(str, version))}," in found.reason


@pytest.mark.parametrize("version", [(1, 13), (1, 14, 0), (2, 0), None])
def test_a_program_that_has_all_options_or_does_not_say_it_is_not_refused(
    program: str, version: Optional[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "installed_version", lambda _program: version)
    assert problem(program) is None


@pytest.mark.parametrize(("number", "is_root"), [(0, True), (1000, False)])
def test_root_has_no_other_name(program: str, number: int, is_root: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = pwd.struct_passwd(("toor", "x", number, number, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwnam", lambda _name: entry)
    found = problem(program, user="toor")
    assert (found.option if found else None) == ("user" if is_root else None)
