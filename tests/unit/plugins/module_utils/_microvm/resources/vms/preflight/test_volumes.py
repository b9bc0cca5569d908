# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images that cannot be used or created are reported before anything is changed."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.accounts import Account
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.places import Places
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight import volumes as module
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.volumes import (
    check_volumes,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.state import Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .placed import USER, placed


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Uses of paths that the MicroVM's user is not allowed to make."""
    forbidden: dict[str, int] = {}

    def is_permitted(owner: Account, path: str, mode: int) -> bool:
        assert owner.user == "microvm-one"
        return not forbidden.get(path, 0) & mode

    monkeypatch.setattr(module, "is_permitted", is_permitted)
    return forbidden


def refusal(directory: Path, volume: dict[str, Any], observed: Observed | None = None) -> str:
    """Return why a volume of a MicroVM is refused; empty where it is not."""
    try:
        check_volumes(
            placed({**USER, "volumes": [volume]}), Places(str(directory)), {"one": observed} if observed else {}
        )
    except DeclarationError as error:
        return str(error)
    return ""


def test_an_image_that_is_not_created_must_be_there(tmp_path: Path, closed: dict[str, int]) -> None:
    image, volume = tmp_path / "a.img", {"image": str(tmp_path / "a.img"), "auto_create": False}
    assert refusal(tmp_path, volume).startswith(f"vms[0].volumes[0].image: {image} does not exist")
    image.mkdir()
    assert "neither a file nor a block device" in refusal(tmp_path, volume)
    image.rmdir()
    image.touch()
    assert refusal(tmp_path, volume) == ""


def test_a_relative_image_is_in_the_working_directory(tmp_path: Path, closed: dict[str, int]) -> None:
    volume = {"image": "disks/a.img", "auto_create": False}
    assert f"{tmp_path}/one/work/disks/a.img does not exist" in refusal(tmp_path, volume)
    (tmp_path / "one/work/disks").mkdir(parents=True)
    (tmp_path / "one/work/disks/a.img").touch()
    assert refusal(tmp_path, volume) == ""


@pytest.mark.parametrize("image", ["/dev/null", "/dev/tty"])
def test_a_device_must_be_a_block_device(tmp_path: Path, closed: dict[str, int], image: str) -> None:
    assert "is no block device" in refusal(tmp_path, {"image": image, "auto_create": False})
    link = tmp_path / "disk"
    link.symlink_to(image)
    assert "is no block device" in refusal(tmp_path, {"image": str(link), "auto_create": False})


@pytest.mark.parametrize(
    ("number", "read_only", "is_refused"),
    [(errno.EBUSY, False, True), (errno.EBUSY, True, False), (errno.ENOMEDIUM, False, False), (0, False, False)],
)
def test_a_device_that_the_host_uses_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    closed: dict[str, int],
    number: int,
    read_only: bool,
    is_refused: bool,
) -> None:
    device = str(tmp_path / "device")
    Path(device).touch()
    original = os.open

    def claimed(path: str, flags: int) -> int:
        assert path == device and flags & os.O_EXCL and not flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT)
        if number:
            raise OSError(number, os.strerror(number))
        return original(path, flags)

    monkeypatch.setattr("os.open", claimed)
    monkeypatch.setattr("stat.S_ISBLK", lambda _mode: True)
    monkeypatch.setattr(module, "is_block_device", lambda _volume: True)
    refused = refusal(tmp_path, {"image": device, "auto_create": False, "read_only": read_only})
    assert refused.startswith("vms[0].volumes[0].image: the host itself uses") is is_refused


@pytest.mark.parametrize("volume", [{"auto_create": False}, {"size": 8}, {"auto_create": False, "read_only": True}])
def test_a_link_elsewhere_to_a_block_device_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: dict[str, int], volume: dict[str, Any]
) -> None:
    link = tmp_path / "disk"
    link.symlink_to(tmp_path / "device")
    (tmp_path / "device").touch()
    assert refusal(tmp_path, {"image": str(link), **volume}) == ""
    monkeypatch.setattr("stat.S_ISBLK", lambda _mode: True)
    refused = refusal(tmp_path, {"image": str(link), **volume})
    assert refused.startswith(f"vms[0].volumes[0].image: {link} leads to the block device {tmp_path}/device")
    assert refused.endswith("name it below /dev")


@pytest.mark.parametrize(
    ("read_only", "forbidden", "verb"),
    [(False, os.W_OK, "write"), (False, os.R_OK, "write"), (True, os.R_OK, "read"), (True, os.W_OK, "")],
)
@pytest.mark.parametrize("auto_create", [True, False])
def test_the_user_must_be_able_to_use_an_image_that_is_there(
    tmp_path: Path, closed: dict[str, int], read_only: bool, forbidden: int, verb: str, auto_create: bool
) -> None:
    image = tmp_path / "a.img"
    image.touch()
    closed[str(image)] = forbidden
    volume = {"image": str(image), "read_only": read_only, "auto_create": auto_create, "size": 1}
    refused = refusal(tmp_path, volume)
    assert f"the user 'microvm-one', who runs the hypervisor, cannot {verb} {image}" in refused if verb else not refused


def test_images_follow_a_microvm_to_another_account(tmp_path: Path, closed: dict[str, int]) -> None:
    image = tmp_path / "a.img"
    image.touch()
    closed[str(image)] = os.R_OK
    volume = {"image": str(image), "size": 1}
    assert refusal(tmp_path, volume, Observed("one", exists=True, group="microvm-one")) != ""
    assert refusal(tmp_path, volume, Observed("one", exists=True, group="microvm")) == ""
    assert refusal(tmp_path, volume, Observed("one", exists=False)) != ""


def test_the_former_user_is_asked_before_a_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def is_permitted(owner: Account, path: str, _mode: int) -> bool:
        asked.append(f"{owner.user} {path}")
        return False

    monkeypatch.setattr(module, "is_permitted", is_permitted)
    former = Observed("db7", exists=True, group="microvm-db7")
    (tmp_path / "a.img").touch()
    for image in ("a.img", "b.img"):
        assert "the user 'microvm-db7'" in refusal(tmp_path, {"image": f"{tmp_path}/{image}", "size": 1}, former)
    assert asked == [f"microvm-db7 {tmp_path}/a.img", f"microvm-db7 {tmp_path}"]


def test_a_directory_that_is_there_must_be_writable_for_a_new_image(tmp_path: Path, closed: dict[str, int]) -> None:
    directory = tmp_path / "disks"
    closed[str(directory)] = os.W_OK
    volume = {"image": f"{directory}/a.img", "size": 1}
    # A missing one is created, for the user.
    assert refusal(tmp_path, volume) == ""
    directory.mkdir()
    assert f"the user 'microvm-one', which creates the image, cannot write to {directory}" in refusal(tmp_path, volume)


@pytest.mark.parametrize(("size", "is_refused"), [(700, False), (701, True), ("1T", True)])
@pytest.mark.parametrize("is_there", [True, False])
def test_an_image_that_can_never_fit_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    closed: dict[str, int],
    size: int | str,
    is_refused: bool,
    is_there: bool,
) -> None:
    looked: list[str] = []

    def statvfs(path: str) -> SimpleNamespace:
        looked.append(path)
        return SimpleNamespace(f_frsize=4096, f_blocks=700 * 256, f_bavail=0)

    monkeypatch.setattr("os.statvfs", statvfs)
    if is_there:
        (tmp_path / "one/work").mkdir(parents=True)
        (tmp_path / "one/work/a.img").touch()
    refused = refusal(tmp_path, {"image": "a.img", "size": size})
    assert ("exceed the 700 MiB of the file system" in refused and "volumes[0].size" in refused) is is_refused
    assert looked == [f"{tmp_path}/one/work" if is_there else str(tmp_path)]
