# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Accounts that are asked about permissions, also while a MicroVM is renamed."""

from __future__ import annotations

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.accounts import SHARED, Account
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import accounts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.owners import owner
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import Observed

from .placed import USER, placed

OWN = Account("microvm-one", "microvm-one")
FORMER = Account("microvm-db7", "microvm-db7")

CASES = {
    "new": (None, "per_vm", [], OWN),
    "not observed yet": (Observed("one"), "per_vm", [], OWN),
    "as before": (Observed("one", group="microvm-one"), "per_vm", ["microvm-one"], OWN),
    "another account than before": (Observed("one", group="microvm"), "per_vm", ["microvm"], OWN),
    "renamed": (Observed("db7", group="microvm-db7"), "per_vm", ["microvm-db7"], FORMER),
    "renamed, and was of the shared account": (Observed("db7", group="microvm"), "per_vm", ["microvm"], OWN),
    "renamed, and gets the shared account": (Observed("db7", group="microvm-db7"), "shared", ["microvm-db7"], SHARED),
    "account that has the new name already": (Observed("db7", group="microvm-db7"), "per_vm", ["microvm-one"], OWN),
}


@pytest.mark.parametrize(("before", "isolation", "users", "asked"), CASES.values(), ids=CASES.keys())
def test_the_account_is_asked_that_will_run_the_microvm(
    monkeypatch: pytest.MonkeyPatch, before: Observed | None, isolation: str, users: list[str], asked: Account
) -> None:
    monkeypatch.setattr(accounts, "exists", users.__contains__)
    ((_path, declaration),) = placed({**USER, "isolation": isolation})
    assert owner(declaration, before) == asked
