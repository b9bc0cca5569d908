# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever refers to what: nothing that is used is garbage, and what is garbage is so once."""

from __future__ import annotations

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.garbage.plan import Stores, plan_garbage
from hypothesis import given
from hypothesis import strategies as st

PACKAGES = st.sampled_from(["1-a", "2-a", "3-b", "4-b", "/nix/store/x"])


@given(st.frozensets(PACKAGES), st.frozensets(PACKAGES), st.frozensets(st.sampled_from("ab")))
def test_what_is_referred_to_stays(linked: frozenset[str], recorded: frozenset[str], busy: frozenset[str]) -> None:
    packages = {one: one[-1] for one in ("1-a", "2-a", "3-b", "4-b")}
    images_of = {one: frozenset({f"image-{one}"}) for one in packages}
    images = tuple(f"image-{one}" for one in packages)
    garbage = plan_garbage(
        Stores(packages, images=images, linked=linked, recorded=recorded, busy=busy, images_of=images_of)
    )
    assert not {*garbage.packages} & (linked | recorded)
    assert not {*garbage.images} & {f"image-{one}" for one in linked | recorded}
    assert not [one for one in garbage.packages if packages[one] in busy]
    # And nothing is done a second time.
    left = {one: name for one, name in packages.items() if one not in garbage.packages}
    rest = tuple(one for one in images if one not in garbage.images)
    again = Stores(left, images=rest, linked=linked, recorded=recorded, busy=busy, images_of=images_of)
    assert plan_garbage(again).is_none
