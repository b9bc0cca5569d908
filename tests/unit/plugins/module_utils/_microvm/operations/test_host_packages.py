# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the Debian packages that declared options need on the host."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.devices import LABEL_LENGTHS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.programs import DEBIAN_PACKAGES
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.host_packages import packages_needed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..examples import KEY, SMALL

QEMU = "qemu-system-x86"
SHARE = {"tag": "a", "source": "/srv/a"}
GUEST_PORT = {
    "from": "guest",
    "host": {"address": "127.0.0.1", "port": 53},
    "guest": {"address": "10.0.2.100", "port": 53},
}


def volume(file_system: str, **options: Any) -> dict[str, Any]:
    """Return options with a volume of a file system."""
    return {"volumes": [{"image": "a.img", "size": 512, "fs_type": file_system, **options}]}


NEEDS = {
    "nothing else": ({}, [QEMU]),
    "ext4 by default": ({"volumes": [{"image": "a.img", "size": 8}]}, ["e2fsprogs", QEMU]),
    "xfs": (volume("xfs"), [QEMU, "xfsprogs"]),
    "btrfs": (volume("btrfs"), ["btrfs-progs", QEMU]),
    "vfat": (volume("vfat"), ["dosfstools", QEMU]),
    "image that somebody else makes": (volume("xfs", auto_create=False), [QEMU]),
    "another architecture": ({"guest_system": "aarch64-linux", "cpu": "max", "accel": "tcg"}, ["qemu-system-arm"]),
    "credentials in the initial RAM disk": (
        {"hypervisor": "firecracker", "initrd_path": "/i", "guest": {"enable": True, "authorized_keys": [KEY]}},
        ["cpio"],
    ),
    "terminal": ({"hypervisor": "alioth"}, ["socat"]),
    "port of the host": ({"interfaces": [{"type": "user"}], "forward_ports": [GUEST_PORT]}, ["netcat-openbsd", QEMU]),
    "virtiofs": ({"shares": [{**SHARE, "proto": "virtiofs"}]}, [QEMU, "virtiofsd"]),
    "own virtiofsd": ({"shares": [{**SHARE, "proto": "virtiofs"}], "virtiofsd": {"package": "/opt/v"}}, [QEMU]),
    "9p": ({"shares": [SHARE]}, [QEMU]),
    "own hypervisor": ({"qemu": {"package": "/opt/qemu"}}, []),
    "list of machined": ({"register_with_machined": True}, [QEMU, "systemd-container"]),
    "removal": ({"state": "absent"}, []),
    "package that was made elsewhere": ({"kernel": None, "runner": "/srv/package"}, []),
    "image that is not built yet": ({"kernel": None, "image": "any"}, [QEMU]),
}


@pytest.mark.parametrize(("options", "packages"), NEEDS.values(), ids=NEEDS.keys())
def test_options_need_packages(options: dict[str, Any], packages: list[str]) -> None:
    assert packages_needed([{**SMALL, **options}], "x86_64", "trixie") == packages


def test_packages_are_those_of_the_host_s_architecture_and_release() -> None:
    vms = [SMALL, {**SMALL, "name": "b", "shares": [{**SHARE, "proto": "virtiofs"}]}]
    assert packages_needed(vms, "aarch64", "trixie") == ["qemu-system-arm", "virtiofsd"]
    assert packages_needed(vms, "x86_64", "bookworm") == [QEMU]


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(DeclarationError) as refusal:
        packages_needed([SMALL, {**SMALL, "vcpu": 0}], "x86_64", "trixie")
    assert refusal.value.path == "microvm_vms[1].vcpu"


def test_every_file_system_that_is_created_has_a_package() -> None:
    assert {f"mkfs.{name}" for name in LABEL_LENGTHS} <= set(DEBIAN_PACKAGES)
