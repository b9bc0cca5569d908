# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images are brought into their state as check mode shows it, and a killed run leaves the old or the new."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.images.parse import parse_image
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.image_store import ImageStore, Manifest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.locks import LOCK_DIRECTORY, locked
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import images
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.executor import execute
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images import build
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.digest import digest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images.state import State, Wanted

from ..image_copies import FILES, write_image
from ..kills import killed_at_call

DECLARATION = parse_image({"name": "base"}, "x86_64")
DIGEST = digest(DECLARATION)
"""The image of all tests is the one that the declaration makes."""


@pytest.fixture(autouse=True)
def build_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that can build images, quickly."""

    def make(declaration: Any, image: str, work: str, cache: str | None) -> Manifest:
        (Path(work) / "tree").mkdir()
        (Path(work) / "tree" / "file").write_text("content")
        for name, content in FILES.items():
            (Path(image) / name).write_bytes(content)
        return Manifest(digest(declaration), {}, name=declaration["name"], store_disk_type="erofs")

    monkeypatch.setattr(build, "_build", make)
    monkeypatch.setattr(images, "check_build_host", lambda _declaration: None)
    monkeypatch.setattr(images, "as_builder", lambda work: work())


def reconcile(directory: Path, state: State, check_mode: bool = False) -> images.ImageResult:
    """Bring the image of a store into a state; what is to be installed was copied to where the role copies it."""
    store = ImageStore(str(directory / "store"))
    wanted = Wanted(DIGEST, state, DECLARATION, staging=str(staging(directory)))
    return images.reconcile_image(wanted, store, check_mode, str(directory / "locks"))


def staging(directory: Path) -> Path:
    """Path of a copy."""
    return directory / "store" / f".staging-{DIGEST}"


def content(directory: Path) -> dict[str, bytes]:
    """Files of the image in the store, but for the manifest."""
    paths = (path for path in (directory / "store" / DIGEST).rglob("*") if path.is_file())
    return {path.name: path.read_bytes() for path in paths if path.name != "manifest.json"}


def prepare(directory: Path, before: str) -> None:
    """Make a store as it is before a run."""
    image = directory / "store" / DIGEST
    if before == "a copy":
        write_image(staging(directory), DIGEST)
    elif before != "nothing":
        write_image(image, DIGEST)
    if before == "half an image":
        (image / "kernel").unlink()
    if before == "half an image and leftovers":
        (image / "manifest.json").unlink()
        write_image(staging(directory), DIGEST)
        (directory / "store" / f".partial-{DIGEST}" / "work").mkdir(parents=True)


BEFORE = ["nothing", "a copy", "an image", "half an image", "half an image and leftovers"]


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("state", State)
def test_a_run_does_the_steps_that_check_mode_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, state: State
) -> None:
    if state is State.INSTALLED and before in ("nothing", "half an image"):
        write_image(staging(tmp_path), DIGEST)
    prepare(tmp_path, before)
    done: list[str] = []

    def watching(jobs: Any, handlers: Any) -> Any:
        outcomes = execute(jobs, handlers)
        done.extend(str(step) for outcome in outcomes.values() for step in outcome.done)
        return outcomes

    monkeypatch.setattr(images, "execute", watching)
    paths = sorted(tmp_path.rglob("*"))
    shown = reconcile(tmp_path, state, check_mode=True)
    assert (sorted(tmp_path.rglob("*")), done) == (paths, [])
    assert reconcile(tmp_path, state) == shown
    assert done == shown["actions"]
    assert content(tmp_path) == ({} if state is State.ABSENT else FILES)
    assert reconcile(tmp_path, state) == {"changed": False, "actions": [], "diff": []}


def test_the_diff_has_the_steps(tmp_path: Path) -> None:
    (diff,) = reconcile(tmp_path, State.BUILT, check_mode=True)["diff"]
    assert diff == {
        "before_header": "steps",
        "after_header": "steps",
        "before": "",
        "after": f"build image {DIGEST}\n",
    }


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("state", State)
def test_a_killed_run_leaves_a_whole_image_or_none_and_the_next_one_completes_it(
    tmp_path: Path, before: str, state: State
) -> None:
    for number in range(1000):
        directory = tmp_path / str(number)
        prepare(directory, before)
        if state is State.INSTALLED and not (directory / "store" / DIGEST / "kernel").exists():
            staging(directory).exists() or write_image(staging(directory), DIGEST)
        killed = killed_at_call(number, partial(reconcile, directory, state))
        if ImageStore(str(directory / "store")).has(DIGEST):
            assert content(directory) == FILES
        reconcile(directory, state)
        assert content(directory) == ({} if state is State.ABSENT else FILES)
        if not killed:
            break
    assert not killed
    if state is State.ABSENT and before != "nothing":
        assert number > 3
        assert os.listdir(directory / "store") == []


def test_a_host_that_cannot_build_is_refused_before_anything_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_declaration: Any) -> None:
        raise HostError("the build host lacks mmdebstrap")

    monkeypatch.setattr(images, "check_build_host", refuse)
    prepare(tmp_path, "half an image")
    for check_mode in (True, False):
        with pytest.raises(HostError, match="lacks mmdebstrap"):
            reconcile(tmp_path, State.BUILT, check_mode)
    assert (tmp_path / "store" / DIGEST / "initrd").exists()
    assert reconcile(tmp_path, State.ABSENT)["changed"]


def test_a_copy_that_is_not_the_image_is_an_error(tmp_path: Path) -> None:
    prepare(tmp_path, "a copy")
    (staging(tmp_path) / "kernel").write_text("other")
    with pytest.raises(HostError, match="does not match the image's manifest"):
        reconcile(tmp_path, State.INSTALLED)


def test_two_runs_of_one_image_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "PATIENCE", 0)
    with locked([f"@image {DIGEST}"], str(tmp_path / "locks")):
        with pytest.raises(HostError, match=f"working on image {DIGEST}"):
            reconcile(tmp_path, State.BUILT)
        assert reconcile(tmp_path, State.BUILT, check_mode=True)["changed"]


def test_an_image_that_is_there_needs_no_lock(tmp_path: Path) -> None:
    prepare(tmp_path, "an image")
    # Nobody can make a directory there.
    (tmp_path / "locks").write_text("")
    assert not reconcile(tmp_path, State.BUILT)["changed"]
    assert not reconcile(tmp_path, State.INSTALLED)["changed"]


def test_only_what_builds_needs_root_of_a_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def as_builder(work: Any) -> None:
        built.append("as root")
        work()

    monkeypatch.setattr(images, "as_builder", as_builder)
    reconcile(tmp_path, State.BUILT)
    assert built == ["as root"]
    # The image is there: nothing is built, and nobody needs a lock or a namespace.
    reconcile(tmp_path, State.BUILT)
    assert built == ["as root"]


@pytest.mark.parametrize(
    ("user", "caches", "expected"),
    [(0, None, LOCK_DIRECTORY), (1000, None, "/home/ann/.cache/"), (1000, "/scratch", "/scratch/")],
)
def test_a_user_who_is_not_root_locks_images_in_the_own_cache(
    monkeypatch: pytest.MonkeyPatch, user: int, caches: str | None, expected: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if caches is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", caches)
    assert images._locks() == (expected if user == 0 else f"{expected}microvm-fleet/locks")
