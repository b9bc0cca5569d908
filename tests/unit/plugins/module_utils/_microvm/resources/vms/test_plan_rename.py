# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The planner of renames: what is there under two names becomes steps, or a refusal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Generation, Record
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.plan import Clock, plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.plan_rename import (
    Former,
    plan_rename,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ...examples import SMALL
from .model import carried_out, want

BEFORE = want({**SMALL, "name": "db1", "volumes": [{"image": "data.img", "size": 64}]})
OPTIONS = {**SMALL, "name": "pg", "renamed_from": "db1", "volumes": [{"image": "data.img", "size": 64}]}
WANTED = want(OPTIONS)
assert BEFORE.package is not None and WANTED.package is not None
OLD_PACKAGE, PACKAGE = BEFORE.package.directory_name, WANTED.package.directory_name
UP = Unit("loaded", "active", "running", "enabled")
FRESH = Observed("db1", state_directory="/s", has_account=False)
RUNNING = carried_out(FRESH, BEFORE, plan(FRESH, BEFORE, ""))
NEW = Observed("pg", state_directory="/s", has_account=False)
NOON = Clock(12 * 60)
STEPS = [
    "record pg",
    f"install package {PACKAGE}",
    "systemctl disable microvm@db1.service",
    "systemctl stop microvm@db1.service",
    "rename the user of db1",
    "rename the state directory of db1",
    f"link current {PACKAGE}",
    "write settings pg",
    "write unit settings microvm-wait@pg.service",
    "write unit settings microvm@pg.service",
    "remove unit settings microvm-wait@db1.service",
    "remove unit settings microvm@db1.service",
    "systemctl enable microvm@pg.service",
    "systemctl daemon-reload for microvm@pg.service",
    "systemctl start microvm@pg.service",
    "remove settings db1",
    f"remove package {OLD_PACKAGE}",
    "delete the record of db1",
]


def former(observed: Observed = RUNNING, **state: Any) -> Former:
    return Former(observed, **{"has_account": True, **state})


def steps(before: Former, observed: Observed = NEW, clock: Clock = NOON, **options: Any) -> list[str]:
    wanted = want({**OPTIONS, **options}, options.get("state", "started"))
    return [str(step) for step in plan_rename(before, observed, wanted, "vms[3]", clock).steps]


def test_a_running_microvm_is_stopped_renamed_and_started() -> None:
    planned = plan_rename(former(), NEW, WANTED, "", NOON)
    assert [str(step) for step in planned.steps] == STEPS
    assert planned.consequence == "restart" and planned.previous == OLD_PACKAGE and planned.former == "db1"
    assert planned.record is not None and planned.record.volumes == ("data.img",)
    assert (planned.record.user, planned.record.name) == ("microvm-pg", "pg")
    assert [generation.package for generation in planned.record.generations] == [PACKAGE]


def test_what_else_is_there_is_renamed_too() -> None:
    before = former(has_archive=True, has_host_key=True, has_roots=True)
    more = [step for step in steps(before) if step not in STEPS]
    assert more == ["rename the archive of db1", "rename the known host db1", "remove all GC roots of db1"]
    # The record of the former name is the last thing to go.
    assert steps(before)[-2:] == ["remove all GC roots of db1", "delete the record of db1"]


def test_a_link_to_an_older_package_of_the_former_name_is_removed() -> None:
    older = "0" * 32 + "-db1"
    before = replace(RUNNING, old=older, packages=(*RUNNING.packages, older))
    assert "remove pg/old" in steps(former(before))
    assert "remove pg/old" in steps(former(replace(before, exists=False)), replace(NEW, exists=True, old=older))


def test_a_stopped_microvm_with_a_shared_user_is_only_renamed() -> None:
    before = replace(RUNNING, booted=None, unit=Unit("loaded"), group="microvm")
    planned = steps(
        former(before, has_account=False), replace(NEW, has_account=True), isolation="shared", state="present"
    )
    assert not [step for step in planned if step.split(" ")[1] in ("stop", "start", "disable") or "user" in step]
    assert "rename the state directory of db1" in planned


HALF = replace(NEW, exists=True, has_account=True, group="microvm-pg", current=OLD_PACKAGE, packages=(PACKAGE,))
"""The new name when the state directory has just been renamed."""


def test_a_rename_that_was_killed_goes_on_where_it_was() -> None:
    rest = replace(RUNNING, exists=False, booted=None, current=None, unit=Unit("loaded", unit_file_state="disabled"))
    record = plan_rename(former(), NEW, WANTED, "", NOON).record
    done = STEPS[:6]
    assert steps(former(rest, has_account=False), replace(HALF, record=record)) == STEPS[len(done) :]


def test_an_external_package_of_the_former_name_is_not_somebody_elses() -> None:
    record = replace(RUNNING.record or Record("db1", "/s"), generations=(Generation(1, "/nix/store/x", external=True),))
    rest = replace(RUNNING, exists=False, booted=None, current=None, record=record, unit=Unit("loaded"))
    assert f"link current {PACKAGE}" in steps(former(rest), replace(HALF, current=None, foreign="/nix/store/x"))


REFUSALS: dict[str, tuple[Former, Observed, dict[str, Any], str]] = {
    "somebody else's": (
        former(replace(RUNNING, foreign="/nix/store/x")),
        NEW,
        {},
        "was not installed by this collection",
    ),
    "an earlier layout": (former(replace(RUNNING, is_former=True)), NEW, {}, "run the role microvm.fleet.host"),
    "another state directory": (
        former(replace(RUNNING, record=Record("db1", "/elsewhere"))),
        NEW,
        {},
        "set `state_dir: /elsewhere`",
    ),
    "no record": (former(replace(RUNNING, record=None)), NEW, {}, "run with its former name"),
    "data under both names": (former(), replace(NEW, exists=True), {}, "both 'db1' and 'pg'"),
    "two accounts": (former(is_account_taken=True), NEW, {}, "'microvm-db1' and the account 'microvm-pg'"),
    "a move": (former(moving="db1"), NEW, {}, "'db1' is being moved between hosts"),
    "a move of what is stopped": (
        former(replace(RUNNING, booted=None, unit=Unit("loaded")), moving="pg"),
        NEW,
        {"state": "present"},
        "complete that move first",
    ),
    "a mount": (former(mount_point="/s/db1/work"), NEW, {}, "/s/db1/work is a mount point"),
    "no restart": (former(), NEW, {"restart_policy": "never"}, "microvm stop db1"),
    "no start nor stop": (former(), NEW, {"state": "present"}, "microvm stop db1"),
    "outside of the window": (
        former(),
        NEW,
        {"restart_policy": "window", "restart_window": "02:00-03:00"},
        "change restart_policy",
    ),
}


@pytest.mark.parametrize(("before", "observed", "options", "words"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals_name_the_option_and_the_way_out(
    before: Former, observed: Observed, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        steps(before, observed, **options)
    assert caught.value.path == "vms[3].renamed_from" and words in caught.value.message


@pytest.mark.parametrize("options", [{"restart_policy": "always"}, {"state": "restarted"}, {"state": "stopped"}])
def test_whatever_stops_a_microvm_may_rename_it(options: dict[str, Any]) -> None:
    assert "systemctl stop microvm@db1.service" in steps(former(), **options)


def test_a_rename_waits_for_its_window() -> None:
    assert steps(former(), NEW, Clock(150), restart_policy="window", restart_window="02:00-03:00") == STEPS


def test_a_volume_does_not_shrink_by_a_rename() -> None:
    with pytest.raises(DeclarationError, match="cannot shrink"):
        steps(former(), volumes=[{"image": "data.img", "size": 32}])
