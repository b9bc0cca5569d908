# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sides of a move on a fake host: a MicroVM that is held starts by no road, and volumes arrive as a whole."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import guest_keys
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.holds import to_receipt
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.host_setup import _refuse_installed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.lifecycle import restart_vm, start_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.move import MoveResult, move
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request, reconcile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.moves import observe
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..fake_host import FakeHost
from .test_one_road import run, vm

VOLUMES = [{"image": "data.img", "size": 10}, {"image": "logs/log.img", "size": 10}]
IMAGES = ["data.img", "logs/log.img"]


def side(
    host: FakeHost, state: str, peer: str = "other", images: Sequence[str] = (), check: bool = False
) -> MoveResult:
    return move("web", state, peer, images, True, host.places, check)


def install(host: FakeHost) -> None:
    run(vm(volumes=VOLUMES))
    for image in IMAGES:
        path = Path(host.places.work("web", image))
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"content of {image}")


def arrive(host: FakeHost, **options: Any) -> None:
    directory = Path(side(host, "incoming")["incoming_directory"])
    (directory / "logs").mkdir()
    for image in IMAGES:
        (directory / image).write_text(f"content of {image}")
    run(vm(volumes=VOLUMES, state="present", **options))


def is_running(host: FakeHost) -> bool:
    unit = host.units.get("microvm@web.service")
    return unit is not None and unit.running


def test_a_held_microvm_starts_by_no_road(host: FakeHost) -> None:
    install(host)
    assert side(host, "held", check=True)["actions"] == side(host, "held")["actions"]
    assert not is_running(host) and not side(host, "held")["changed"]
    (outcome,) = run(vm(volumes=VOLUMES))["vms"]
    assert outcome["failed"] and not outcome["changed"] and "is being moved to other" in outcome["msg"]
    for begin in (start_vm, restart_vm):
        with pytest.raises(HostError, match="is being moved to other"):
            begin("web", host.places)
    assert not is_running(host)


def test_what_a_guest_shares_with_its_host_is_named_as_it_stays(host: FakeHost) -> None:
    sources = ["files", "/srv/files", "/nix/store"]
    run(vm(shares=[{"tag": str(number), "source": source} for number, source in enumerate(sources)]))
    (words,) = side(host, "held", check=True)["warnings"]
    assert words.startswith(
        f"web shares {host.places.work('web', 'files')}, /srv/files with its guest. What is in there"
    )
    assert side(host, "held")["warnings"] == [words]
    assert side(host, "released")["warnings"] == []
    install(host)
    assert side(host, "held")["warnings"] == []


@pytest.mark.parametrize("purge", ["stop", "remove"])
def test_a_held_microvm_is_not_purged(host: FakeHost, purge: str) -> None:
    install(host)
    side(host, "held")
    request = Request(vms=(), purge=purge, state_dir=host.places.state_directory)
    assert reconcile(request)["undeclared"] == [] and side(host, "examined")["installed"]
    assert side(host, "released")["running"] and reconcile(request)["undeclared"] == ["web"]


def test_preflight_reports_what_is_still_being_moved_to_this_host(host: FakeHost) -> None:
    request = Request(vms=[vm(volumes=VOLUMES)], state_dir=host.places.state_directory, preflight=True)
    assert [result["name"] for result in reconcile(request)["vms"]] == ["web"]
    arrive(host)
    assert [(result["name"], result["failed"]) for result in reconcile(request)["vms"]] == [("web", False)]


def test_what_was_stopped_before_stays_stopped(host: FakeHost) -> None:
    run(vm(volumes=VOLUMES, state="stopped", autostart=False))
    side(host, "held")
    assert side(host, "released")["actions"] == ["let start again: web", "delete the receipt of web"]
    assert not is_running(host) and os.listdir(host.root / "moves") == []


def test_volumes_are_in_place_before_the_target_may_start(host: FakeHost) -> None:
    arrive(host)
    (outcome,) = run(vm(volumes=VOLUMES))["vms"]
    assert outcome["failed"] and "from other to this host" in outcome["msg"]
    assert side(host, "accepted", images=IMAGES)["received"]
    for image in IMAGES:
        assert Path(host.places.work("web", image)).read_text() == f"content of {image}"
    assert not side(host, "accepted", images=IMAGES)["changed"]
    assert run(vm(volumes=VOLUMES))["vms"][0]["msg"] == "" and is_running(host)
    assert side(host, "finished")["actions"] == ["delete the receipt of web"]
    assert os.listdir(host.root / "moves") == []


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_a_guest_takes_its_host_keys_along(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "RUN_DIRECTORY", str(host.root / "run"))
    declared = vm(volumes=VOLUMES, guest={"enable": True, "host_key": True})
    run({**declared, "name": "other"})
    other = (host.root / "known_hosts").read_text().split()[1:]
    arriving = Path(side(host, "incoming")["access_directory"]) / "host-key"
    arriving.mkdir(parents=True)
    (host.root / "host-keys" / "other").rename(arriving / "web")
    arrive(host, guest=declared["guest"])
    made = (host.root / "host-keys" / "web").read_text()
    keys = ["ssh-ed25519 AAAAOWN", " ".join(other)]
    outcome = move("web", "accepted", "other", IMAGES, False, host.places, False, guest_keys=keys)
    assert outcome["received"] and sorted(outcome["guest_keys"]) == sorted(keys)
    key = Path(outcome["guest_key_file"] or "").read_text()
    assert key == (arriving / "web").read_text() != made
    assert not any("PRIVATE" in str(value) for value in outcome.values())
    assert guest_keys.given_names(["web", "site"]) == {"web"}


def test_a_guest_that_was_given_no_key_moves_without(host: FakeHost) -> None:
    arrive(host)
    outcome = side(host, "accepted", images=IMAGES)
    assert (outcome["guest_key_file"], outcome["guest_keys"]) == (None, [])


def test_a_target_that_does_not_come_up_gives_the_volumes_back_for_the_next_copy(host: FakeHost) -> None:
    arrive(host)
    side(host, "accepted", images=IMAGES)
    run(vm(volumes=VOLUMES))
    outcome = side(host, "incoming")
    assert not is_running(host) and not outcome["received"] and outcome["side"] == "target"
    assert sorted(volume["image"] for volume in outcome["incoming"]) == IMAGES and outcome["volumes"] == []
    assert side(host, "accepted", images=IMAGES)["received"]


def test_digests_and_sizes_are_those_of_the_content(host: FakeHost) -> None:
    install(host)
    volumes = {volume["image"]: volume for volume in side(host, "examined")["volumes"]}
    assert list(volumes) == IMAGES and volumes["data.img"]["size"] == len("content of data.img")
    assert volumes["logs/log.img"]["digest"] == hashlib.sha256(b"content of logs/log.img").hexdigest()


def test_a_link_in_place_of_a_volume_is_not_taken_along(host: FakeHost) -> None:
    install(host)
    image = Path(host.places.work("web", "data.img"))
    image.unlink()
    image.symlink_to("/etc/hostname")
    assert [volume["image"] for volume in side(host, "examined")["volumes"]] == ["logs/log.img"]
    for check in (True, False):
        with pytest.raises(HostError, match=r"regular files: data\.img"):
            side(host, "held", check=check)
    assert is_running(host)


def test_a_linked_directory_of_a_volume_is_refused(host: FakeHost, tmp_path: Path) -> None:
    install(host)
    directory = Path(host.places.work("web", "logs"))
    directory.rename(tmp_path / "elsewhere")
    directory.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HostError, match=r"regular files: logs/log\.img"):
        side(host, "held")


def test_what_has_been_removed_from_the_source_is_not_taken_back(host: FakeHost) -> None:
    install(host)
    side(host, "held")
    assert run(vm(state="absent"))["vms"][0]["msg"] == ""
    for check in (True, False):
        with pytest.raises(HostError, match="has been removed from this host"):
            side(host, "released", check=check)


def test_a_prediction_needs_no_units_that_the_same_run_brings(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    install(host)
    monkeypatch.setattr(observe, "_units_know_holds", lambda: False)
    assert "keep from starting: web" in side(host, "held", check=True)["actions"]
    with pytest.raises(HostError, match="units of this host are of an earlier version"):
        side(host, "held")


def test_a_host_that_is_given_up_names_the_unfinished_move(host: FakeHost) -> None:
    install(host)
    side(host, "held")
    with pytest.raises(HostError, match=r"still installed on this host: web(.|\n)*\nweb is being moved to other"):
        _refuse_installed(host.places.records)


@pytest.mark.parametrize("check", [True, False])
def test_a_target_keeps_its_own_microvm_of_the_former_name(host: FakeHost, check: bool) -> None:
    run(vm("shop", volumes=VOLUMES))
    with pytest.raises(HostError, match="'shop' of its own, whose place web would take"):
        move("web", "incoming", "other", [], False, host.places, check, former="shop")
    assert move("web", "incoming", "other", [], False, host.places, check, former="elsewhere")["changed"]
    if not check:
        with pytest.raises(DeclarationError, match="'web' is being moved"):
            run(vm(renamed_from="shop", volumes=VOLUMES, state="present"))


def test_an_image_that_is_there_is_not_overwritten_by_one_that_arrives(host: FakeHost) -> None:
    arrive(host)
    image = Path(host.places.work("web", "data.img"))
    image.write_text("of the target")
    with pytest.raises(HostError, match=r"data\.img is there already"):
        side(host, "accepted", images=IMAGES)
    assert image.read_text() == "of the target" and side(host, "examined")["side"] == "target"


@pytest.mark.parametrize("state", ["present", "stopped", "started"])
@pytest.mark.parametrize("is_taken_back", [False, True])
def test_a_microvm_that_is_being_moved_is_not_renamed(host: FakeHost, state: str, is_taken_back: bool) -> None:
    install(host)
    side(host, "held")
    if is_taken_back:
        to_receipt("web")
    with pytest.raises(DeclarationError, match="'web' is being moved"):
        run(vm("shop", renamed_from="web", volumes=VOLUMES, state=state))
    assert side(host, "examined")["installed"]
