# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans for packages that were made elsewhere."""

from __future__ import annotations

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.guest_store import closure_name
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Record
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.plan_adoption import (
    External,
    plan_adoption,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import Installed, Observed

PACKAGES = [f"/nix/store/{digit * 32}-web" for digit in "012"]
STORE_PATHS = [f"/nix/store/{digit * 32}-tool" for digit in "012"]


def test_closures_of_packages_that_go_go_with_them() -> None:
    needed = [frozenset([closure_name([path])]) for path in STORE_PATHS]
    record = Record("web", "").with_generation(PACKAGES[0], external=True).with_generation(PACKAGES[1], external=True)
    before = Observed(
        "web",
        exists=True,
        current=PACKAGES[1],
        roots=tuple(PACKAGES[:2]),
        record=record,
        closures=needed[0] | needed[1],
        closures_of={PACKAGES[0]: needed[0], PACKAGES[1]: needed[1]},
        group="microvm",
    )
    external = External("web", Installed(PACKAGES[2], store_paths=(STORE_PATHS[2],)))
    steps = [str(step) for step in plan_adoption(before, external, 1).steps]
    assert f"make GC root of the closure of {STORE_PATHS[2]}" in steps
    links = [step for step in steps if step.startswith("remove the link of")]
    assert links == [f"remove the link of {closure_name(STORE_PATHS[:1])}"]
