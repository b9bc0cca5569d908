# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refuse volumes that could never be created, and USB devices that would not be found, with their declaration."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ...examples import SMALL, parse


def refusal(**volume: Any) -> str:
    """Return why a volume is refused; empty where it is not."""
    try:
        parse({**SMALL, "volumes": [{"image": "data.img", **volume}]})
    except DeclarationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("kind", "size", "arguments", "least"),
    [
        ("xfs", 299, [], 300),
        ("xfs", 300, [], 0),
        ("xfs", 64, ["-b", "size=1024"], 300),
        ("btrfs", "108M", [], 109),
        ("btrfs", 109, [], 0),
        ("btrfs", 64, ["--mixed"], 0),
        ("btrfs", 8, ["-M"], 16),
        ("ext4", 1, [], 0),
        ("vfat", 1, [], 0),
    ],
)
def test_a_file_system_has_a_least_size(kind: str, size: int | str, arguments: list[str], least: int) -> None:
    refused = refusal(fs_type=kind, size=size, mkfs_extra_args=arguments)
    if least:
        assert refused.startswith("vms[0].volumes[0].size: ") and f"set {least} or more" in refused
    else:
        assert refused == ""


def test_the_size_of_an_image_that_is_not_created_does_not_matter() -> None:
    assert refusal(fs_type="xfs", size=8, auto_create=False) == ""


@pytest.mark.parametrize("image", ["/dev/vg0/data", "/dev/shm/a.img", "//dev/sdz", "/dev//x", "/sys/a", "/proc/a"])
def test_no_image_is_created_where_the_kernel_s_files_are(image: str) -> None:
    refused = refusal(image=image, size=64)
    assert refused.startswith("vms[0].volumes[0].image: ") and "set `auto_create: false` for a block device" in refused


@pytest.mark.parametrize("image", ["/devices/a.img", "dev/a.img", "/srv/dev/a.img", "/run/a.img"])
def test_other_places_may_have_such_names(image: str) -> None:
    assert refusal(image=image, size=64) == ""


def test_a_block_device_is_accepted() -> None:
    assert refusal(image="/dev/vg0/data", auto_create=False) == ""


def refusal_of_usb(path: str) -> str:
    """Return why a USB device is refused; empty where it is not."""
    try:
        parse({**SMALL, "devices": [{"bus": "usb", "path": path}]})
    except DeclarationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("1050:0407", "'1050:0407' is not a property of usb-host: write vendorid=0x1050,productid=0x0407"),
        ("vendorid=0x1050, productid=0x0407", "' productid' is not a property of usb-host; did you mean 'produ"),
        ("vendor=0x1050,productid=0x0407", "'vendor' is not a property of usb-host; did you mean 'vendorid'?"),
        ("vendorid=0x1050,frequency=5", "'frequency' is not a property of usb-host; use device_extra_args"),
        ("vendorid=0x1050,", "'' is not a property"),
        ("vendorid=04f2,productid=1", "'04f2' is not a number for vendorid: write one from 0x1 to 0xffff"),
        ("vendorid=-1,productid=1", "'-1' is not a number for vendorid"),
        ("vendorid=0x10500,productid=1", "'0x10500' is not a number for vendorid"),
        ("hostbus=1,hostaddr=128", "'128' is not a number for hostaddr: write one from 0x1 to 0x7f"),
        # QEMU would take the first device that it may open, whatever it is.
        ("id=key", "'id=key' selects no device, so the guest would get any one"),
        ("vendorid=0x0,hostport=", "selects no device"),
        ("guest-reset=off", "selects no device"),
    ],
)
def test_a_usb_device_that_qemu_would_not_find_or_would_choose_itself_is_refused(path: str, words: str) -> None:
    refused = refusal_of_usb(path)
    assert refused.startswith("vms[0].devices[0].path: ") and words in refused


@pytest.mark.parametrize(
    "path",
    [
        "vendorid=0x1050,productid=0x0407",
        "vendorid=1,productid=2",
        "productid=0XFFFF",
        "vendorid=0,productid=01",
        "hostbus=1,hostport=1.2",
        "hostbus=1,hostaddr=127,guest-reset=off",
        "hostdevice=/dev/bus/usb/001/002",
        "vendorid=0x1050,id=key,pcap=key.pcap",
    ],
)
def test_usb_devices_are_selected_as_qemu_permits(path: str) -> None:
    assert refusal_of_usb(path) == ""
