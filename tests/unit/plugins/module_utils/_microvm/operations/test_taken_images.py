# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that a removal takes the images that were created for its MicroVM, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Record
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request, reconcile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.report import VmsResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..fake_host import FakeHost

Vm = dict[str, Any]


def vm(name: str, *images: str, **options: Any) -> Vm:
    volumes = [{"image": image, "size": 8} for image in images]
    return {"name": name, "kernel": "/k", "accel": "tcg", "ready": {"check": "none"}, "volumes": volumes, **options}


def absent(name: str, volumes: str = "archive", *confirm: str) -> Vm:
    return {"name": name, "state": "absent", "on_absent": {"volumes": volumes, "confirm": list(confirm)}}


def run(host: FakeHost, *vms: Vm, **options: Any) -> VmsResult:
    return reconcile(Request(vms=vms, state_dir=host.places.state_directory, **options))


def steps(host: FakeHost, *vms: Vm) -> list[str]:
    return [step for result in run(host, *vms, check_mode=True)["vms"] for step in result["actions"]]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Path of an image outside of all state directories."""
    return tmp_path / "disks" / "one.img"


def write(disk: Path) -> None:
    disk.parent.mkdir(exist_ok=True)
    disk.write_text("data")


def test_an_image_that_a_start_has_created_is_taken(host: FakeHost, disk: Path) -> None:
    run(host, vm("db", str(disk)))
    write(disk)
    run(host, vm("db", str(disk), mem=600))
    assert f"archive volume {disk}" in " ".join(steps(host, absent("db")))


def test_an_image_that_was_there_before_stays(host: FakeHost, disk: Path) -> None:
    write(disk)
    run(host, vm("db", str(disk), "own.img"))
    run(host, vm("db", str(disk), "own.img", mem=600))
    record = host.places.records.read("db")
    assert record is not None and record.volumes == ("own.img",)
    assert not any(str(disk) in step for step in steps(host, absent("db")))
    with pytest.raises(DeclarationError, match="was not created for this MicroVM") as refusal:
        run(host, absent("db", "delete", str(disk)))
    assert refusal.value.path == "vms[0].on_absent.confirm"


@pytest.mark.parametrize("volumes", ["archive", "delete"])
@pytest.mark.parametrize("is_declared", [True, False])
@pytest.mark.parametrize("preflight", [True, False])
def test_an_image_that_another_microvm_uses_is_not_taken(
    host: FakeHost, disk: Path, volumes: str, is_declared: bool, preflight: bool
) -> None:
    run(host, vm("db", str(disk)))
    write(disk)
    heir = vm("heir", volumes=[{"image": f"/{disk}", "auto_create": False}])
    if not is_declared:
        run(host, vm("db"), heir)
    declared = (absent("db", volumes, str(disk)), *([heir] if is_declared else []))
    with pytest.raises(DeclarationError, match="heir") as refusal:
        run(host, *declared, preflight=preflight)
    assert refusal.value.path == "vms[0].on_absent.volumes"
    assert not any("disks" in step for step in steps(host, *[absent("db", "keep"), *declared[1:]]))


def test_a_recorded_image_of_another_state_directory_is_not_taken(host: FakeHost) -> None:
    """Records of earlier versions may name one."""
    run(host, vm("db"), vm("other", "own.img"))
    image = Path(host.places.work("other", "own.img"))
    image.write_text("data")
    record = host.places.records.read("db")
    assert record is not None
    host.places.records.write(Record(**{**vars(record), "volumes": (str(image),)}))
    run(host, absent("other", "keep"))
    assert not any(str(image) in step for step in steps(host, absent("db")))
