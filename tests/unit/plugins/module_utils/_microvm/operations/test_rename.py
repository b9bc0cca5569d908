# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Renames on a fake host: what is kept, what is shown, and what is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request, reconcile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.report import VmsResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..fake_host import FakeHost
from .test_one_road import run, vm

VOLUMES = [{"image": "data.img", "size": 10}]


def rename(check: bool = False, **options: Any) -> VmsResult:
    return run(vm("new", renamed_from="old", volumes=VOLUMES, **options), check=check)


def install_old(host: FakeHost) -> None:
    run(vm("old", volumes=VOLUMES))
    Path(host.places.work("old", "data.img")).write_bytes(b"data")


def test_a_rename_keeps_volumes_archive_user_and_host_key(host: FakeHost) -> None:
    install_old(host)
    archived = host.root / "archive" / "old" / "older.img.1"
    archived.parent.mkdir(parents=True)
    archived.write_bytes(b"archived")
    (host.root / "known_hosts").write_text("old ssh-ed25519 AAAA\nnewer ssh-ed25519 BBBB\n")
    (outcome,) = rename()["vms"]
    assert outcome["msg"] == "" and outcome["consequence"] == "restart"
    assert Path(host.places.work("new", "data.img")).read_bytes() == b"data"
    assert (host.root / "archive" / "new" / "older.img.1").read_bytes() == b"archived"
    assert (host.root / "known_hosts").read_text() == "new ssh-ed25519 AAAA\nnewer ssh-ed25519 BBBB\n"
    assert "rename microvm-old to microvm-new" in host.calls and "microvm-old" not in host.users
    assert host.units["microvm@new.service"].running and not host.units["microvm@old.service"].running
    left = [path.name for path in host.root.rglob("*") if path.stem.endswith("old") or "@old" in path.name]
    assert left == [] and not rename()["changed"]


def test_check_mode_shows_what_is_done_and_what_was_there(host: FakeHost) -> None:
    install_old(host)
    shown, before = rename(check=True), sorted(host.root.rglob("*"))
    assert sorted(host.root.rglob("*")) == before
    (diff,) = shown["diff"]
    assert "running: True" in str(diff["before"]) and "step: rename the state directory of old" in str(diff["after"])
    assert {change["option"] for change in shown["vms"][0]["changes"]} >= {"name"}
    assert "machine_id" not in {change["option"] for change in shown["vms"][0]["changes"]}
    assert rename()["vms"][0]["actions"] == shown["vms"][0]["actions"]


def test_a_host_without_the_former_name_installs_the_new_one(host: FakeHost) -> None:
    (outcome,) = rename()["vms"]
    assert "create state directory new" in outcome["actions"] and "old" not in " ".join(outcome["actions"])


def test_the_former_name_is_neither_undeclared_nor_purged(host: FakeHost) -> None:
    install_old(host)
    renamed = vm("new", renamed_from="old", volumes=VOLUMES, state="started")
    outcome = reconcile(Request(vms=[renamed], purge="remove", state_dir=host.places.state_directory))
    assert outcome["undeclared"] == [] and [one["name"] for one in outcome["vms"]] == ["new"]
    assert Path(host.places.work("new", "data.img")).read_bytes() == b"data"


def test_both_names_cannot_be_declared(host: FakeHost) -> None:
    install_old(host)
    with pytest.raises(DeclarationError) as caught:
        run(vm("old", volumes=VOLUMES), vm("new", renamed_from="old", volumes=VOLUMES))
    assert caught.value.path == "vms[1].renamed_from" and "'old'" in caught.value.message
    assert host.units["microvm@old.service"].running


def test_a_second_rename_keeps_the_first_identity(host: FakeHost) -> None:
    install_old(host)
    rename()
    (outcome,) = run(vm("newest", renamed_from="new", identity="old", volumes=VOLUMES))["vms"]
    assert outcome["msg"] == "" and "machine_id" not in {change["option"] for change in outcome["changes"]}
    assert Path(host.places.work("newest", "data.img")).read_bytes() == b"data"


def test_a_damaged_record_of_the_former_name_is_an_error_of_its_microvm(host: FakeHost) -> None:
    install_old(host)
    (host.root / "records" / "old.json").write_text("{")
    (outcome,) = rename()["vms"]
    assert "the record of the MicroVM 'old' cannot be used" in outcome["msg"]
    assert not Path(host.places.state("new")).exists()


def test_drop_ins_of_operators_are_left_with_a_warning(host: FakeHost) -> None:
    install_old(host)
    other = Path(host.places.drop_in("microvm@.service", "old")).with_name("override.conf")
    other.write_text("[Service]\nNice=5\n")
    assert [warning for warning in rename()["warnings"] if warning.startswith(f"{other} applies to 'old' only")]
    assert other.exists()
