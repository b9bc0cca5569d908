# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Garbage of Nix's store: what MicroVMs need stays, what nobody needs goes, whichever collector comes first.

Nix is real, with a store of its own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.host_options import HOST_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import nix
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.image_store import ImageStore
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.places import Places
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import collect_garbage as operation
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.adopt import adopt
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.collect_garbage import collect
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request, reconcile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.rollback import roll_back
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources import executor
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.garbage.observe import observe
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.garbage.state import Stores
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.options import defaults

from ..fake_host import FakeHost
from ..real_nix import RealNix, real_nix, remove_garbage

__all__ = ["real_nix"]

KEPT = defaults(HOST_OPTIONS)["keep_generations"]
Collect = Callable[[], object]


@pytest.fixture
def add(host: FakeHost, real_nix: RealNix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Add a package to the store of the host's Nix, which nothing keeps."""
    monkeypatch.setattr(nix, "store_program", lambda: nix.find_program("nix-store"))

    def added(mark: str) -> str:
        script = tmp_path / mark / "bin/microvm-run"
        script.parent.mkdir(parents=True)
        script.write_text(f"#!/bin/sh\n# {mark}\n")
        script.chmod(0o755)
        program = nix.store_program()
        assert program is not None
        return subprocess.run(
            [program, "--add", str(tmp_path / mark)], check=True, capture_output=True, text=True
        ).stdout.strip()

    return added


@pytest.fixture
def collectors(
    host: FakeHost, real_nix: RealNix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Collect]:
    """Return both collectors, by their names."""

    def observe_here(places: Places, images: ImageStore, names: Iterable[str], busy: frozenset[str]) -> Stores:
        return observe(places, images, names, busy, str(real_nix.root / "gcroots"))

    monkeypatch.setattr(operation, "observe", observe_here)
    images = ImageStore(str(tmp_path / "images"))
    program = nix.find_program("nix-collect-garbage")
    assert program is not None
    return {
        "microvm gc": lambda: collect(host.places, False, images, str(tmp_path / "locks")),
        "nix-collect-garbage": lambda: remove_garbage(program),
    }


ORDERS = [("microvm gc", "nix-collect-garbage"), ("nix-collect-garbage", "microvm gc")]


@pytest.mark.parametrize("order", ORDERS, ids=["ours first", "nix first"])
def test_what_runs_or_can_be_rolled_back_to_stays_and_the_rest_goes(
    host: FakeHost, add: Callable[[str], str], collectors: dict[str, Collect], order: tuple[str, str]
) -> None:
    packages = [add(f"generation-{number}") for number in range(1, KEPT + 4)]
    run(packages[0])
    for package in packages[1:]:
        adopt("web", package, host.places)
    stray = add("stray")
    record = host.places.records.read("web")
    assert record is not None
    links = [os.readlink(host.places.state("web", link)) for link in ("current", "old", "booted")]
    assert links == [packages[-1], packages[-2], packages[0]]
    needed = {*links, *(generation.package for generation in record.generations)}
    assert 3 <= len(needed) < len(packages)
    for name in order:
        collectors[name]()
        assert all(map(nix.is_valid, needed)), name
    # A package whose generation has gone is released by the installation of the next.
    assert [package for package in (*packages, stray) if nix.is_valid(package)] == [
        package for package in packages if package in needed
    ]
    oldest = min(record.generations, key=lambda generation: generation.number)
    roll_back("web", oldest.number, False, False, True, host.places)
    for name in reversed(order):
        collectors[name]()
    assert nix.is_valid(os.readlink(host.places.state("web", "current"))) and nix.is_valid(oldest.package)


@pytest.mark.parametrize("order", ORDERS, ids=["ours first", "nix first"])
def test_nothing_of_a_removed_microvm_stays(
    host: FakeHost,
    real_nix: RealNix,
    add: Callable[[str], str],
    collectors: dict[str, Collect],
    order: tuple[str, str],
) -> None:
    packages = [add("one"), add("two")]
    for package in packages:
        run(package)
    run(packages[-1], state="absent")
    for name in order:
        collectors[name]()
    assert not any(map(nix.is_valid, packages))
    assert list((real_nix.root / "gcroots").iterdir()) == []


def test_a_rename_loses_no_package_and_leaves_no_root(
    host: FakeHost,
    real_nix: RealNix,
    add: Callable[[str], str],
    collectors: dict[str, Collect],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    older, package = add("older"), add("package")
    for each in (older, package):
        run(each)
    renamed = {"name": "shop", "renamed_from": "web", "runner": package}
    steps: list[bool] = []
    error_of = executor._error_of

    def collecting(work: Callable[[], object]) -> str | None:
        error = error_of(work)
        collectors["nix-collect-garbage"]()
        steps.append(nix.is_valid(package))
        return error

    predicted = reconcile(Request(vms=[renamed], state_dir="/unused", check_mode=True))["vms"][0]
    assert "remove all GC roots of web" in predicted["actions"]
    monkeypatch.setattr(executor, "_error_of", collecting)
    [result] = reconcile(Request(vms=[renamed], state_dir="/unused"))["vms"]
    assert not result["failed"] and result["actions"] == predicted["actions"]
    assert len(steps) >= len(result["actions"]) and all(steps)
    assert os.listdir(real_nix.root / "gcroots") == ["shop"] and nix.kept_packages("shop") == [package]
    assert not nix.is_valid(older)


def test_a_package_of_two_microvms_stays_as_long_as_one_has_it(
    host: FakeHost, add: Callable[[str], str], collectors: dict[str, Collect]
) -> None:
    package = add("one")
    for name in ("web", "db"):
        adopt(name, package, host.places)
    run(package, name="web", state="absent")
    for collector in collectors.values():
        collector()
    assert nix.is_valid(package)


def test_all_generations_are_kept_after_nix_was_installed(
    host: FakeHost, add: Callable[[str], str], collectors: dict[str, Collect], monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = [add(mark) for mark in ("lost", "one", "two", "three")]
    with monkeypatch.context() as before:
        before.setattr(nix, "store_program", lambda: None)
        for package in packages:
            run(package)
    assert nix.kept_packages("web") == []
    # What is gone already is nobody's error.
    remove_garbage("nix-store", "--delete", packages[0])
    vm = {"name": "web", "runner": packages[-1]}
    predicted = reconcile(Request(vms=[vm], state_dir="/unused", check_mode=True))["vms"][0]
    assert sorted(predicted["actions"]) == sorted(f"make GC root of {package}" for package in packages[1:])
    run(packages[-1])
    assert nix.kept_packages("web") == sorted(packages[1:])
    collectors["nix-collect-garbage"]()
    assert all(map(nix.is_valid, packages[1:]))
    assert not reconcile(Request(vms=[vm], state_dir="/unused", check_mode=True))["changed"]


def test_an_update_keeps_all_generations_after_nix_was_installed(
    host: FakeHost, add: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = [add(mark) for mark in ("one", "two")]
    with monkeypatch.context() as before:
        before.setattr(nix, "store_program", lambda: None)
        adopt("web", packages[0], host.places)
    adopt("web", packages[1], host.places)
    assert nix.kept_packages("web") == sorted(packages)


def test_check_mode_makes_no_root(host: FakeHost, real_nix: RealNix, add: Callable[[str], str]) -> None:
    package = add("one")
    step = f"make GC root of {package}"
    assert step in map(str, adopt("web", package, host.places, check=True).steps)
    assert not (real_nix.root / "gcroots").exists()
    assert step in map(str, adopt("web", package, host.places).steps)
    assert nix.kept_packages("web") == [package]
    assert not adopt("web", package, host.places).changed


def run(package: str, name: str = "web", state: str = "started") -> None:
    """Bring a MicroVM of a package into a state."""
    vm = {"name": name, "runner": package, "state": state}
    [result] = reconcile(Request(vms=[vm], state_dir="/unused"))["vms"]
    assert not result["failed"], result["msg"]
