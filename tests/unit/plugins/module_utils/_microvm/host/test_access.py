# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages and settings of earlier versions, which anybody may read, get the modes of today by one step each."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import (
    PACKAGE_STORE,
    SETTINGS_DIRECTORY,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import access, accounts

NAMES = ("db", "web", "broken")


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Groups by what was given to them; nobody but root can really give files away."""
    given: dict[str, str] = {}
    known = {"microvm-db", "microvm-broken", "microvm"}
    numbers = {group: 7000 + index for index, group in enumerate(sorted(known))}
    by_number = {number: group for group, number in numbers.items()}

    def chown(path: str, _user: int, group: int) -> None:
        given[os.path.basename(path)] = by_number[group]

    monkeypatch.setattr(os, "chown", chown)
    monkeypatch.setattr(accounts, "group_number", numbers.__getitem__)
    monkeypatch.setattr(accounts, "group_by_number", lambda _number: "root")
    monkeypatch.setattr(accounts, "exists", known.__contains__)
    return given


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host of an earlier version: a package of each isolation, and one whose declaration is damaged."""
    settings, state = tmp_path / SETTINGS_DIRECTORY[1:], tmp_path / "vms"
    settings.mkdir(parents=True)
    declarations = {"db": '{"name": "db"}', "web": json.dumps({"name": "web", "isolation": "shared"}), "broken": "{"}
    for name in NAMES:
        share = tmp_path / PACKAGE_STORE[1:] / f"0-{name}" / "share" / "microvm"
        share.mkdir(parents=True)
        (share / "declaration.json").write_text(declarations[name])
        (settings / f"{name}.env").write_text("STOP_TIMEOUT=1")
        (state / name).mkdir(parents=True)
        (state / name / "current").symlink_to(f"{PACKAGE_STORE}/0-{name}")
    (settings / "a b.env").write_text("")
    return tmp_path


def test_what_is_open_is_restricted_to_its_account_once(root: Path, groups: dict[str, str]) -> None:
    assert access.open_packages(str(root)) == ("0-broken", "0-db", "0-web")
    assert access.open_settings(str(root)) == ("broken", "db", "web")
    where = access.places_below("/vms", str(root))
    for package in access.open_packages(str(root)):
        access.restrict_package(where, package)
    for name in access.open_settings(str(root)):
        access.restrict_settings(where, name, str(root))
    expected = {"broken": "microvm-broken", "db": "microvm-db", "web": "microvm"}
    assert groups == {f"{prefix}{name}{suffix}": group for name, group in expected.items() for prefix, suffix in FILES}
    assert access.open_packages(str(root)) == access.open_settings(str(root)) == ()
    assert {Path(where.store.path(f"0-{name}")).stat().st_mode & 0o777 for name in NAMES} == {0o750}


FILES = (("0-", ""), ("", ".env"))
"""What is before and after the name of a MicroVM in what it has."""


def test_a_host_without_anything_has_nothing_open(tmp_path: Path) -> None:
    assert access.open_packages(str(tmp_path)) == access.open_settings(str(tmp_path)) == ()


def test_groups_that_are_gone_are_replaced(root: Path, groups: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    where = access.places_below("/vms", str(root))
    access.restrict_package(where, "0-db")
    assert "0-db" not in access.open_packages(str(root))
    monkeypatch.setattr(accounts, "group_by_number", str)
    assert "0-db" in access.open_packages(str(root))
