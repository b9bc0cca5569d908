# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every kind of damage times every reader: one error of that MicroVM, which names the file and the way out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.restrictions.parse import UNRESTRICTED
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import accelerator, restrictions, systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.image_store import ImageStore
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.adopt import adopt
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.collect_garbage import collect
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.host_setup import _refuse_installed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.info import inform
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.lifecycle import start_vm, stop_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request, reconcile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.report import VmResult, VmsResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.rollback import mark, roll_back
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.configuration import (
    RECORD,
    recorded_networks,
)

from ..damage import ANY_FILE, JSON_FILE, Damage, changed, clear
from ..fake_host import FakeHost

NAMES = ("db", "web")
DECLARATION_FILE = "share/microvm/declaration.json"
RUN_SCRIPT = "bin/microvm-run"

RECORDS: dict[str, Damage] = {
    **JSON_FILE,
    "another's": changed(name="db"),
    "no name": changed(name=None),
    "a relative directory": changed(state_directory="vms"),
    "a number of generations": changed(generations=3),
    "generations by number": changed(generations={"1": "x"}),
    "generations of strings": changed(generations=["x"]),
    "a generation without a number": changed(generations=[{"package": "x"}]),
    "a generation with a boolean number": changed(generations=[{"package": "x", "number": True}]),
    "a generation with a path": changed(generations=[{"package": "../x", "number": 1}]),
    "volumes as one string": changed(volumes="data.img"),
    "control characters": changed(volumes=["\x1b[2J"]),
    "a null byte": changed(directories=["/srv/\0"]),
    "a lone surrogate": changed(unit_settings="\ud800"),
    "a wrong port": changed(ready={"check": "ssh", "port": "22"}),
    "ready as a list": changed(ready=["ssh"]),
}

DECLARATIONS: dict[str, Damage] = {
    **{kind: damage for kind, damage in JSON_FILE.items() if kind != "no keys"},
    "no name": changed(name=None),
    "memory in words": changed(mem="much"),
    "memory as a list": changed(mem=[1]),
    "interfaces as a mapping": changed(interfaces={}),
    "an interface as a string": changed(interfaces=["tap"]),
    "a group as a list": changed(guest=[1]),
    "credentials as a list": changed(credential_files=["x"]),
    "a lone surrogate": changed(kernel="/k\ud800"),
}


def vm(name: str, **options: Any) -> dict[str, Any]:
    declared = {"name": name, "kernel": "/k", "accel": "tcg", "ready": {"check": "none"}}
    return {**declared, "volumes": [{"image": "data.img", "size": 8}], **options}


def run(*vms: dict[str, Any], **options: Any) -> VmsResult:
    return reconcile(Request(vms=vms, **{"state_dir": "/unused", **options}))


def by_name(outcome: VmsResult) -> dict[str, VmResult]:
    return {vm["name"]: vm for vm in outcome["vms"]}


@pytest.fixture
def installed(host: FakeHost) -> FakeHost:
    """Two MicroVMs that run, each with a volume and two generations."""
    for mem in (512, 600):
        assert not any(vm["failed"] for vm in run(*(vm(name, mem=mem) for name in NAMES))["vms"])
    for name in NAMES:
        Path(host.places.work(name, "data.img")).write_bytes(b"data")
    return host


def package(host: FakeHost) -> Path:
    """Return the directory of the package that ``web`` is to run."""
    return Path(os.readlink(host.places.state("web", "current")))


Reader = Callable[[FakeHost], str]
"""Reads the record of ``web``; returns the error, which must be of that MicroVM alone."""


def _raised(work: Callable[[], object]) -> str:
    with pytest.raises(HostError) as raised:
        work()
    return str(raised.value)


def _result(outcome: VmsResult) -> str:
    vms = by_name(outcome)
    assert vms["web"]["failed"] and not vms["web"]["changed"] and vms["web"]["actions"] == []
    assert "db" not in vms or not vms["db"]["failed"]
    return vms["web"]["msg"]


def _informed(host: FakeHost) -> str:
    vms = {vm["name"]: vm for vm in inform(host.places)}
    assert vms["db"]["error"] is None and vms["db"]["generation"] == 2
    assert vms["web"]["state"] == "active" and not vms["web"]["foreign"]
    return vms["web"]["error"] or ""


def _undeclared(host: FakeHost) -> str:
    outcome = run(vm("db", mem=600), purge="remove")
    assert outcome["undeclared"] == ["web"]
    return _result(outcome)


def _reported(host: FakeHost) -> str:
    """Report an undeclared MicroVM, which is none of the errors of this run; its own run fails."""
    outcome = run(vm("db", mem=640))
    assert outcome["undeclared"] == ["web"] and not by_name(outcome)["db"]["failed"]
    return _result(run(vm("web"), check_mode=True))


def _collected(host: FakeHost) -> str:
    (host.root / "packages" / "0-web").mkdir(exist_ok=True)
    collected = collect(host.places, False, ImageStore(str(host.root / "images")), str(host.root / "locks"))
    assert (host.root / "packages" / "0-web").exists() and collected.entries == ()
    return "".join(collected.problems)


READERS: dict[str, Reader] = {
    "a run": lambda host: _result(run(vm("db", mem=640), vm("web", mem=640))),
    "check mode": lambda host: _result(run(vm("db", mem=600), vm("web", mem=640), check_mode=True)),
    "a removal": lambda host: _result(run(vm("web", state="absent", on_absent={"volumes": "archive"}))),
    "a purge": _undeclared,
    "a report of undeclared ones": _reported,
    "information": _informed,
    "garbage": _collected,
    "a start": lambda host: _raised(lambda: start_vm("web", host.places)),
    "a stop": lambda host: _raised(lambda: stop_vm("web", host.places)),
    "a rollback": lambda host: _raised(lambda: roll_back("web", None, False, False, False, host.places)),
    "a mark": lambda host: _raised(lambda: mark("web", 1, True, False, host.places)),
    "the end of the setup": lambda host: _raised(lambda: _refuse_installed(host.places.records)),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_a_damaged_record_is_the_error_of_its_microvm_alone(installed: FakeHost, reader: Reader) -> None:
    record = installed.root / "records" / "web.json"
    content = record.read_bytes()
    for kind, damage in RECORDS.items():
        if record.is_dir() or not record.is_file() or record.is_symlink():
            clear(record)
        record.write_bytes(content)
        damage(record)
        error = reader(installed)
        assert str(record) in error and "Restore the file from a backup" in error, kind
        assert Path(installed.places.work("web", "data.img")).read_bytes() == b"data", kind
        assert os.path.isdir(package(installed)), kind
        assert installed.units["microvm@web.service"].running, kind


def test_a_record_that_was_moved_away_is_made_anew_and_volumes_stay(installed: FakeHost) -> None:
    record = installed.root / "records" / "web.json"
    record.rename(record.with_suffix(".json.damaged"))
    assert not by_name(run(vm("web", mem=600)))["web"]["failed"]
    assert [generation.number for generation in installed.places.records.read("web").generations] == [1]  # type: ignore[union-attr]
    assert not by_name(run(vm("web", state="absent")))["web"]["failed"]
    assert Path(installed.places.work("web", "data.img")).read_bytes() == b"data"


def test_keys_of_a_newer_version_are_no_damage(installed: FakeHost) -> None:
    record = installed.root / "records" / "web.json"
    values = json.loads(record.read_text())
    values["generations"] = [{**generation, "signed_by": "x"} for generation in values["generations"]]
    values["ready"] = {**values["ready"], "path": "/health"}
    record.write_text(json.dumps({**values, "colour": ["blue"]}))
    changed(colour=["blue"])(package(installed) / DECLARATION_FILE)
    assert inform(installed.places, ["web"])[0]["error"] is None
    assert not run(vm("db", mem=600), vm("web", mem=600))["changed"]


@pytest.mark.parametrize("kind", DECLARATIONS)
def test_a_damaged_declaration_is_reported_and_replaced_by_the_next_run(installed: FakeHost, kind: str) -> None:
    directory = package(installed)
    DECLARATIONS[kind](directory / DECLARATION_FILE)
    vms = {vm["name"]: vm for vm in inform(installed.places)}
    assert str(directory / DECLARATION_FILE) in (vms["web"]["error"] or "") and vms["db"]["error"] is None
    assert "run again with the declaration" in (vms["web"]["error"] or "")
    assert not run(vm("db", mem=600))["changed"]
    assert str(directory) in _raised(lambda: start_vm("web", installed.places))
    outcome = run(vm("db", mem=600), vm("web", mem=600))
    assert by_name(outcome)["web"]["actions"] == [f"install package {directory.name}"]
    assert not any(vm["failed"] for vm in outcome["vms"])
    assert installed.places.store.damage(directory.name) is None
    assert not run(vm("db", mem=600), vm("web", mem=600))["changed"]


RUN_SCRIPTS: dict[str, Damage] = {
    **{kind: damage for kind, damage in ANY_FILE.items() if kind in ("empty", "a directory", "a FIFO", "a device")},
    "no file": clear,
    "not executable": lambda path: path.chmod(0o644),
}


@pytest.mark.parametrize("kind", RUN_SCRIPTS)
def test_a_package_that_cannot_be_run_is_replaced_by_the_next_run(installed: FakeHost, kind: str) -> None:
    directory = package(installed)
    RUN_SCRIPTS[kind](directory / RUN_SCRIPT)
    assert directory.name in (inform(installed.places, ["web"])[0]["error"] or "")
    shown = run(vm("web", mem=600), check_mode=True)
    assert by_name(shown)["web"]["actions"] == [f"install package {directory.name}"]
    assert by_name(run(vm("web", mem=600)))["web"]["actions"] == by_name(shown)["web"]["actions"]
    assert installed.places.store.damage(directory.name) is None


@pytest.mark.parametrize(
    "file", ["share/microvm/command-line", "share/microvm/hypervisor", "share/microvm/systemd/microvm@.service.conf"]
)
def test_other_damaged_files_are_no_tracebacks(installed: FakeHost, file: str) -> None:
    for damage in ANY_FILE.values():
        clear(package(installed) / file)
        damage(package(installed) / file)
        inform(installed.places)
        assert not any(vm["failed"] for vm in run(vm("db", mem=600), vm("web", mem=600))["vms"])
        assert not by_name(run(vm("web", mem=700), check_mode=True))["web"]["failed"]
        if not package(installed).joinpath(file).is_file():
            # What cannot even be read is seen; other content is seen by a look at the digest.
            installed.places.store.mark_damaged(package(installed).name)
        run(vm("web", mem=600))


def test_a_failed_start_finds_the_damage_and_does_not_blame_the_generation(
    installed: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    (package(installed) / "share/microvm/hypervisor").write_text("another")
    name = package(installed).name
    stop_vm("web", installed.places)
    assert f"install package {name}" not in run(vm("web", mem=600), check_mode=True)["vms"][0]["actions"]
    installed.failing_packages = {name}
    message = by_name(run(vm("web", mem=600, rollback_on_failure=True)))["web"]["msg"]
    assert f"{package(installed)} contains files that do not match" in message and "replace the damaged" in message
    assert not installed.places.records.read("web").is_bad(name)  # type: ignore[union-attr]
    installed.failing_packages = set()
    outcome = run(vm("web", mem=600))
    assert f"install package {name}" in by_name(outcome)["web"]["actions"] and not outcome["vms"][0]["failed"]
    assert installed.places.store.damage(name) is None and installed.places.store.damaged() == frozenset()


def test_a_rollback_does_not_go_to_a_damaged_package(installed: FakeHost) -> None:
    record = installed.places.records.read("web")
    assert record is not None
    (Path(installed.places.store.path(record.generations[0].package)) / RUN_SCRIPT).write_bytes(b"")
    assert "or is damaged" in _raised(lambda: roll_back("web", 1, False, False, False, installed.places))


def test_stray_entries_are_ignored(installed: FakeHost) -> None:
    before = inform(installed.places)
    for name in (b"\xff\xfe", b"\x1b[2J", b"a\nb", b".hidden", b"-x", b"a" * 200):
        for directory in ("records", "packages", "vms"):
            os.mkdir(os.path.join(os.fsencode(installed.root), directory.encode(), name))
        (installed.root / "records" / os.fsdecode(name + b".json")).write_text("{")
        os.symlink("/x", os.path.join(os.fsencode(installed.root / "vms"), name, b"current"))
    assert inform(installed.places) == before
    assert not run(*(vm(name, mem=600) for name in NAMES))["changed"]
    assert run(vm("db", mem=600), state_dir=installed.places.state_directory)["undeclared"] == ["web"]
    collected = collect(installed.places, False, ImageStore(str(installed.root / "images")), str(installed.root / "l"))
    assert all(str(entry.step).isprintable() for entry in collected.entries)


def test_a_damaged_cache_of_the_accelerator_is_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "accelerator.json"
    monkeypatch.setattr(accelerator, "CACHE", str(cache))
    for damage in (*JSON_FILE.values(), changed(key=3)):
        clear(cache)
        cache.write_text('{"key": "kvm"}')
        damage(cache)
        assert accelerator._cached() == {}
    cache.write_text('{"key": "kvm"}')
    assert accelerator._cached() == {"key": "kvm"}


@pytest.mark.parametrize("content", ["{", "null", "{}", "[1]", '[{"name": 3}]', "", "[" * 200_000])
def test_a_damaged_record_of_networks_is_named(content: str) -> None:
    assert f"{RECORD} is damaged" in _raised(lambda: recorded_networks({RECORD: content}))


def test_damaged_images_are_not_counted_as_images(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path))
    manifest = tmp_path / "0" / "manifest.json"
    manifest.parent.mkdir()
    content = json.dumps({"digest": "0", "files": {"kernel": {"size": 1, "sha256": "x"}}})
    (tmp_path / "0" / "kernel").write_bytes(b"k")
    manifest.write_text(content)
    assert store.has("0")
    kinds = {**JSON_FILE, "files by number": changed(files=[1]), "a path": changed(files={"../x": {"size": 1}})}
    for kind, damage in kinds.items():
        clear(manifest)
        manifest.write_text(content)
        damage(manifest)
        assert not store.has("0") and store.damage("0") is not None, kind


def test_units_are_asked_only_for_names(installed: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def show(names: Sequence[str]) -> dict[str, systemd.Unit]:
        asked.extend(names)
        return installed.show(names)

    monkeypatch.setattr(systemd, "show", show)
    (installed.root / "vms" / "a b").mkdir()
    inform(installed.places)
    assert asked == ["microvm@db.service", "microvm@web.service"]


HOSTILE = {
    **{
        f"declaration: {kind}": (DECLARATION_FILE, damage)
        for kind, damage in DECLARATIONS.items()
        if kind != "a device"
    },
    **{f"script: {kind}": (RUN_SCRIPT, damage) for kind, damage in RUN_SCRIPTS.items()},
    "command line: not UTF-8": ("share/microvm/command-line", ANY_FILE["not UTF-8"]),
    "drop-in: not UTF-8": ("share/microvm/systemd/microvm@.service.conf", ANY_FILE["not UTF-8"]),
    "a name with an escape sequence": ("share/microvm/hypervisor", lambda path: path.rename(f"{path}\x1b[2J")),
    "a name that is not UTF-8": ("share/microvm/hypervisor", lambda path: path.rename(f"{path}\udcff")),
    "a deep directory": (
        "share/microvm/hypervisor",
        lambda path: (path.parent / "/".join("d" * 40)).mkdir(parents=True),
    ),
}
"""Damage of external packages, by the file."""


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_damaged_external_package_is_refused_with_a_message(
    installed: FakeHost, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restrictions, "read", lambda *_arguments: UNRESTRICTED)
    external = installed.root / "external"
    shutil.copytree(package(installed), external, symlinks=True)
    file, damage = HOSTILE[kind]
    damage(external / file)
    message = _raised(lambda: adopt("web", str(external), installed.places))
    assert message.isprintable()
    assert not run(vm("web", mem=600))["changed"]
