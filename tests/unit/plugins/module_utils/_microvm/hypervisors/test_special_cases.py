# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of special cases of single hypervisors."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors import registry
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.leftovers import leftovers
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.profiles import PROFILES
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.requests import GuestShutdown
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts.shell import readable
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

VM: dict[str, Any] = {"name": "vm", "kernel": "/k", "initrd_path": "/i"}
LINUX = HostFacts()
MAC = HostFacts("aarch64", "auto", "darwin")
VOLUME = {"image": "v", "size": 1}
BALLOON = {"balloon": True, "deflate_on_oom": False}


def line(hypervisor: str, facts: HostFacts = LINUX, **options: Any) -> str:
    command = registry.command(parse_vm({**VM, "hypervisor": hypervisor, **options}), facts)
    return " ".join(readable(word) for word in command.argv)


def refused(hypervisor: str, facts: HostFacts = LINUX, **options: Any) -> str:
    with pytest.raises(DeclarationError) as refusal:
        line(hypervisor, facts, **options)
    return refusal.value.path


@pytest.mark.parametrize("options", [{}, {"acpi": "on"}])
def test_machine_options_of_the_user_have_an_accelerator(options: dict[str, str]) -> None:
    assert ",accel=kvm" in line("qemu", qemu={"machine_opts": options}).replace("-M microvm,acpi=on", "-M microvm")
    assert "accel=tcg" in line("qemu", qemu={"machine_opts": {"accel": "tcg"}})


def test_qemu_may_start_programs_that_its_arguments_need() -> None:
    assert "spawn=deny" in line("qemu", graphics={"enable": True})
    assert "spawn=deny" not in line("qemu", graphics={"enable": True, "vulkan": "venus"})
    own = line("qemu", qemu={"extra_args": ["-sandbox", "on"]})
    assert own.count("-sandbox") == 1


def test_a_colon_is_no_protocol() -> None:
    assert "file=./a:b.img," in line("qemu", volumes=[{"image": "a:b.img", "size": 1}])
    assert "file=/a:b.img," in line("qemu", volumes=[{"image": "/a:b.img", "size": 1}])


@pytest.mark.parametrize("hypervisor", ["qemu", "crosvm", "alioth", "kvmtool"])
def test_a_credential_of_the_user_replaces_ours(hypervisor: str) -> None:
    options: dict[str, Any] = {"credential_files": {"system.hostname": "/x"}, "guest": {"enable": True}}
    command = line(hypervisor, **options)
    assert command.count("system.hostname") == (1 if hypervisor == "qemu" else 0)
    files = render(parse_vm({**VM, "hypervisor": hypervisor, **options}), HostFacts()).files
    assert "share/microvm/credentials/system.hostname" not in files


@pytest.mark.parametrize(
    ("hypervisor", "argument"),
    [
        ("qemu", "memory-backend-memfd,id=mem,size=2048M,share=on,hugetlb=on,hugetlbsize=1G"),
        ("cloud-hypervisor", "size=2048M,mergeable=on,shared=off,hugepages=on,hugepage_size=1G"),
    ],
)
def test_huge_pages_have_the_declared_size(hypervisor: str, argument: str) -> None:
    assert f" {argument} " in f"{line(hypervisor, mem='2G', hugepage_mem=True, hugepage_size='1G')} "


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"mem": 512, "hugepage_mem": True, "hugepage_size": "1G"}, "mem"),
        ({"mem": 1024, "hugepage_size": "1G"}, "hugepage_mem"),
        ({"mem": 1024, "hugepage_mem": True, "hugepage_size": "1G", "hotplug_mem": 512}, "hotplug_mem"),
    ],
)
def test_sizes_of_huge_pages_that_do_not_fit_are_refused(options: dict[str, Any], key: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse_vm({**VM, **options})
    assert refusal.value.path == key


@pytest.mark.parametrize(("hypervisor", "size"), [("firecracker", "1G"), ("kvmtool", "2M"), ("stratovirt", "2M")])
def test_a_hypervisor_with_one_size_of_huge_pages_refuses_another(hypervisor: str, size: str) -> None:
    assert refused(hypervisor, mem=1024, hugepage_mem=True, hugepage_size=size) == "hugepage_size"


@pytest.mark.parametrize("hypervisor", [name for name, profile in PROFILES.items() if profile.credentials == "initrd"])
def test_credentials_are_appended_to_the_initial_ram_disk_that_the_hypervisor_opens(hypervisor: str) -> None:
    options: dict[str, Any] = {"credential_files": {"key": "/x"}, "guest": {"enable": True}}
    macvtap = {"type": "macvtap", "id": "m", "macvtap": {"link": "eth0", "mode": "bridge"}}
    options["interfaces"] = [macvtap] if PROFILES[hypervisor].claims("interfaces[].type", "macvtap") else []
    command = registry.command(parse_vm({**VM, "hypervisor": hypervisor, **options}), LINUX)
    assert {"key", "system.hostname"} <= set(command.initrd_credentials)
    assert command.initrd_descriptor not in dict(command.macvtaps).values()
    text = " ".join([*map(readable, command.argv), *command.files.values()])
    assert f"/proc/self/fd/{command.initrd_descriptor}" in text
    assert not re.search(r" /i\b|fw.cfg", text)


def test_crosvm_says_by_its_status_how_a_guest_has_ended() -> None:
    """Before its command: there it is an option of all commands."""
    assert "crosvm --extended-status run " in line("crosvm")


def test_the_unit_is_the_sandbox_of_crosvm_if_it_is_strict() -> None:
    assert "--disable-sandbox" in line("crosvm")
    assert "--disable-sandbox" not in line("crosvm", profile="compat")
    assert "--pivot-root /r" in line("crosvm", profile="compat", crosvm={"pivot_root": "/r"})
    assert refused("crosvm", crosvm={"pivot_root": "/r"}) == "crosvm.pivot_root"


def test_a_guest_of_alioth_does_not_wait_for_a_keyboard_controller() -> None:
    assert "reboot=a" in line("alioth") and "reboot=k" not in line("alioth")


@pytest.mark.parametrize("hypervisor", [name for name, each in PROFILES.items() if each.claims("balloon", True)])
def test_free_pages_are_reported_where_the_profile_says_so(hypervisor: str) -> None:
    deflates = PROFILES[hypervisor].claims("deflate_on_oom", True)
    declared = {**VM, "hypervisor": hypervisor, "balloon": True, "deflate_on_oom": deflates}
    files = render(parse_vm(declared), LINUX).files
    shown = b"".join(
        file.content for name, file in files.items() if name.endswith(("command-line", "firecracker.json"))
    )
    assert bool(re.search(rb"page[-_]reporting", shown)) is PROFILES[hypervisor].reports_free_pages


@pytest.mark.parametrize(("version", "reports"), [((1, 13, 1), None), ((1, 14), True), ((1, 17, 0), True)])
def test_firecracker_reports_free_pages_from_the_version_that_can(version: tuple[int, ...], reports: object) -> None:
    facts = HostFacts(versions={"firecracker": version})
    files = render(parse_vm({**VM, "hypervisor": "firecracker", "balloon": True}), facts).files
    (text,) = (file.content for name, file in files.items() if name.endswith("firecracker.json"))
    assert json.loads(text)["balloon"].get("free_page_reporting") is reports


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"interfaces": [{"type": "tap", "id": "id_lan"}]}, "interfaces[0].id"),
        ({"shares": [{"tag": "id_a", "source": "/a", "proto": "virtiofs"}]}, "shares[0].tag"),
    ],
)
def test_names_that_alioth_takes_for_objects_are_refused(options: dict[str, Any], path: str) -> None:
    assert refused("alioth", **options) == path


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"volumes": [{"image": "a=b", "size": 1}]}, "volumes[0].image"),
        ({"volumes": [{"image": "v", "size": 1, "serial": "-x"}]}, "volumes[0].serial"),
        ({"shares": [{"tag": "-a", "source": "/a", "proto": "virtiofs"}]}, "shares[0].tag"),
        ({"socket": "a:b"}, "socket"),
        ({"socket": "a=b"}, "socket"),
    ],
)
def test_values_that_stratovirt_cannot_parse_are_refused(options: dict[str, Any], path: str) -> None:
    assert refused("stratovirt", **options) == path


def test_vfkit_has_no_escapes() -> None:
    options: dict[str, Any] = {"kernel_params": ['x="a b"', "y=a\\b", "z=1,2"]}
    assert 'x="a b" y=a\\b z=1,2"' in line("vfkit", MAC, **options)
    assert refused("vfkit", MAC, kernel_params=['x="a,b"']) == "kernel_params[0]"
    assert refused("vfkit", MAC, volumes=[{"image": 'a"b', "size": 1}]) == "volumes[0].image"


@pytest.mark.parametrize("image", ["a[b", "a]b", 'a"b'])
def test_values_that_cloud_hypervisor_cannot_parse_are_refused(image: str) -> None:
    assert refused("cloud-hypervisor", volumes=[{"image": image, "size": 1}]) == "volumes[0].image"


@pytest.mark.parametrize("socket", ["fd=3", "path=x"])
def test_a_socket_that_cloud_hypervisor_would_read_as_an_option_is_refused(socket: str) -> None:
    assert refused("cloud-hypervisor", socket=socket) == "socket"


@pytest.mark.parametrize("text", ["a,b", "x]y", "[x", 'a"b'])
def test_oem_strings_with_separators_are_refused(text: str) -> None:
    path = refused("cloud-hypervisor", cloud_hypervisor={"platform_oem_strings": [text]})
    assert path == "cloud_hypervisor.platform_oem_strings[0]"


@pytest.mark.parametrize("key", ["uuid", "system_uuid"])
def test_the_user_s_uuid_is_the_machine_s(key: str) -> None:
    command = line("cloud-hypervisor", cloud_hypervisor={"extra_args": ["--platform", f"{key}=1"]})
    assert command.count("uuid=") == 1


def test_a_key_of_an_option_stands_there_once() -> None:
    for extra in (["--cpus", "max=8", "--cpus", "max=4"], ["--platform=a=1", "--platform=a=2"]):
        assert refused("cloud-hypervisor", cloud_hypervisor={"extra_args": extra}) == "cloud_hypervisor.extra_args"
    quoted = line("cloud-hypervisor", cloud_hypervisor={"extra_args": ["--vsock", 'cid=3,socket="a,b"']})
    assert '--vsock cid=3,socket="a,b"' in quoted


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"interfaces": [{"type": "tap"}]}, "interfaces[0].type"),
        ({"vsock": {"cid": 3}}, "vsock.cid"),
        ({"hugepage_mem": True}, "hugepage_mem"),
        ({"devices": [{"bus": "pci", "path": "0000:01:00.0"}]}, "devices[0].bus"),
        ({"shares": [{"tag": "a", "source": "/a", "proto": "virtiofs"}]}, "shares[0].proto"),
        ({"accel": "kvm"}, "accel"),
    ],
)
def test_options_that_qemu_has_only_on_linux_are_refused_on_macos(options: dict[str, Any], path: str) -> None:
    assert refused("qemu", MAC, **options) == path


def test_qemu_uses_hvf_on_macos() -> None:
    assert "accel=hvf:tcg" in line("qemu", MAC) and "accel=tcg" in line("qemu", MAC, accel="tcg")
    assert "-M microvm,accel=tcg" in line("qemu", MAC, guest_system="x86_64-linux", cpu="max")


@pytest.mark.parametrize("mem", [127, 524289])
def test_stratovirt_refuses_sizes_of_memory_that_its_parser_does_not_accept(mem: int) -> None:
    assert refused("stratovirt", mem=mem) == "mem"
    assert "-m 128 " in line("stratovirt", mem=128)


@pytest.mark.parametrize(("deflate", "value"), [(True, "true"), (False, "false")])
def test_switches_of_stratovirts_balloon_are_true_and_false(deflate: bool, value: str) -> None:
    device = line("stratovirt", balloon=True, deflate_on_oom=deflate)
    assert f"virtio-balloon-device,id=balloon0,deflate-on-oom={value},free-page-reporting=true" in device


def test_stratovirt_has_place_for_eleven() -> None:
    volumes = [{"image": f"{index}", "size": 1} for index in range(10)]
    assert line("stratovirt", volumes=volumes)
    assert refused("stratovirt", volumes=volumes, vsock={"cid": 3}) == "volumes"
    assert refused("stratovirt", interfaces=[{"type": "tap"}] * 11) == "interfaces"
    assert line("stratovirt", HostFacts("aarch64"), volumes=volumes, balloon=True, vsock={"cid": 3})


def test_devices_of_stratovirts_standard_machine_are_in_slots_of_pci() -> None:
    tap = {"type": "tap", "id": "t", "mac": "02:00:00:00:00:01"}
    share = {"tag": "s", "source": "/s", "proto": "virtiofs"}
    command = line(
        "stratovirt",
        stratovirt={"machine": "standard"},
        balloon=True,
        store_disk="/d",
        volumes=[VOLUME],
        shares=[share],
        interfaces=[tap],
        vsock={"cid": 3},
    )
    devices = [argument.partition(",id=")[0] for argument in command.split(" ") if ",addr=" in argument]
    assert [device.split(",")[:3] for device in devices] == [
        [f"{kind}-pci", "bus=pcie.0", f"addr={slot:#x}"]
        for slot, kind in enumerate(
            (
                *("virtio-rng", "virtio-balloon", "virtio-blk", "virtio-blk"),
                *("vhost-user-fs", "virtio-net", "vhost-vsock"),
            ),
            start=1,
        )
    ]
    assert "-machine q35,mem-share=on " in command and "-device,id" not in command
    assert " reboot=a " in command and "edd=off" not in command


@pytest.mark.parametrize(
    ("options", "facts", "machine", "device"),
    [
        ({}, LINUX, "microvm", "virtio-rng-device"),
        ({"image": "/images/1"}, LINUX, "q35", "virtio-rng-pci"),
        ({"image": "/images/1", "stratovirt": {"machine": "microvm"}}, LINUX, "microvm", "virtio-rng-device"),
        ({"image": "/images/1", "kernel": "/mine/kernel"}, LINUX, "microvm", "virtio-rng-device"),
        ({"stratovirt": {"machine": "standard"}}, LINUX, "q35", "virtio-rng-pci"),
        ({"image": "/images/1"}, HostFacts("aarch64"), "microvm", "virtio-rng-device"),
        ({"stratovirt": {"machine": "microvm"}}, HostFacts("aarch64"), "microvm", "virtio-rng-device"),
        ({"stratovirt": {"machine": "standard"}}, HostFacts("aarch64"), "virt", "virtio-rng-pci"),
    ],
)
def test_stratovirts_machine_is_one_that_the_kernel_finds_its_devices_in(
    options: dict[str, Any], facts: HostFacts, machine: str, device: str
) -> None:
    declared = {"name": "vm", "hypervisor": "stratovirt", **({} if "image" in options else VM), **options}
    argv = [readable(word) for word in registry.command(parse_vm(declared), facts).argv]
    assert argv[argv.index("-machine") + 1] == machine
    assert any(argument.startswith(device) for argument in argv)


@pytest.mark.parametrize(("machine", "end"), [("microvm", "reboot"), ("standard", "poweroff")])
def test_a_guest_of_stratovirt_ends_in_the_way_that_ends_its_machine(machine: str, end: str) -> None:
    declared = {**VM, "hypervisor": "stratovirt", "stratovirt": {"machine": machine}, "vsock": {"cid": 3}}
    built = registry.command(parse_vm(declared), LINUX)
    assert isinstance(built.shutdown, GuestShutdown) and built.shutdown.guest.word == end
    files = render(parse_vm(declared), LINUX).files
    units = b"".join(file.content for path, file in files.items() if path.startswith("share/microvm/systemd/"))
    assert f"CLEAN_END={end}".encode() in units


def test_ends_that_a_machine_of_stratovirt_does_not_tell_are_refused() -> None:
    standard: dict[str, Any] = {"stratovirt": {"machine": "standard"}}
    assert refused("stratovirt", **standard, on_reboot="stop") == "on_reboot"
    assert refused("stratovirt", on_poweroff="restart") == "on_poweroff"
    assert line("stratovirt", on_reboot="stop") and line("stratovirt", **standard, on_poweroff="restart")


def test_stratovirts_standard_machine_has_place_for_thirty() -> None:
    volumes = [{"image": f"{index}", "size": 1} for index in range(29)]
    standard: dict[str, Any] = {"stratovirt": {"machine": "standard"}}
    assert "addr=0x1e," in line("stratovirt", **standard, volumes=volumes)
    assert refused("stratovirt", **standard, volumes=volumes, vsock={"cid": 3}) == "volumes"


def test_names_of_taps_are_limited() -> None:
    assert "id=a-very-long-user-net" in line("qemu", interfaces=[{"type": "user", "id": "a-very-long-user-net"}])
    assert refused("qemu", interfaces=[{"type": "tap", "id": "a-very-long-tap-name"}]) == "interfaces[0].id"
    assert refused("qemu", interfaces=[{"type": "tap", "id": "0tap"}]) == "interfaces[0].id"
    assert "tap=0tap" in line("cloud-hypervisor", interfaces=[{"type": "tap", "id": "0tap"}])


def test_addresses_of_devices_are_written_in_lower_case() -> None:
    assert "0000:0a:00.0" in line("qemu", devices=[{"bus": "pci", "path": "0000:0A:00.0"}])


def test_sockets_have_short_paths() -> None:
    assert refused("qemu", socket="/" + "s" * 120) == "socket"
    share = {"tag": "t" * 36, "source": "/a", "proto": "virtiofs"}
    assert refused("qemu", name="n" * 63, shares=[share]) == "shares[0].socket"


@pytest.mark.parametrize(
    ("options", "path"),
    [({"mem": 63, "hugepage_mem": True}, "mem"), ({"hotplug_mem": 3, "qemu": {"machine": "q35"}}, "hotplug_mem")],
)
def test_sizes_must_be_multiples_of_huge_pages(options: dict[str, Any], path: str) -> None:
    assert refused("qemu", **options) == path


def test_kvmtools_balloon_gets_its_first_size_when_it_runs() -> None:
    declared = {**VM, "hypervisor": "kvmtool", **BALLOON}
    run = render(parse_vm({**declared, "initial_balloon_mem": 64}), HostFacts()).files["bin/microvm-run"].content
    assert b'set_initial_balloon "$package"/bin/microvm-balloon 64\n' in run
    assert b"set_initial_balloon" not in render(parse_vm(declared), HostFacts()).files["bin/microvm-run"].content


def test_kvmtool_keeps_its_socket_in_the_state_directory() -> None:
    files = render(parse_vm({**VM, "hypervisor": "kvmtool", **BALLOON}), HostFacts()).files
    assert all(b"export HOME=$PWD" in files[f"bin/{name}"].content for name in ("microvm-run", "microvm-balloon"))


@pytest.mark.parametrize("hypervisor", [name for name in PROFILES if name != "vfkit"])
def test_a_guest_finds_its_disks_as_the_table_says(hypervisor: str) -> None:
    options: dict[str, Any] = {"image": "/images/base", "volumes": [{**VOLUME, "mount_point": "/data"}]}
    files = render(parse_vm({**VM, "hypervisor": hypervisor, **options}), LINUX).files
    by_serial = PROFILES[hypervisor].serials
    table = files["share/microvm/credentials/fstab.extra"].content.decode()
    assert table.startswith("/dev/disk/by-id/virtio-" if by_serial else "/dev/vdb ")
    text = b"".join(file.content for file in files.values()).decode()
    assert f"microvm.store={'microvm-store' if by_serial else '/dev/vda'} " in text
    assert ("serial=microvm-store" in text or "id=microvm-store" in text) is by_serial


def test_a_display_needs_a_build_of_cloud_hypervisor_that_has_one() -> None:
    released = HostFacts(missing_options=frozenset({"--gpu"}))
    display: dict[str, Any] = {"graphics": {"enable": True}}
    assert "--gpu" in line("cloud-hypervisor", **display)
    assert refused("cloud-hypervisor", released, **display) == "graphics.enable"
    declared = parse_vm({**VM, "hypervisor": "cloud-hypervisor", **display})
    assert registry.uncommon_options(declared) == ("--gpu",)
    assert registry.uncommon_options(parse_vm({**VM, "hypervisor": "cloud-hypervisor"})) == ()


def test_a_hypervisor_leaves_files_that_are_nobody_s_data() -> None:
    declared = parse_vm({**VM, "hypervisor": "cloud-hypervisor", "socket": "api", "volumes": [{**VOLUME}]})
    assert {"api.lock", ".lkvm"} <= leftovers(declared)
    named_alike = parse_vm({**VM, "hypervisor": "kvmtool", "socket": None, "volumes": [{**VOLUME, "image": ".lkvm"}]})
    assert not leftovers(named_alike)


def test_kvmtool_refuses_vhost_which_passes_no_packet() -> None:
    interfaces = [{"type": "tap", "tap": {"vhost": True}}]
    assert "vhost=on" in line("qemu", interfaces=interfaces)
    assert refused("kvmtool", interfaces=interfaces) == "interfaces[0].tap.vhost"


@pytest.mark.parametrize("hypervisor", list(PROFILES))
def test_a_hypervisor_that_makes_files_of_huge_pages_has_a_directory_for_them(hypervisor: str) -> None:
    if not PROFILES[hypervisor].claims("hugepage_mem", True):
        pytest.skip("has no huge pages")
    files = render(parse_vm({**VM, "hypervisor": hypervisor, "hugepage_mem": True, "mem": 512}), LINUX).files
    text = files["bin/microvm-run"].content.decode()
    assert "/dev/hugepages " not in text
    assert ("share/microvm/huge-pages" in files) is ("/dev/hugepages/microvm-vm" in text)
    assert "share/microvm/huge-pages" not in render(parse_vm({**VM, "hypervisor": hypervisor}), LINUX).files


def test_kvmtool_makes_its_file_of_huge_pages_in_a_directory_of_its_own() -> None:
    assert "--hugetlbfs /dev/hugepages/microvm-vm " in line("kvmtool", hugepage_mem=True, mem=512)
