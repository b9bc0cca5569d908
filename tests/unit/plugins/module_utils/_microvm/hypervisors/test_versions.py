# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command lines of the oldest versions that are supported, and of the newest: golden, since programs read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors import registry
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.command import Command
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.programs import program_path
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts.shell import readable
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..examples import parse

VM: dict[str, Any] = {
    "name": "vm",
    "kernel": "/k",
    "initrd_path": "/i",
    "store_disk": "/s",
    "machine_id": "00000000000050008000000000000001",
}
VOLUME = {"image": "v", "size": 1}


def built(hypervisor: str, version: tuple[int, ...] | None, **options: Any) -> Command:
    facts = HostFacts(versions={hypervisor: version} if version else {})
    return registry.command(parse({**VM, "hypervisor": hypervisor, **options})[0], facts)


def line(hypervisor: str, version: tuple[int, ...] | None, **options: Any) -> str:
    return " ".join(readable(word) for word in built(hypervisor, version, **options).argv)


QEMU = (
    "qemu-system-x86_64 -name vm -M microvm,accel=kvm,acpi=on,mem-merge=on,pcie=off,pic=off,pit=off,rtc=on,usb=off "
    "-m 512M -smp 1 -cpu host,+x2apic,-sgx -nodefaults -no-user-config -no-reboot "
    "-smbios type=1,uuid=00000000-0000-5000-8000-000000000001 -device virtio-rng-device -device i8042 {user} "
    "-kernel /k -initrd /i -append earlyprintk=ttyS0 console=ttyS0 reboot=t panic=-1 "
    "-chardev stdio,id=stdio,signal=off -serial chardev:stdio "
    "-drive id=store,format=raw,read-only=on,file=/s,if=none,aio=io_uring -device virtio-blk-device,drive=store "
    "-nographic -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny "
    "-qmp unix:vm.sock,server=on,wait=off -chardev pipe,id=events,path=microvm.events -mon chardev=events,mode=control"
)


@pytest.mark.parametrize(
    ("version", "user"), [((7, 2, 22), "-runas u"), ((11, 1, 3), "-run-with user=u"), (None, "-run-with user=u")]
)
def test_qemu_gets_the_options_of_its_version(version: tuple[int, ...] | None, user: str) -> None:
    assert line("qemu", version, user="u") == QEMU.format(user=user)


CLOUD_HYPERVISOR = (
    "cloud-hypervisor --cpus boot=1 --watchdog --kernel /k --initramfs /i "
    "--cmdline earlyprintk=ttyS0 console=ttyS0 reboot=t panic=-1 --seccomp true "
    "--memory size=512M,mergeable=on,shared=off --platform {uuid}=00000000-0000-5000-8000-000000000001 "
    "--console null --serial tty --disk path=/s,readonly=on{raw} path=v,readonly=off,direct=off{raw} "
    "--api-socket vm.sock"
)


@pytest.mark.parametrize(
    ("version", "uuid", "raw"),
    [((36, 0), "uuid", ""), ((52, 0), "uuid", ",image_type=raw"), ((53, 0), "system_uuid", ",image_type=raw")],
)
def test_cloud_hypervisor_gets_the_options_of_its_version(version: tuple[int, ...], uuid: str, raw: str) -> None:
    assert line("cloud-hypervisor", version, volumes=[VOLUME]) == CLOUD_HYPERVISOR.format(uuid=uuid, raw=raw)


def test_cloud_hypervisor_that_reads_options_otherwise_is_refused() -> None:
    with pytest.raises(DeclarationError, match="36 or newer"):
        line("cloud-hypervisor", (35, 0))


def test_firecracker_gets_the_options_of_its_version() -> None:
    old, new = built("firecracker", (1, 3, 0), volumes=[VOLUME]), built("firecracker", (1, 16, 1), volumes=[VOLUME])
    command = "firecracker --config-file $package/share/microvm/firecracker.json --api-sock vm.sock"
    assert " ".join(readable(word) for word in old.argv) == command
    assert " ".join(readable(word) for word in new.argv) == f"{command} --enable-pci"
    configuration = {
        "boot-source": {
            "boot_args": "console=ttyS0,115200 reboot=k panic=1 i8042.noaux i8042.nomux i8042.dumbkbd",
            "initrd_path": "/i",
            "kernel_image_path": "/k",
        },
        "drives": [
            {
                "drive_id": "store",
                "io_engine": "Async",
                "is_read_only": True,
                "is_root_device": False,
                "path_on_host": "/s",
            },
            {
                "cache_type": "Writeback",
                "drive_id": "v",
                "io_engine": "Async",
                "is_read_only": False,
                "is_root_device": False,
                "path_on_host": "v",
            },
        ],
        "machine-config": {"mem_size_mib": 512, "smt": True, "vcpu_count": 1},
        "network-interfaces": [],
    }
    assert json.loads(old.files["firecracker.json"]) == configuration
    assert json.loads(new.files["firecracker.json"]) == {**configuration, "entropy": {}}
    for options, version in (({"hugepage_mem": True}, (1, 6)), ({"firecracker": {"cpu": {"a": 1}}}, (1, 12))):
        with pytest.raises(DeclarationError, match="or newer"):
            built("firecracker", version, **options)
        assert built("firecracker", (1, 16), **options)


@pytest.mark.parametrize(
    ("package", "expected"),
    [
        (None, "lkvm"),
        ("lkvm-static", "lkvm-static"),
        ("/opt/kvmtool", "/opt/kvmtool/bin/lkvm"),
        ("/opt/lkvm/", "/opt/lkvm/bin/lkvm"),
        ("/opt/lkvm/bin/lkvm-7", "/opt/lkvm/bin/lkvm-7"),
        ("/usr/libexec/qemu-kvm", "/usr/libexec/qemu-kvm"),
    ],
)
def test_a_package_is_a_directory_a_path_or_a_name(package: str | None, expected: str) -> None:
    assert program_path(package, "lkvm") == expected


def test_extra_configuration_is_merged_at_any_depth() -> None:
    extra = {"machine-config": {"track_dirty_pages": True}, "logger": {"level": "Warning"}, "drives": []}
    files = built("firecracker", None, firecracker={"extra_config": extra}).files
    configuration = json.loads(files["firecracker.json"])
    assert configuration["machine-config"]["track_dirty_pages"] and configuration["machine-config"]["vcpu_count"] == 1
    assert configuration["drives"] == []
