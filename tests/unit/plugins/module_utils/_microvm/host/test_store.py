# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages are there as a whole or not at all."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import exchange, files
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.store import PackageStore
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.package import File, Package

from ..kills import killed_at_call

PACKAGE = Package(
    "web", {"bin/microvm-run": File(b"#!/bin/sh\n", True), "share/a/b": File(b"text\n"), "share/c": File(b"")}
)


def content(directory: Path) -> dict[str, tuple[bytes, int]]:
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mode & 0o777) for path in found}


EXPECTED = {"bin/microvm-run": (b"#!/bin/sh\n", 0o755), "share/a/b": (b"text\n", 0o644), "share/c": (b"", 0o644)}


def test_packages_are_installed_listed_and_removed(tmp_path: Path) -> None:
    store = PackageStore(str(tmp_path / "packages"))
    assert store.contents() == {}
    store.install(PACKAGE)
    store.install(PACKAGE)
    assert store.contents() == {"web": [PACKAGE.directory_name]}
    assert content(Path(store.path(PACKAGE.directory_name))) == EXPECTED
    assert store.owns(store.path("x-web")) == "x-web"
    assert store.owns("/nix/store/x-web") is None
    store.remove(PACKAGE.directory_name)
    assert store.contents() == {}


def test_an_installation_that_is_killed_is_completed_by_the_next(tmp_path: Path) -> None:
    kills = 0
    while killed_at_call(kills, partial((store := PackageStore(str(tmp_path / str(kills)))).install, PACKAGE)):
        if store.contents():
            assert content(Path(store.path(PACKAGE.directory_name))) == EXPECTED
        store.install(PACKAGE)
        assert content(Path(store.path(PACKAGE.directory_name))) == EXPECTED
        kills += 1
    assert kills > 10


def test_a_removal_that_is_killed_leaves_a_whole_package_or_none(tmp_path: Path) -> None:
    kills = 0
    while True:
        store = PackageStore(str(tmp_path / str(kills)))
        store.install(PACKAGE)
        if not killed_at_call(kills, partial(store.remove, PACKAGE.directory_name)):
            break
        if store.has(PACKAGE.directory_name):
            assert content(Path(store.path(PACKAGE.directory_name))) == EXPECTED
        for leftover in store.leftovers():
            store.remove_leftover(leftover)
        assert [name for name in os.listdir(store.directory) if name.startswith(".")] == []
        kills += 1
    assert kills > 5
    assert store.contents() == {}


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_replacement_that_is_killed_is_completed_by_the_next(
    tmp_path: Path, exchanges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:
        monkeypatch.setattr(exchange, "exchange_at_once", _unsupported)
    kills = 0
    while True:
        store = PackageStore(str(tmp_path / str(kills)))
        store.install(PACKAGE)
        name = PACKAGE.directory_name
        (Path(store.path(name)) / "share/c").write_text("damage")
        assert store.damage(name) is not None and store.has(name)
        store.mark_damaged(name)
        killed = killed_at_call(kills, partial(store.install, PACKAGE))
        assert os.path.isdir(store.path(name)) or not exchanges
        assert name in store.damaged() or store.damage(name) is None
        store.install(PACKAGE)
        assert content(Path(store.path(name))) == EXPECTED and store.damaged() == frozenset()
        for leftover in store.leftovers():
            store.remove_leftover(leftover)
        assert os.listdir(store.directory) == [name]
        if not killed:
            break
        kills += 1
    assert kills > 10


def _unsupported(_path: str, _other: str) -> None:
    raise OSError(errno.EINVAL, "the file system cannot exchange names")


def test_packages_are_readable_by_root_and_a_group(tmp_path: Path) -> None:
    store = PackageStore(str(tmp_path / "packages"))
    store.install(PACKAGE, os.getgid())
    modes = [os.stat(path).st_mode & 0o7777 for path in (store.directory, store.path(PACKAGE.directory_name))]
    assert modes == [0o711, 0o750] and store.damage(PACKAGE.directory_name) is None


@pytest.mark.parametrize("before", [None, "/old"], ids=["new", "replaced"])
def test_links_are_switched(tmp_path: Path, before: str | None) -> None:
    link = str(tmp_path / "current")
    if before:
        os.symlink(before, link)
    files.replace_link(link, "/new")
    assert files.link_target(link) == "/new"
    assert os.listdir(tmp_path) == ["current"]


def test_a_file_that_is_larger_than_any_package_is_not_read(tmp_path: Path) -> None:
    store = PackageStore(str(tmp_path / "packages"))
    store.install(PACKAGE)
    os.truncate(os.path.join(store.path(PACKAGE.directory_name), "share/c"), 1 << 40)
    assert "share/c is larger than a whole package can be" in (store.damage(PACKAGE.directory_name) or "")
