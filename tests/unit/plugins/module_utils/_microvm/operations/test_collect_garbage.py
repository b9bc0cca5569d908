# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Garbage collection on a host: what is shown is what is removed, and what another run is at work on stays."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.commands import (
    collect_garbage as command,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.parser import parser
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.image_store import ImageStore
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.locks import locked
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.places import Places
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Generation, Record, Records
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.store import PackageStore
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import collect_garbage as operation
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.collect_garbage import (
    Collected,
    collect,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.garbage.observe import observe
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.garbage.plan import Action, plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.garbage.state import Stores

from ..kills import killed_at_call

NOTHING = Stores()


class Host:
    """A host whose MicroVM web has one package that a link leads to, one that is kept, and one that nobody wants."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.images = ImageStore(str(directory / "images"))
        self.roots = directory / "roots"
        self.places = Places(
            str(directory / "vms"), PackageStore(str(directory / "packages")), Records(str(directory / "records"))
        )
        for digest in "123":
            self.add_package(digest, "web")
        (directory / "packages" / ".partial-4-web").mkdir()
        (directory / "images" / ".staging-5").mkdir()
        self.age(directory / "images" / ".staging-5")
        (directory / "vms" / "web").mkdir(parents=True)
        (directory / "vms" / "web" / "current").symlink_to(directory / "packages" / "1-web")
        (self.roots / "web").mkdir(parents=True)
        (self.roots / "web" / "x").symlink_to("/nix/store/x")
        self.age(self.roots / "web" / "x")
        self.places.records.write(Record("web", self.places.state_directory, (Generation(7, "2-web"),)))

    def add_package(self, digest: str, name: str) -> None:
        """Install a package, and an old image that it refers to."""
        share = self.directory / "packages" / f"{digest}-{name}" / "share" / "microvm"
        share.mkdir(parents=True)
        kernel = f"{self.directory}/images/{digest}/kernel"
        (share / "declaration.json").write_text(json.dumps({"name": name, "kernel": kernel}))
        image = self.directory / "images" / digest
        image.mkdir(parents=True)
        (image / "kernel").write_bytes(b"k" * 5000)
        self.age(image)

    @staticmethod
    def age(path: Path) -> None:
        """Make an entry older than a run may take from it to its MicroVMs."""
        os.utime(path, (time.time() - 7200,) * 2, follow_symlinks=False)

    def collect(self, check: bool = False, verifies: bool = False) -> Collected:
        """Remove garbage."""
        return collect(self.places, check, self.images, str(self.directory / "locks"), verifies)

    def left(self) -> dict[str, list[str]]:
        """Return what remains in the stores."""
        return {name: sorted(os.listdir(self.directory / name)) for name in ("packages", "images", "roots")}


GARBAGE = [
    "remove package 3-web",
    "remove GC root ROOTS/web/x",
    "remove leftover of a package .partial-4-web",
    "remove image 3",
    "remove leftover of an image .staging-5",
]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Host with used and unused packages and images."""
    made = Host(tmp_path)

    def observe_here(places: Places, images: ImageStore, names: Iterable[str], busy: frozenset[str]) -> Stores:
        return observe(places, images, names, busy, str(made.roots))

    monkeypatch.setattr(operation, "observe", observe_here)
    yield made


def steps(host: Host, collected: Collected) -> list[str]:
    """Words of all steps."""
    return [str(entry.step).replace(str(host.roots), "ROOTS") for entry in collected.entries]


def test_a_run_does_the_steps_that_check_mode_shows(host: Host) -> None:
    before = host.left()
    shown = host.collect(check=True)
    assert steps(host, shown) == GARBAGE
    assert host.left() == before
    assert host.collect() == shown
    assert host.left() == {"packages": ["1-web", "2-web"], "images": ["1", "2"], "roots": []}
    assert host.collect().entries == ()


def test_sizes_are_those_on_the_disk(host: Host) -> None:
    shown = host.collect(check=True)
    sizes = {str(entry.step): entry.size for entry in shown.entries}
    assert sizes["remove image 3"] >= 5000 and sizes["remove leftover of a package .partial-4-web"] == 0
    assert shown.freed == sum(sizes.values())
    image = host.directory / "images" / "3"
    os.link(image / "kernel", image / "same")
    host.age(image)
    assert host.collect(check=True).freed == shown.freed


def test_microvms_that_another_run_is_working_on_are_kept(host: Host) -> None:
    before = host.left()
    with locked(["web"], str(host.directory / "locks")):
        collected = host.collect()
    assert collected.busy == ("web",) and steps(host, collected) == ["remove leftover of an image .staging-5"]
    assert host.left() == {**before, "images": ["1", "2", "3"]}


def test_what_a_run_has_just_built_is_kept_until_it_is_installed(host: Host) -> None:
    (host.roots / "web" / "new").symlink_to("/nix/store/new")
    assert steps(host, host.collect()) == GARBAGE
    assert host.left()["roots"] == ["web"] and os.listdir(host.roots / "web") == ["new"]
    host.age(host.roots / "web" / "new")
    assert steps(host, host.collect()) == ["remove GC root ROOTS/web/new"]


def test_check_mode_waits_for_nobody(host: Host) -> None:
    with locked(["web"], str(host.directory / "locks")):
        shown = host.collect(check=True)
    assert shown.busy == () and steps(host, shown) == GARBAGE


def test_a_microvm_that_is_installed_meanwhile_stays(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def names(_places: Places) -> Sequence[str]:
        # After the locks were taken.
        host.add_package("6", "new")
        return ["web"]

    monkeypatch.setattr(operation, "names", names)
    collected = host.collect()
    assert collected.busy == ("new",)
    assert "6-new" in host.left()["packages"] and "6" in host.left()["images"]
    assert "3-web" not in host.left()["packages"]


def test_an_entry_that_cannot_be_removed_does_not_keep_others(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = PackageStore.remove

    def fail(store: PackageStore, name: str) -> None:
        if name == "0-web":
            raise OSError("Input/output error")
        remove(store, name)

    monkeypatch.setattr(PackageStore, "remove", fail)
    (host.directory / "packages" / "0-web").mkdir()
    collected = host.collect()
    errors = {str(entry.step): entry.error for entry in collected.entries if entry.error}
    assert errors == {"remove package 0-web": "Input/output error"}
    assert collected.freed == sum(entry.size for entry in collected.entries[1:])
    assert host.left() == {"packages": ["0-web", "1-web", "2-web"], "images": ["1", "2"], "roots": []}


def test_a_killed_run_is_completed_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1000):
        host = Host(tmp_path / str(number))
        monkeypatch.setattr(operation, "observe", partial(observe, roots=str(host.roots)))
        killed = killed_at_call(number, host.collect)
        for image in ("1", "2"):
            assert (host.directory / "images" / image / "kernel").exists()
        for leftover in (host.directory / "images").glob(".partial-*"):
            # The next run does not take it for one that is just being made.
            host.age(leftover)
        host.collect()
        left = host.left()
        assert (left["packages"], left["images"]) == (["1-web", "2-web"], ["1", "2"])
        assert list(host.roots.glob("*/*")) == []
        if not killed:
            break
    assert not killed and number > 10


def test_many_microvms_need_few_descriptors(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(300):
        (host.directory / "packages" / f"7-vm{number}").mkdir()
    before, most = len(os.listdir("/proc/self/fd")), []
    size = operation.disk_usage

    def counting(path: str) -> int:
        most.append(len(os.listdir("/proc/self/fd")))
        return size(path)

    monkeypatch.setattr(operation, "disk_usage", counting)
    assert len(host.collect().entries) == 300 + len(GARBAGE)
    assert max(most) <= before + 1


def test_the_command_shows_steps_and_errors(
    host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> tuple[int, list[str], str]:
        status = command.collect_garbage(parser().parse_args(["gc", *words]))
        printed = capsys.readouterr()
        return status, printed.out.replace(str(host.roots), "ROOTS").splitlines(), printed.err

    monkeypatch.setattr(command, "require_root", lambda _asked: None)
    monkeypatch.setattr(command, "collect", lambda _places, check, _images, verifies: host.collect(check, verifies))
    status, shown, errors = run("--check")
    assert (status, errors) == (0, "")
    assert [line.rpartition(" (")[0] for line in shown[:-1]] == GARBAGE
    assert shown[-1].startswith("unused entries: 5, ") and shown[-1].endswith(" to free")
    assert run() == (0, [*shown[:-1], shown[-1].replace("to free", "freed")], "")
    (host.directory / "packages" / "0-web").mkdir()
    monkeypatch.setattr(PackageStore, "remove", lambda _store, _name: os.rmdir("/nonexistent"))
    status, shown, errors = run()
    assert status == 1 and "packages/0-web: " in errors and "No such file" in errors
    assert shown[-1].startswith("unused entries: 1, 0 bytes")


def test_every_action_is_carried_out(host: Host) -> None:
    planned = plan(observe(host.places, host.images, ["web"], frozenset(), str(host.roots)))
    marks = plan(replace(NOTHING, damaged_packages=frozenset({"a-b"}), damaged_images=frozenset({"c"})))
    assert {step.action for step in (*planned.steps, *marks.steps)} == set(Action)


def test_what_is_damaged_is_reported_marked_and_shown_before(host: Host) -> None:
    """Packages and images of ``Host`` lack nearly everything, so all of them are damaged."""
    shown = host.collect(check=True, verifies=True)
    marks = [f"mark as damaged: package {name}" for name in ("1-web", "2-web")]
    marks += [f"mark as damaged: image {name}" for name in "12"]
    assert steps(host, shown) == [*marks, *GARBAGE] and len(shown.problems) == 4
    assert host.places.store.damaged() == host.images.damaged() == frozenset()
    assert host.collect(verifies=True) == shown
    assert host.places.store.damaged() == {"1-web", "2-web"} and host.images.damaged() == {"1", "2"}
    again = host.collect(verifies=True)
    assert again.entries == () and again.problems == shown.problems
    assert host.collect().problems == ()
    host.places.store.remove("2-web")
    assert host.places.store.damaged() == {"1-web"} and host.places.store.leftovers() == []


def test_nothing_that_a_damaged_record_or_package_may_need_is_removed(host: Host) -> None:
    before = host.left()
    record = host.directory / "records" / "web.json"
    content = record.read_text()
    record.write_text("{")
    collected = host.collect()
    assert steps(host, collected) == ["remove leftover of an image .staging-5"]
    assert len(collected.problems) == 1 and str(record) in collected.problems[0]
    assert host.left()["packages"] == before["packages"]
    record.write_text(content)
    (host.directory / "packages" / "1-web" / "share" / "microvm" / "declaration.json").write_text("[]")
    assert steps(host, host.collect()) == [words for words in GARBAGE if "image" not in words]
