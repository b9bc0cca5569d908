# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Units that declarations require, on a host that lacks some."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.required_units import (
    check_required_units,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ....examples import SMALL, parse

STATES = {"srv-nas.mount": "loaded", "old.service": "masked"}


@pytest.fixture(autouse=True)
def _units(monkeypatch: pytest.MonkeyPatch) -> None:
    def show(names: Sequence[str]) -> dict[str, Unit]:
        return {name: Unit(load_state=STATES.get(name, "not-found")) for name in names}

    monkeypatch.setattr(systemd, "show", show)


def check(*units: str) -> None:
    """Look for the required units of one MicroVM."""
    check_required_units([("vms[3]", parse({**SMALL, "requires": list(units)})[0])])


def test_units_that_are_there_or_may_come_are_accepted() -> None:
    check("srv-nas.mount", "microvm@db.service", "dev-sdb.device")


@pytest.mark.parametrize(
    ("unit", "words"), [("vualt.service", "has no unit 'vualt.service'"), ("old.service", "masked")]
)
def test_units_that_cannot_start_are_refused(unit: str, words: str) -> None:
    with pytest.raises(DeclarationError, match=words) as error:
        check("srv-nas.mount", unit)
    assert error.value.path == "vms[3].requires[1]"
