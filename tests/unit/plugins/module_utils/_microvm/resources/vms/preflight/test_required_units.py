# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Units that declarations require, on a host that lacks some."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import TARGET
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.required_units import (
    check_order,
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


ORDER = {
    "cloud-final.service": ["multi-user.target", "basic.target"],
    "vault.service": ["basic.target", "network-online.target"],
    "network-online.target": ["network.target"],
    "network.target": ["network-online.target"],
    "backup.timer": ["backup.service"],
    "backup.service": ["microvm@small.service", "basic.target"],
    "report.service": ["all.target"],
    "all.target": [TARGET],
    TARGET: ["vault.service"],
    "alias.service": ["report.service"],
    "fleet.service": ["microvm@db.service"],
    "microvm@db.service": ["microvm@small.service"],
}


@pytest.mark.parametrize("key", ["after", "requires"])
@pytest.mark.parametrize(
    ("unit", "late"),
    [
        ("vault.service", ""),
        ("none.service", ""),
        ("fleet.service", ""),
        ("microvm@db.service", ""),
        ("cloud-final.service", "multi-user.target"),
        ("backup.timer", "microvm@small.service"),
        ("alias.service", TARGET),
    ],
)
def test_units_that_come_after_the_microvm_are_refused(
    monkeypatch: pytest.MonkeyPatch, key: str, unit: str, late: str
) -> None:
    asked: list[str] = []

    def predecessors(names: Sequence[str]) -> dict[str, list[str]]:
        asked.extend(names)
        return {name: ORDER[name] for name in names if name in ORDER}

    monkeypatch.setattr(systemd, "predecessors", predecessors)
    placed = [("vms[2]", parse({**SMALL, key: ["vault.service", unit]})[0])]
    if late:
        with pytest.raises(DeclarationError, match=f"starts after {late}") as error:
            check_order(placed)
        assert error.value.path == f"vms[2].{key}[1]"
    else:
        check_order(placed)
    assert len(asked) == len(set(asked))


def test_a_unit_is_known_by_all_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    output = "Id=ssh.service\nNames=sshd.service ssh.service\nAfter=a.target b.mount\n\n"
    output += "Id=x.target\nNames=x.target\nAfter=\n"
    monkeypatch.setattr(systemd, "ask", lambda _argv: output)
    after = ["a.target", "b.mount"]
    assert systemd.predecessors(["sshd.service", "x.target"]) == {
        "ssh.service": after,
        "sshd.service": after,
        "x.target": [],
    }
    assert systemd.predecessors([]) == {}
