# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that is killed before or after any of its steps is completed by the next one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.rollback import roll_back
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources import executor

from ..fake_host import FakeHost, install
from .test_move import IMAGES, arrive, side
from .test_move import install as make_moving
from .test_one_road import run, vm

VOLUMES = [{"image": "data.img", "size": 10}, {"image": "more.img", "size": 10}]
DELETED = {"volumes": "delete", "confirm": ["data.img", "more.img"]}

Work = Callable[[FakeHost], object]


def reconciles(**options: Any) -> Work:
    return lambda _host: reconcile_whole(**options)


def reconcile_whole(**options: Any) -> None:
    (outcome,) = run(vm(**options))["vms"]
    assert outcome["msg"] == ""


def make_volumes(host: FakeHost) -> None:
    reconcile_whole(volumes=VOLUMES)
    for volume in VOLUMES:
        Path(host.places.state("web", str(volume["image"]))).write_bytes(b"data")


def install_two(_host: FakeHost) -> None:
    reconcile_whole()
    reconcile_whole(mem=600)


def go_back(host: FakeHost) -> None:
    try:
        roll_back("web", None, False, False, True, host.places)
    except HostError as error:
        # A run that was killed after its last step has nothing to complete.
        assert "no older generation" in str(error)


def fall_back(host: FakeHost) -> None:
    new = vm(mem=600, rollback_on_failure=True)
    (predicted,) = run(new, check=True)["vms"]
    host.failing_packages = {str(predicted["refused_package"] or predicted["package"])}
    (outcome,) = run(new)["vms"]
    assert outcome["rolled_back"] or outcome["refused_package"]


def make_old(host: FakeHost) -> None:
    """Install a MicroVM with all that a rename has to move: volumes, archives, a host key, a share's settings."""
    options = {"volumes": VOLUMES, "shares": [{"proto": "virtiofs", "tag": "t", "source": str(host.root / "share")}]}
    for mem in (500, 600):
        (outcome,) = run(vm("old", mem=mem, **options))["vms"]
        assert outcome["msg"] == ""
    Path(host.places.work("old", "data.img")).write_bytes(b"data of old")
    for name, content in (("old", "older"), ("web", "of an earlier web")):
        archive = host.root / "archive" / name
        archive.mkdir(parents=True)
        (archive / "data.img.1").write_text(content)
    (host.root / "known_hosts").write_text("old ssh-ed25519 AAAA\nother ssh-ed25519 BBBB\n")


def rename_old(host: FakeHost) -> None:
    reconcile_whole(renamed_from="old", volumes=VOLUMES)


def hold(host: FakeHost) -> None:
    make_moving(host)
    side(host, "held")


def accept(host: FakeHost) -> None:
    arrive(host)
    side(host, "accepted", images=IMAGES)
    reconcile_whole(volumes=VOLUMES)


STORIES: dict[str, tuple[Work, Work]] = {
    "installation": (lambda _host: None, reconciles()),
    "another user": (reconciles(), reconciles(isolation="shared")),
    "a limit": (reconciles(), reconciles(limits={"cpu_quota": 50})),
    "deletion of volumes": (make_volumes, reconciles(state="absent", on_absent=DELETED)),
    "rollback": (install_two, go_back),
    "fallback": (reconciles(), fall_back),
    "hold before a move": (make_moving, lambda host: side(host, "held")),
    "a move that is taken back": (hold, lambda host: side(host, "released")),
    "volumes that are put into place": (arrive, lambda host: side(host, "accepted", images=IMAGES)),
    "a target that gives volumes back": (accept, lambda host: side(host, "incoming")),
    "rename": (make_old, rename_old),
    "rename and another user": (make_old, reconciles(renamed_from="old", volumes=VOLUMES, isolation="shared")),
}


class Killed(BaseException):
    """End of a run."""


def kill(monkeypatch: pytest.MonkeyPatch, number: int, after: bool) -> None:
    """Let the run end before or after its ``number``-th call of a handler."""
    original, numbers = executor._error_of, itertools.count()

    def counting(work: Callable[[], object]) -> str | None:
        is_last = next(numbers) == number
        if is_last and not after:
            raise Killed
        error = original(work)
        if is_last:
            raise Killed
        return error

    monkeypatch.setattr(executor, "_error_of", counting)


def state(host: FakeHost) -> tuple[dict[str, str], dict[str, tuple[bool, bool]], set[str], dict[str, str]]:
    """Links and contents of files; units that run or are enabled; users; settings that systemd has read."""
    paths = [path for path in host.root.rglob("*") if path.parent.name != "locks" and not path.is_dir()]
    links = {path: os.readlink(path) for path in paths if path.is_symlink()}
    contents = {path: links.get(path) or path.read_text() for path in paths}
    own = str(host.root)
    units = {name: (unit.running, unit.enabled) for name, unit in host.units.items() if unit.running or unit.enabled}
    settings = {unit: text for unit, text in host.read_settings.items() if text}
    relative = {str(path.relative_to(own)): text.replace(own, "") for path, text in contents.items()}
    return relative, units, host.users, settings


def tell(directory: Path, story: tuple[Work, Work], number: int | None = None, after: bool = False) -> Any:
    """Return the state after a story whose second run was killed and done again; None where it had no such step."""
    directory.mkdir()
    with pytest.MonkeyPatch.context() as monkeypatch:
        host = install(FakeHost(directory), monkeypatch)
        story[0](host)
        if number is not None:
            with monkeypatch.context() as killing:
                kill(killing, number, after)
                try:
                    story[1](host)
                except Killed:
                    pass
                else:
                    return None
        story[1](host)
        return state(host)


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES.keys())
def test_a_killed_run_is_completed_by_the_next(tmp_path: Path, story: tuple[Work, Work]) -> None:
    expected = tell(tmp_path / "whole", story)
    for number in itertools.count():
        actual = [tell(tmp_path / f"{number}-{after}", story, number, after) for after in (False, True)]
        if None in actual:
            break
        assert actual == [expected, expected], f"killed at step {number}"
    assert number >= 3


@pytest.mark.parametrize("left", [(), ("50-microvm-fleet.conf.partial",)], ids=["no file", "half a file"])
def test_a_drop_in_that_a_killed_run_has_left_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: tuple[str, ...]
) -> None:
    host = install(FakeHost(tmp_path), monkeypatch)
    reconcile_whole()
    drop_in = Path(host.places.drop_in("microvm@.service", "web"))
    drop_in.unlink()
    for name in left:
        (drop_in.parent / name).touch()
    reconcile_whole(state="absent")
    assert not drop_in.parent.exists()
    assert not run(vm(state="absent"))["changed"]
