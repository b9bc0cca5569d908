# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of information about MicroVMs, and of external packages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import dhcp, systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.places import Places
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.records import Generation, Record, Records
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.store import PackageStore
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.adopt import _external
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.info import Information, inform
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.observe import read_flake

from ..conformance import violations
from ..examples import FULL
from ..resources.vms.model import want

UP = systemd.Unit(
    active_state="active", sub_state="running", memory="4096", restarts="2", process="7", active_since="Tue today"
)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A host on which every unit runs."""

    def show(names: Sequence[str]) -> dict[str, systemd.Unit]:
        return dict.fromkeys(names, UP)

    monkeypatch.setattr(systemd, "show", show)
    monkeypatch.setattr(systemd, "failed_units", lambda _pattern: {})
    monkeypatch.setattr(dhcp, "addresses_behind", lambda bridge: {"02:00:00:00:00:77": [f"10.8.0.{len(bridge)}"]})
    (tmp_path / "vms").mkdir()
    return Places(str(tmp_path / "vms"), PackageStore(str(tmp_path / "store")), Records(str(tmp_path / "records")))


def link(places: Places, name: str, entry: str, target: str) -> None:
    """Create a link in a state directory."""
    os.makedirs(places.state(name), exist_ok=True)
    os.symlink(target, places.state(name, entry))


def test_all_information_about_an_installed_microvm_is_returned(places: Places) -> None:
    package = want(FULL).package
    assert package is not None
    places.store.install(package)
    name = package.directory_name
    link(places, "web", "current", places.store.path(name))
    link(places, "web", "booted", places.store.path("0-web"))
    generations = (Generation(1, "0-web", bad=True), Generation(2, name))
    places.records.write(Record("web", places.state_directory, generations, volumes=("data.img",), tags=("eu",)))
    os.mkdir(places.work("web"))
    Path(places.work("web", "data.img")).write_bytes(b"1234")
    (one,) = inform(places)
    assert (one["current"], one["booted"], one["old"]) == (name, "0-web", None)
    assert (one["generation"], one["booted_generation"], one["bad_generations"]) == (2, 1, [1])
    assert one["restart_pending"] and not one["foreign"] and one["memory"] == 4096 and one["process"] == 7
    assert one["addresses"] == ["10.0.0.2"] and one["hypervisor"] == "qemu" and one["user"] != "microvm"
    assert (one["guest_memory"], one["processors"], one["accelerator"]) == (1024, 1, "tcg")
    assert one["dhcp_addresses"] == [] and one["tags"] == ["eu"]
    assert one["declaration"] and one["declaration"]["mem"] == 1024 and one["volumes"][0]["size"] == 4
    assert list(violations(one, Information)) == []
    assert [kept["installed"] for kept in one["generations"]] == [False, True]
    assert inform(places, ["other"]) == [] and inform(places, ["web"]) == [one]


def test_addresses_behind_a_bridge_and_declared_volumes_are_returned(places: Places) -> None:
    declared = {
        "name": "mail",
        "kernel": "/k",
        "accel": "tcg",
        "interfaces": [{"bridge": "br12", "mac": "02:00:00:00:00:77"}, {"type": "user"}],
        "volumes": [{"image": "/dev/null", "auto_create": False}, {"image": "a.img", "size": 9}],
    }
    package = want(declared).package
    assert package is not None
    places.store.install(package)
    link(places, "mail", "current", places.store.path(package.directory_name))
    generations = (Generation(1, package.directory_name),)
    places.records.write(Record("mail", places.state_directory, generations, volumes=("former.img", "a.img")))
    (one,) = inform(places)
    assert one["dhcp_addresses"] == ["10.8.0.4"]
    assert [(volume["path"], volume["size"]) for volume in one["volumes"]] == [
        (places.work("mail", "former.img"), None),
        (places.work("mail", "a.img"), None),
        ("/dev/null", None),
    ]


def test_foreign_microvms_are_reported_as_foreign(places: Places) -> None:
    link(places, "nix", "current", "/nix/store/x")
    (places_of_other,) = inform(places)
    assert places_of_other["foreign"] and places_of_other["current"] == "/nix/store/x"
    assert places_of_other["generation"] is None and places_of_other["declaration"] is None
    assert places_of_other["user"] == "microvm"


def test_records_of_other_state_directories_are_left_out(places: Places) -> None:
    places.records.write(Record("web", "/elsewhere"))
    os.mkdir(places.state("no-microvm"))
    assert inform(places) == []


def test_external_packages_are_read_whole(places: Places, tmp_path: Path) -> None:
    directory = tmp_path / "package"
    directory.mkdir()
    with pytest.raises(HostError, match="lacks the executable bin/microvm-run"):
        _external("web", str(directory), places)
    (directory / "bin").mkdir()
    run = directory / "bin" / "microvm-run"
    run.write_text("#!/bin/sh\n")
    run.chmod(0o755)
    (directory / "system").symlink_to("/nowhere")
    (directory / "lib").symlink_to("bin")
    one = _external("web", str(directory), places)
    assert one.content is not None and sorted(one.content.files) == ["bin/microvm-run", "lib", "system"]
    assert one.content.files["bin/microvm-run"].executable and one.content.files["lib"].is_link
    assert (
        one.package
        == _external("web", str(directory), places).package
        != _external("db", str(directory), places).package
    )
    os.mkfifo(directory / "fifo")
    with pytest.raises(HostError, match="neither a regular file nor a symbolic link"):
        _external("web", str(directory), places)


def test_a_flake_is_believed_if_it_is_a_file_of_root_s(places: Places, tmp_path: Path) -> None:
    os.mkdir(places.state("web"))
    assert read_flake("web", places) is None
    (tmp_path / "other").write_text("evil")
    os.symlink(tmp_path / "other", places.state("web", "flake"))
    assert read_flake("web", places) is None
    os.unlink(places.state("web", "flake"))
    Path(places.state("web", "flake")).write_text("github:a/b\n")
    assert read_flake("web", places) == "github:a/b"


def test_addresses_are_those_that_mean_something_without_an_interface(places: Places) -> None:
    guest = {"networks": [{"addresses": ["fe80::7/64", "10.0.0.7/24", "2001:db8::7/64"]}]}
    package = want({**FULL, "interfaces": [{"bridge": "br0"}], "guest": guest}).package
    assert package is not None
    places.store.install(package)
    link(places, "web", "current", places.store.path(package.directory_name))
    assert [one["addresses"] for one in inform(places)] == [["10.0.0.7", "2001:db8::7"]]
