# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go, and what never does."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from pathlib import Path

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.locks import locked
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.places import Places
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Generation, Record, Records
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.store import PackageStore
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.collect_garbage import collect
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.garbage.plan import Stores, plan_garbage

STORES = Stores(
    packages={"1-web": "web", "2-web": "web", "3-web": "web", "4-db": "db"},
    images=("new", "used", "unused", "of-nix"),
    leftovers={".partial-5-web": "web"},
    image_leftovers=(".partial-x", ".staging-y"),
    roots={"/g/1": "/nix/store/1", "/g/2": "/nix/store/2"},
    linked=frozenset({"2-web", "/nix/store/1"}),
    recorded=frozenset({"3-web"}),
    images_of={"3-web": frozenset({"used"}), "4-db": frozenset({"unused"}), "/nix/store/1": frozenset({"of-nix"})},
    young=frozenset({"new", ".staging-y"}),
)


def test_what_nothing_refers_to_goes() -> None:
    garbage = plan_garbage(STORES)
    assert garbage.packages == ("1-web", "4-db") and garbage.images == ("unused",)
    assert garbage.leftovers == (".partial-5-web",) and garbage.image_leftovers == (".partial-x",)
    assert garbage.roots == ("/g/2",)


def test_nothing_of_what_another_run_is_at_goes() -> None:
    garbage = plan_garbage(replace(STORES, busy=frozenset({"web"})))
    assert garbage.packages == ("4-db",) and garbage.images == () and garbage.leftovers == () and garbage.roots == ()
    assert plan_garbage(Stores()).is_none and not garbage.is_none


def host(directory: Path) -> Places:
    """A host whose MicroVM web has one package that a link leads to, one that is kept, and one that nobody wants."""
    places = Places(str(directory / "vms"), PackageStore(str(directory / "store")), Records(str(directory / "records")))
    for digest in "123":
        share = directory / "store" / f"{digest}-web" / "share" / "microvm"
        share.mkdir(parents=True)
        kernel = f"{directory}/images/{digest}/kernel"
        (share / "declaration.json").write_text(json.dumps({"name": "web", "kernel": kernel}))
        image = directory / "images" / digest
        image.mkdir(parents=True)
        (image / "kernel").write_bytes(b"k" * 5000)
        os.utime(image, (time.time() - 7200,) * 2)
    (directory / "store" / ".partial-4-web").mkdir()
    (directory / "vms" / "web").mkdir(parents=True)
    (directory / "vms" / "web" / "current").symlink_to(directory / "store" / "1-web")
    places.records.write(Record("web", places.state_directory, (Generation(7, "2-web"),)))
    return places


def test_a_host_is_cleared(tmp_path: Path) -> None:
    places, images, locks = host(tmp_path), str(tmp_path / "images"), str(tmp_path / "locks")
    foreseen = collect(places, True, images, locks)
    assert [os.path.basename(path) for path, _size in foreseen.paths] == ["3-web", ".partial-4-web", "3"]
    assert foreseen.paths[-1][1] >= 5000 and sorted(os.listdir(images)) == ["1", "2", "3"]
    with locked(["web"], locks):
        busy = collect(places, False, images, locks)
    assert busy.busy == ("web",) and busy.paths == ()
    assert collect(places, False, images, locks).paths == foreseen.paths
    assert sorted(os.listdir(images)) == ["1", "2"] and sorted(os.listdir(places.store.directory)) == ["1-web", "2-web"]
    assert collect(places, False, images, locks).paths == ()
