# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of block devices as volumes: what is accepted, and what a package, a unit and a guest make of them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import PackagedVm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.guest import credentials
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.unit_filter import problem_of_settings
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.units import (
    external_directories,
    writable_paths,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ...examples import FULL, SMALL, parse

ZVOL = "/dev/zvol/tank/vm:web-data"
MAIN = "microvm@.service"


def volume(**options: Any) -> dict[str, Any]:
    """Return a volume that is a block device."""
    return {"image": ZVOL, "auto_create": False, **options}


REFUSED = {
    "creation": ({"image": "/dev/vg0/data", "size": 8}, "image", "`auto_create: false` for a block device"),
    "creation, spelt otherwise": ({"image": "//dev/./vg0/data", "size": 8}, "image", "would be lost"),
    "blank in the path": (volume(image="/dev/disk/by-label/my data"), "image", "cannot name"),
    "specifier in the path": (volume(image="/dev/vg0/%n"), "image", "cannot name"),
    "label of a file system": (volume(image="/dev/disk/by-label/data"), "image", "/dev/disk/by-id"),
    "UUID of a file system, spelt otherwise": (
        volume(image="/dev//disk/./by-uuid/7a"),
        "image",
        "follows the contents",
    ),
    "label of a partition": (volume(image="/dev/disk/by-partlabel/a", read_only=True), "image", "/dev/VG/LV"),
    "UUID of a partition": (volume(image="/dev/disk/by-partuuid/7a"), "image", "/dev/disk/by-path"),
    "UUID of a physical volume": (volume(image="/dev/disk/by-id/lvm-pv-uuid-7a"), "image", "follows the contents"),
    "another format of images": (volume(image_type="qcow2"), "image_type", "must be raw"),
    "read-only device that is formatted": (volume(format="if_blank", read_only=True), "format", "read-only"),
    "file system that nobody makes": (volume(format="if_blank", fs_type="ntfs"), "fs_type", "cannot be created"),
    "long label": (volume(format="if_blank", fs_type="xfs", label="x" * 13), "label", "12 bytes"),
    "image that is formatted as a device": ({"image": "a.img", "size": 8, "format": "if_blank"}, "format", "/dev"),
    "file in memory": (volume(image="/dev/shm/a.img", format="if_blank"), "format", "devices below /dev"),
}


@pytest.mark.parametrize(("declared", "key", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_done_with_a_device_is_refused(declared: dict[str, Any], key: str, message: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse({**SMALL, "volumes": [declared]})
    assert refusal.value.path == f"vms[0].volumes[0].{key}"
    assert message in refusal.value.message


@pytest.mark.parametrize("image", ["/dev/disk/by-id/wwn-0x5", "/dev/disk/by-path/pci-0:1-part2", "/dev/by-label/a"])
def test_links_that_no_content_moves_are_accepted(image: str) -> None:
    assert parse({**SMALL, "volumes": [volume(image=image)]})[0]["volumes"][0]["image"] == image


def files(**options: Any) -> dict[str, str]:
    """Return the files of the package of a MicroVM with a device."""
    package = render(parse({**SMALL, "volumes": [volume(**options)]})[0], HostFacts())
    return {path: file.content.decode() for path, file in package.files.items()}


@pytest.mark.parametrize("profile", ["strict", "compat"])
@pytest.mark.parametrize(("read_only", "access"), [(False, "rw"), (True, "r")])
def test_a_unit_lets_in_the_declared_device_and_no_other(profile: str, read_only: bool, access: str) -> None:
    declaration = parse({**SMALL, "profile": profile, "volumes": [volume(read_only=read_only)]})[0]
    package = render(declaration, HostFacts())
    lines = package.files[f"share/microvm/systemd/{MAIN}.conf"].content.decode().splitlines()
    allowed = [line for line in lines if line.startswith("DeviceAllow=")]
    assert allowed == ["DeviceAllow=", "DeviceAllow=/dev/kvm rw", f"DeviceAllow={ZVOL} {access}"]
    assert package.files["share/microvm/block-devices"].content.decode() == f"{access} {ZVOL}\n"
    assert "setfacl" in package.programs


def test_nothing_below_dev_is_a_directory_of_the_microvm() -> None:
    declaration = parse({**SMALL, "volumes": [volume()]})[0]
    assert writable_paths(declaration) == external_directories(declaration) == ()
    assert "ReadWritePaths" not in files()[f"share/microvm/systemd/{MAIN}.conf"]


def test_a_device_is_formatted_only_where_that_is_declared() -> None:
    assert ZVOL not in files()["bin/microvm-run"].split("exec -a")[0]
    script = files(format="if_blank", fs_type="xfs", label="data")["bin/microvm-run"]
    assert f"format_if_blank {ZVOL} mkfs.xfs -q -L data\n" in script
    package = render(parse({**SMALL, "volumes": [volume(format="if_blank", fs_type="btrfs")]})[0], HostFacts())
    assert "mkfs.btrfs" in package.programs


def test_an_external_package_gets_the_devices_of_its_declaration() -> None:
    declaration: PackagedVm = parse({**SMALL, "volumes": [volume(read_only=True)]})[0]
    base = "[Service]\nUser=microvm-small\nGroup=microvm-small\n"
    for device, is_accepted in ((f"{ZVOL} r", True), (f"{ZVOL} rw", False), ("/dev/sda r", False)):
        settings = {MAIN: f"{base}DeviceAllow={device}\n"}
        assert (problem_of_settings(settings, declaration, "/package", "small") == "") is is_accepted
    settings = {MAIN: f"{base}ReadWritePaths=/dev/zvol/tank\n"}
    assert problem_of_settings(settings, declaration, "/package", "small")


def test_a_file_system_grows_in_the_guest_when_its_device_has_grown() -> None:
    declaration = parse({**FULL, "volumes": [volume(mount_point="/data")], "shares": []})[0]
    assert " /data ext4 defaults,x-systemd.growfs 0 2\n" in credentials(declaration, by_serial=True)["fstab.extra"]
