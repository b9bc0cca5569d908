# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes that could never be created are refused with their declaration."""

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
