# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""QEMU's command line by meaning: options with their values."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors import registry
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.words import Variable
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..examples import FULL, SMALL, parse

KVM, TCG = HostFacts(accel="kvm"), HostFacts(accel="tcg")


def arguments(facts: HostFacts = KVM, **options: Any) -> list[str]:
    """The command line as text, variables in braces."""
    argv = registry.command(parse({**SMALL, **options})[0], facts).argv
    return ["".join(p if isinstance(p, str) else f"{{{getattr(p, 'value', p)}}}" for p in word.parts) for word in argv]


def values(argv: list[str], option: str) -> list[str]:
    return [argv[index + 1] for index, word in enumerate(argv) if word == option]


def machine(facts: HostFacts) -> dict[str, str]:
    kind, *options = values(arguments(facts), "-M")[0].split(",")
    assert kind == "microvm"
    return dict(option.split("=") for option in options)


def test_timers_are_those_that_the_accelerator_needs() -> None:
    assert (machine(KVM)["accel"], machine(KVM)["pit"], machine(KVM)["pic"]) == ("kvm", "off", "off")
    assert (machine(TCG)["accel"], machine(TCG)["pit"], machine(TCG)["pic"]) == ("tcg", "on", "on")
    assert values(arguments(KVM), "-cpu") == ["host,+x2apic,-sgx"]
    assert values(arguments(TCG), "-cpu") == ["max"], "-cpu host is impossible without KVM"
    assert values(arguments(TCG), "-append")[0].endswith(f"{{{Variable.TSC_PARAMETER.value}}}")
    assert "tsc" not in values(arguments(KVM), "-append")[0]


def test_guests_can_be_powered_off() -> None:
    assert machine(KVM)["acpi"] == "on"
    assert "-no-reboot" in arguments()


def test_memory_and_processors_become_arguments_of_qemu() -> None:
    argv = arguments(mem="1G", vcpu=2)
    assert values(argv, "-m") == ["1024M"]
    assert values(argv, "-smp") == ["2"]


def test_two_gibibytes_avoid_the_firmware_that_hangs() -> None:
    assert values(arguments(mem=2048), "-bios") == ["qboot.rom"]
    assert "-bios" not in arguments(mem=2047)


def test_the_kernel_command_line_has_the_declared_parameters() -> None:
    append = values(arguments(kernel_params=["quiet", 'x="a b"'], initrd_path="/i"), "-append")[0]
    assert append.split()[:4] == ["earlyprintk=ttyS0", "console=ttyS0", "reboot=t", "panic=-1"]
    assert append.endswith('quiet x="a b"')


def test_root_disk_has_a_serial_only_where_our_initrd_looks_for_it() -> None:
    foreign = arguments(store_disk="/d")
    assert "virtio-blk-device,drive=store" in foreign
    ours = arguments(kernel=None, image="base")
    assert "virtio-blk-device,drive=store,serial=microvm-store" in ours
    assert any("read-only=on" in drive for drive in values(ours, "-drive"))


def test_volumes_become_drives_of_qemu() -> None:
    volumes = [
        {"image": "a,b.img", "size": 1, "serial": "s1"},
        {"image": "/srv/c", "auto_create": False, "direct": True, "read_only": True},
    ]
    argv = arguments(volumes=volumes)
    assert values(argv, "-drive") == [
        "id=vda,format=raw,file=a,,b.img,if=none,aio=io_uring,discard=unmap,read-only=off",
        "id=vdb,format=raw,file=/srv/c,if=none,aio=io_uring,discard=unmap,cache=none,read-only=on",
    ]
    assert "virtio-blk-device,drive=vda,serial=s1" in argv
    assert "virtio-blk-device,drive=vdb" in argv


def test_shares_become_file_systems_of_qemu() -> None:
    argv = arguments(shares=[{"tag": "t", "source": "/a,b", "read_only": True}])
    assert values(argv, "-fsdev") == ["local,id=fs0,path=/a,,b,security_model=none,readonly=true"]
    assert "virtio-9p-pci,fsdev=fs0,mount_tag=t" in argv


def test_interfaces_become_netdevs_of_qemu() -> None:
    argv = arguments(interfaces=[{"id": "t0", "mac": "02:00:00:00:00:01"}, {"type": "user", "id": "u0"}])
    assert values(argv, "-netdev") == ["tap,id=t0,ifname=t0,script=no,downscript=no", "user,id=u0"]
    assert "virtio-net-device,netdev=t0,mac=02:00:00:00:00:01" in argv


def test_a_tap_has_a_queue_for_each_processor_and_is_made_for_it() -> None:
    declaration = parse({**SMALL, "vcpu": 2, "interfaces": [{"id": "t0"}]})[0]
    command = registry.command(declaration, KVM)
    assert any("queues=2" in str(word) for word in command.argv)
    assert any("mq=on" in str(word) and "vectors" not in str(word) for word in command.argv)
    assert command.multi_queue


def test_credentials_are_files_of_the_package() -> None:
    declaration = parse(FULL)[0]
    argv = registry.command(declaration, KVM).argv
    files = [word for word in argv if "opt/io.systemd.credentials/" in str(word.parts[0])]
    assert len(files) == 6
    assert all(Variable.PACKAGE in word.parts for word in files)
    assert not any("AAAAC3" in str(word) for word in argv), "what stands in a credential is never an argument"


@pytest.mark.parametrize(("interfaces", "slots"), [(4, []), (5, ["fw_cfg_io.x-file-slots=46"])])
def test_there_is_place_for_the_credentials_of_many_interfaces(interfaces: int, slots: list[str]) -> None:
    assert values(arguments(**{**FULL, "interfaces": [{}] * interfaces}), "-global") == slots


def test_unsupported_options_are_refused_with_their_path() -> None:
    with pytest.raises(DeclarationError) as refusal:
        registry.check(parse(SMALL)[0], HostFacts(architecture="s390x"), "vms[3]")
    assert refusal.value.path == "vms[3].hypervisor"
    volumes = [{"image": f"{number}.img", "size": 1} for number in range(31)]
    with pytest.raises(DeclarationError) as refusal:
        registry.command(parse({**SMALL, "volumes": volumes})[0], KVM)
    assert "30" in refusal.value.message


@pytest.mark.parametrize(("architecture", "machine"), [("x86_64", "microvm"), ("aarch64", "virt")])
def test_kvm_is_tried_with_the_declared_kernel_and_no_other_accelerator(architecture: str, machine: str) -> None:
    argv = list(registry.probe(architecture, "/boot/vmlinuz"))
    assert argv[0] == f"qemu-system-{architecture}"
    assert values(argv, "-M")[0].split(",")[:2] == [machine, "accel=kvm"]
    assert values(argv, "-kernel") == ["/boot/vmlinuz"]
