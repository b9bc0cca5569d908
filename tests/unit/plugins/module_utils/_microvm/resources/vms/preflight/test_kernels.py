# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""MicroVMs that need what the kernel of their image is built without are refused, and no others."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import HostImage
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.image_store import MANIFEST, Manifest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.kernels import (
    check_kernels,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

MMIO = "CONFIG_VIRTIO_MMIO_CMDLINE_DEVICES"
NINE_P = "CONFIG_NET_9P_VIRTIO"
STRATOVIRT = {"hypervisor": "stratovirt", "stratovirt": {"machine": "microvm"}}
STANDARD = {"hypervisor": "stratovirt", "stratovirt": {"machine": "standard"}}
WITHOUT_ACPI = {"machine_opts": {"acpi": "off"}}
SHARE = {
    "shares": [{"tag": "a", "source": "/srv/a", "proto": "virtiofs"}, {"tag": "b", "source": "/srv/b", "proto": "9p"}]
}


@pytest.fixture(autouse=True)
def x86_64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host with processors that all hypervisors run on."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def check(path: str | None, lacks: list[str], **options: Any) -> None:
    """Verify a MicroVM whose image, in a directory, is said to lack settings."""
    image: HostImage = {
        "name": "base",
        "path": path,
        "store_disk_type": "erofs",
        "kernel_lacks": lacks,
        "uses_host_key": False,
        "nix": False,
    }
    vm = parse_vm({"name": "web", "image": "base", "mem": 256, **options}, [image])
    check_kernels([("vms[0]", vm)], [image])


@pytest.mark.parametrize("path", ["/images/1", None], ids=["known place", "still to be built"])
@pytest.mark.parametrize(
    ("options", "setting", "key", "remedy"),
    [
        (STRATOVIRT, MMIO, "stratovirt.machine", "set it to standard"),
        (SHARE, NINE_P, "shares[1].proto", "set `proto: virtiofs`"),
        ({"qemu": WITHOUT_ACPI}, MMIO, "qemu.machine_opts.acpi", "set it to on"),
        ({"qemu": {**WITHOUT_ACPI, "machine": "microvm"}}, MMIO, "qemu.machine_opts.acpi", "`qemu.machine` to q35"),
        ({**SHARE, "hypervisor": "kvmtool"}, NINE_P, "shares[1].proto", "set `proto: virtiofs`"),
    ],
)
def test_a_need_that_the_kernel_lacks_is_refused_with_a_way_out(
    path: str | None, options: dict[str, Any], setting: str, key: str, remedy: str
) -> None:
    with pytest.raises(DeclarationError) as refusal:
        check(path, [MMIO, NINE_P], **options)
    assert refusal.value.path == f"vms[0].{key}"
    assert setting in refusal.value.message and remedy in refusal.value.message


@pytest.mark.parametrize(
    ("options", "lacks"),
    [
        ({}, [MMIO, NINE_P]),
        (STRATOVIRT, [NINE_P]),
        (STANDARD, [MMIO]),
        ({"hypervisor": "stratovirt"}, [MMIO]),
        (SHARE, [MMIO]),
        ({"qemu": WITHOUT_ACPI}, [NINE_P]),
        ({"qemu": {**WITHOUT_ACPI, "machine": "q35"}}, [MMIO]),
        ({"qemu": {"machine_opts": {"pic": "off"}}}, [MMIO]),
        ({"qemu": {"machine_opts": {"acpi": "on"}}}, [MMIO]),
        ({**STRATOVIRT, "kernel": "/boot/vmlinuz"}, [MMIO]),
        ({**STRATOVIRT, "kernel": "/elsewhere/kernel"}, [MMIO]),
    ],
)
def test_kernels_that_are_unknown_or_can_do_it_are_accepted(options: dict[str, Any], lacks: list[str]) -> None:
    check("/images/1", lacks, **options)


@pytest.mark.parametrize("image", [None, "/images/2"])
def test_without_the_kernel_of_its_image_stratovirts_default_machine_is_refused_for_such_a_kernel(
    image: str | None,
) -> None:
    other_kernel = {"image": image, "kernel": "/images/1/kernel"}
    with pytest.raises(DeclarationError, match=f"stratovirt.machine: .*{MMIO}; set it to standard"):
        check("/images/1", [MMIO], **other_kernel, hypervisor="stratovirt")
    check("/images/1", [MMIO], **other_kernel, **STANDARD)


def test_a_machine_that_is_described_otherwise_needs_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    check("/images/1", [MMIO], **STRATOVIRT)


@pytest.mark.parametrize(
    ("recorded", "said", "refused"),
    [((MMIO,), [], True), ((), [MMIO], False), (None, [MMIO], True), (None, [], False)],
    ids=["lacks it", "has it", "an earlier version built it", "nothing is known"],
)
def test_what_the_image_itself_says_takes_precedence(
    tmp_path: Path, recorded: tuple[str, ...] | None, said: list[str], refused: bool
) -> None:
    (tmp_path / MANIFEST).write_text(Manifest("0" * 32, {}, name="base", kernel_lacks=recorded).to_json())
    if refused:
        with pytest.raises(DeclarationError, match=MMIO):
            check(str(tmp_path), said, **STRATOVIRT)
    else:
        check(str(tmp_path), said, **STRATOVIRT)
