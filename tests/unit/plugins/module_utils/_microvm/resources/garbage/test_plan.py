# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans of garbage collection: what can go, and what never does."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.garbage.plan import plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.garbage.state import Stores

STORES = Stores(
    packages={"1-web": "web", "2-web": "web", "3-web": "web", "4-db": "db"},
    package_leftovers={".partial-5-web": "web"},
    images=("new", "used", "unused", "of-nix"),
    image_leftovers=(".partial-x", ".staging-y"),
    roots={"/g/1": "/nix/store/1", "/g/2": "/nix/store/2", "/g/new": "/nix/store/3"},
    linked=frozenset({"2-web", "/nix/store/1"}),
    recorded=frozenset({"3-web"}),
    images_of={"3-web": frozenset({"used"}), "4-db": frozenset({"unused"}), "/nix/store/1": frozenset({"of-nix"})},
    young=frozenset({"new", ".staging-y", "/g/new"}),
)


def test_unused_packages_and_images_are_removed() -> None:
    assert [str(step) for step in plan(STORES).steps] == [
        "remove package 1-web",
        "remove package 4-db",
        "remove GC root /g/2",
        "remove leftover of a package .partial-5-web",
        "remove image unused",
        "remove leftover of an image .partial-x",
    ]


def test_packages_that_another_run_is_working_on_are_kept() -> None:
    steps = plan(replace(STORES, busy=frozenset({"web"}))).steps
    assert [str(step) for step in steps] == ["remove package 4-db", "remove leftover of an image .partial-x"]


def test_an_empty_host_has_no_garbage() -> None:
    assert plan(Stores()).steps == ()


def test_closures_that_a_kept_package_names_stay() -> None:
    links = {"/g/web/closure-2": "/nix/store/r2", "/g/web/closure-9": "/nix/store/r9"}
    closures = {"2-web": frozenset({"/g/web/closure-2"}), "1-web": frozenset({"/g/web/closure-9"})}
    stores = replace(STORES, roots={**STORES.roots, **links}, closures_of=closures)
    roots = [str(step) for step in plan(stores).steps if "GC root" in str(step)]
    assert roots == ["remove GC root /g/2", "remove GC root /g/web/closure-9"]
