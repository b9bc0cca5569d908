# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Properties of garbage: nothing that is used is garbage, whatever refers to it, and garbage is removed once."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.garbage.plan import Action, plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.garbage.state import Stores
from hypothesis import given
from hypothesis import strategies as st

PACKAGES = {"1-a": "a", "2-a": "a", "3-b": "b", "4-b": "b"}
EXTERNAL = "/nix/store/x"
REFERENCES = st.frozensets(st.sampled_from([*PACKAGES, EXTERNAL]))
LEFTOVERS = {f".partial-{package}": name for package, name in PACKAGES.items()}
IMAGES = tuple(f"image-{package}" for package in PACKAGES)
IMAGE_LEFTOVERS = tuple(f".partial-{image}" for image in IMAGES)

STORES = st.builds(
    Stores,
    packages=st.just(PACKAGES),
    package_leftovers=st.just(LEFTOVERS),
    images=st.just(IMAGES),
    image_leftovers=st.just(IMAGE_LEFTOVERS),
    roots=st.just({"/roots/x": EXTERNAL, "/roots/y": "/nix/store/y"}),
    linked=REFERENCES,
    recorded=REFERENCES,
    images_of=st.just({package: frozenset({f"image-{package}"}) for package in PACKAGES}),
    busy=st.frozensets(st.sampled_from("ab")),
    young=st.frozensets(st.sampled_from([*IMAGES, *IMAGE_LEFTOVERS])),
)


@given(STORES)
def test_used_packages_and_images_are_kept(stores: Stores) -> None:
    planned = plan(stores)
    used = stores.linked | stores.recorded
    packages = {*planned.targets(Action.REMOVE_PACKAGE)}
    assert not packages & used
    assert not {*planned.targets(Action.REMOVE_IMAGE)} & {f"image-{package}" for package in used}
    assert not {stores.roots[root] for root in planned.targets(Action.REMOVE_ROOT)} & used
    assert not [package for package in packages if stores.packages[package] in stores.busy]
    leftovers = planned.targets(Action.REMOVE_PACKAGE_LEFTOVER)
    assert not [leftover for leftover in leftovers if stores.package_leftovers[leftover] in stores.busy]
    assert not {*planned.targets(Action.REMOVE_IMAGE, Action.REMOVE_IMAGE_LEFTOVER)} & stores.young


@given(STORES)
def test_while_a_microvm_is_busy_no_image_and_no_root_goes(stores: Stores) -> None:
    if stores.busy:
        assert plan(stores).targets(Action.REMOVE_IMAGE, Action.REMOVE_ROOT) == ()


@given(STORES)
def test_nothing_is_left_for_a_second_run(stores: Stores) -> None:
    removed = {step.target for step in plan(stores).steps}
    after = replace(
        stores,
        packages={package: name for package, name in stores.packages.items() if package not in removed},
        package_leftovers={entry: name for entry, name in stores.package_leftovers.items() if entry not in removed},
        images=tuple(image for image in stores.images if image not in removed),
        image_leftovers=tuple(leftover for leftover in stores.image_leftovers if leftover not in removed),
        roots={root: package for root, package in stores.roots.items() if root not in removed},
    )
    assert plan(after).steps == ()


@given(STORES)
def test_steps_are_in_the_order_of_their_actions(stores: Stores) -> None:
    actions = [step.action for step in plan(stores).steps]
    assert actions == sorted(actions, key=list(Action).index)
