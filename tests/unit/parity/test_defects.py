# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The defects of microvm.nix that concern packages: each is right in ours, and the test's name says which it is."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.source import Source
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.work import Result, results
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts.shell import readable

from .test_cases import DEFECTS

ELSEWHERE = {
    "H01": "a unit of the host: ExecStop of a package that has no microvm-shutdown",
    "H02": "drop-ins of NixOS' own",
    "G02": "microvm.nix's handbook",
}
"""Defects that are not of packages, and what they are of."""

TAP = {"type": "tap", "id": "t0", "mac": "02:00:00:00:00:01"}
USER = {"type": "user", "id": "u0", "mac": "02:00:00:00:00:02"}
SHARE = {"tag": "data", "source": "/srv/data", "proto": "virtiofs"}
VOLUME = {"image": "data.img", "size": 16}


def make(hypervisor: str, platform: str = "x86_64-linux", **options: Any) -> Result:
    """Render a declaration."""
    files = {"kernel": "/kernel", "initrd_path": "/initrd", "store_disk": "/store"}
    raw = {"name": "vm", "hypervisor": hypervisor, **files, **options}
    return results(Source((("", raw),)), platform)[0]


def argv(hypervisor: str, platform: str = "x86_64-linux", **options: Any) -> list[str]:
    result = make(hypervisor, platform, **options)
    assert result.command, result.error
    return [readable(word) for word in result.command.argv]


def values(hypervisor: str, option: str, platform: str = "x86_64-linux", **options: Any) -> list[str]:
    words = argv(hypervisor, platform, **options)
    return [words[index + 1] for index, word in enumerate(words) if word == option]


def file(hypervisor: str, path: str, platform: str = "x86_64-linux", **options: Any) -> str | None:
    result = make(hypervisor, platform, **options)
    assert result.package, result.error
    found = result.package.files.get(path)
    return found.content.decode() if found else None


def refusal(hypervisor: str, platform: str = "x86_64-linux", **options: Any) -> tuple[str, str]:
    error = make(hypervisor, platform, **options).error
    assert error, "it is not refused"
    return error.path, error.message


def test_Q01_a_usb_device_brings_the_bus_of_its_controller() -> None:
    devices = [{"bus": "usb", "path": "vendorid=0x1050"}]
    assert "pcie=on" in values("qemu", "-M", devices=devices)[0]


@pytest.mark.parametrize("machine", ["microvm", "q35"])
def test_Q02_the_controller_comes_before_the_device(machine: str) -> None:
    devices = values("qemu", "-device", devices=[{"bus": "usb", "path": "vendorid=0x1050"}], qemu={"machine": machine})
    assert devices.index("qemu-xhci") < devices.index("usb-host,vendorid=0x1050")


def test_Q03_root_ports_bring_pci() -> None:
    assert "pcie=on" in values("qemu", "-M", qemu={"pcie_root_ports": [{"id": "rp0", "chassis": 1}]})[0]


def test_Q04_ports_are_forwarded_once() -> None:
    ports = [{"host": {"port": 2222}, "guest": {"port": 22}}]
    other = {"type": "user", "id": "u1", "mac": "02:00:00:00:00:03"}
    assert [
        net.count("hostfwd") for net in values("qemu", "-netdev", interfaces=[USER, other], forward_ports=ports)
    ] == [1, 0]


def test_Q05_a_machine_without_a_declared_id_has_the_derived_one() -> None:
    (smbios,) = values("qemu", "-smbios", machine_id=None)
    register = file("qemu", "bin/microvm-register", machine_id=None, register_with_machined=True)
    assert smbios.rpartition("=")[2] in (register or "")


def test_Q06_C07_V02_a_stop_waits_for_the_process_whatever_standard_input_is(tmp_path: Path) -> None:
    """Real processes: the scripts of every hypervisor that can be asked, with a `sleep` in place of the hypervisor."""
    for hypervisor in ("qemu", "cloud-hypervisor", "firecracker", "crosvm"):
        run = file(hypervisor, "bin/microvm-run") or ""
        (tmp_path / "run").write_text(run[: run.rindex("\nexec ")] + "\nexec sleep 1.5\n")
        (tmp_path / "stop").write_text(file(hypervisor, "bin/microvm-shutdown") or "")
        with subprocess.Popen(["bash", "run"], cwd=tmp_path) as process:
            recorded = tmp_path / "microvm.pid"
            while not recorded.exists() or not recorded.read_text():
                assert process.poll() is None
            stop = ["bash", "stop"]
            subprocess.run(stop, cwd=tmp_path, stdin=subprocess.DEVNULL, check=True, timeout=60)
            # Nobody has waited for it yet, so it is a zombie at most.
            stat = Path(f"/proc/{process.pid}/stat")
            assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"
        subprocess.run(stop, cwd=tmp_path, stdin=subprocess.DEVNULL, check=True, timeout=60)
        (tmp_path / "microvm.pid").unlink()


def test_Q07_every_guest_is_asked_by_its_power_button() -> None:
    for platform in ("x86_64-linux", "aarch64-linux"):
        script = file("qemu", "bin/microvm-shutdown", platform) or ""
        assert "system_powerdown" in script and "send-key" not in script and "input-send-event" not in script


@pytest.mark.parametrize("hypervisor", ["qemu", "cloud-hypervisor", "crosvm", "kvmtool", "firecracker", "stratovirt"])
def test_Q08_a_balloon_script_only_where_it_works(hypervisor: str) -> None:
    assert file(hypervisor, "bin/microvm-balloon") is None
    # kvmtool's never deflates.
    declared: dict[str, Any] = {"balloon": True, "deflate_on_oom": hypervisor != "kvmtool"}
    assert file(hypervisor, "bin/microvm-balloon", **declared)
    if hypervisor != "kvmtool":
        assert file(hypervisor, "bin/microvm-balloon", **declared, socket=None) is None


@pytest.mark.parametrize("hypervisor", ["qemu", "cloud-hypervisor", "firecracker"])
def test_Q09_plugged_memory_without_a_place_for_it_is_refused(hypervisor: str) -> None:
    assert refusal(hypervisor, hotplugged_mem=256)[0] == "hotplugged_mem"


def test_Q10_virtiofsd_sees_plugged_memory() -> None:
    objects = values("qemu", "-object", qemu={"machine": "q35"}, hotplug_mem=512, shares=[SHARE])
    assert [("memfd" in one, "share=on" in one) for one in objects] == [(True, True)] * 2


def test_Q11_udp_from_the_guest_is_refused() -> None:
    port = {"from": "guest", "proto": "udp", "host": {"port": 1, "address": "127.0.0.1"}}
    port["guest"] = {"port": 1, "address": "10.0.2.9"}
    assert refusal("qemu", interfaces=[USER], forward_ports=[port])[0] == "forward_ports[0].proto"


def test_Q12_the_accelerator_is_the_one_that_is_named() -> None:
    words = argv("qemu")
    assert "-enable-kvm" not in words and "accel=kvm," in words[words.index("-M") + 1]


def test_Q13_more_devices_than_slots_are_on_pci() -> None:
    volumes = [{"image": f"{index}.img", "size": 1} for index in range(23)]
    assert "pcie=off" in values("qemu", "-M", volumes=volumes[:22])[0]
    assert "pcie=on" in values("qemu", "-M", volumes=volumes)[0]
    many = [{"image": f"{index}.img", "size": 1} for index in range(40)]
    assert refusal("qemu", volumes=many)[0] == "volumes"


def test_C01_plugged_memory_comes_on_top() -> None:
    (memory,) = values("cloud-hypervisor", "--memory", mem=1024, hotplug_mem=2048, hotplugged_mem=512)
    assert {"size=1024M", "hotplug_size=2048M", "hotplugged_size=512M"} <= set(memory.split(","))


@pytest.mark.parametrize(("serial", "console"), [("tty", True), ("off", False), ("null", False), ("pty", True)])
@pytest.mark.parametrize("form", ["{option} {value}", "{option}={value}"])
def test_C02_C05_a_serial_console_of_extra_args_is_ours(serial: str, console: bool, form: str) -> None:
    extra = form.format(option="--serial", value=serial).split()
    options: dict[str, Any] = {"cloud_hypervisor": {"extra_args": extra}}
    assert values("cloud-hypervisor", "--serial", **options) == [serial]
    assert ("console=ttyS0" in values("cloud-hypervisor", "--cmdline", **options)[0]) is console


def vsock(*extra: str, **options: Any) -> list[str]:
    return values("cloud-hypervisor", "--vsock", cloud_hypervisor={"extra_args": list(extra)}, **options)


def test_C03_a_vsock_of_extra_args_keeps_its_keys() -> None:
    assert vsock("--vsock", "cid=5,socket=/run/v,iommu=on,id=v0") == ["cid=5,socket=/run/v,iommu=on,id=v0"]
    assert vsock("--vsock", "socket=/run/v", vsock={"cid": 7}) == ["cid=7,socket=/run/v"]
    for extra in (["--vsock", "socket=/run/v"], ["--vsock", "cid=5", "--vsock", "cid=6"]):
        assert refusal("cloud-hypervisor", cloud_hypervisor={"extra_args": extra})


def test_C04_oem_strings_are_found_in_every_platform() -> None:
    extra = ["--platform", "num_pci_segments=2", "--platform=oem_strings=[late]"]
    assert refusal("cloud-hypervisor", cloud_hypervisor={"extra_args": extra})[0] == "cloud_hypervisor.extra_args"


def test_C05_the_form_with_an_equals_sign_is_the_same() -> None:
    assert vsock("--vsock=cid=5") == vsock("--vsock", "cid=5") == ["cid=5,socket=notify.vsock"]


def test_C06_a_key_is_found_only_where_a_key_is() -> None:
    assert vsock("--vsock", "socket=/run/cid=7/v.sock", vsock={"cid": 9}) == ['cid=9,socket="/run/cid=7/v.sock"']


def test_V01_the_crosvm_of_the_display_is_the_declared_one() -> None:
    script = file("crosvm", "bin/microvm-run", graphics={"enable": True, "crosvm_package": "/opt/gpu"})
    assert "/opt/gpu/bin/crosvm device" in (script or "")


@pytest.mark.parametrize(("vcpu", "threads"), [(1, True), (2, True), (3, False), (4, True), (5, False)])
def test_F01_threads_come_in_pairs(vcpu: int, threads: bool) -> None:
    text = file("firecracker", "share/microvm/firecracker.json", vcpu=vcpu)
    assert json.loads(text or "")["machine-config"]["smt"] is threads


def test_F02_no_stop_script_where_nothing_can_be_asked() -> None:
    assert file("firecracker", "bin/microvm-shutdown", "aarch64-linux") is None


def test_F03_a_guest_without_a_root_disk() -> None:
    assert json.loads(file("firecracker", "share/microvm/firecracker.json", store_on_disk=False) or "")["drives"] == []


def test_F04_the_guest_is_told_where_to_notify_and_the_host_where_the_vsock_is() -> None:
    options: dict[str, Any] = {"vsock": {"cid": 42}}
    boot = json.loads(file("firecracker", "share/microvm/firecracker.json", **options) or "")["boot-source"][
        "boot_args"
    ]
    assert "systemd.set_credential=vmm.notify_socket:vsock-stream:2:8888" in boot
    assert file("firecracker", "share/microvm/vsock-socket", **options) == "notify.vsock\n"
    assert "\nrelay_notifications notify.vsock_8888\n" in (file("firecracker", "bin/microvm-run", **options) or "")


def test_K01_kvmtool_takes_pci_devices_and_refuses_usb() -> None:
    devices = [{"bus": "pci", "path": "0000:01:00.0"}]
    assert values("kvmtool", "--vfio-pci", devices=devices) == ["0000:01:00.0"]
    assert refusal("kvmtool", devices=[{"bus": "usb", "path": "vendorid=1"}])[0] == "devices[0].bus"


FAKE_LKVM = """\
#!/bin/bash
cd "${0%/*}" || exit
case "$*" in
    "balloon -n vm -i "*) echo $(($(< held) + $5)) > held ;;
    "balloon -n vm -d "*) if [ "$(< held)" -ge "$5" ]; then echo $(($(< held) - $5)) > held; fi ;;
    *) exit 128 ;;
esac
"""


def test_K02_the_balloon_has_the_size_that_is_set(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "lkvm"
    program.parent.mkdir()
    program.write_text(FAKE_LKVM)
    program.chmod(0o755)
    (tmp_path / "bin" / "held").write_text("0\n")
    declared: dict[str, Any] = {"balloon": True, "deflate_on_oom": False, "kvmtool": {"package": str(program)}}
    script = file("kvmtool", "bin/microvm-balloon", **declared) or ""

    def balloon(size: str) -> str:
        command = ["bash", "-c", script, "microvm-balloon", size]
        subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        return (tmp_path / "bin" / "held").read_text().strip()

    assert [balloon(size) for size in ("64", "64", "200", "0", "33", "-1", "all")] == [
        *("64", "64", "200", "0", "33", "33", "33")
    ]


@pytest.mark.parametrize(("vcpu", "queues"), [(1, "1"), (4, "4"), (20, "16")])
def test_S01_queues_are_said_once(vcpu: int, queues: str) -> None:
    (netdev,) = values("stratovirt", "-netdev", vcpu=vcpu, interfaces=[TAP])
    assert re.findall(r"queues=(\d+)", netdev) == [queues]


def test_S02_several_descriptors_of_a_macvtap() -> None:
    macvtap = {**TAP, "type": "macvtap", "macvtap": {"link": "eth0", "mode": "bridge"}}
    assert "fds=3:4:5:6" in values("stratovirt", "-netdev", vcpu=4, interfaces=[macvtap])[0]


@pytest.mark.parametrize("interface", [USER, {**TAP, "type": "bridge", "bridge": "br0"}])
def test_S03_networks_that_stratovirt_has_not_are_refused(interface: dict[str, str]) -> None:
    path, message = refusal("stratovirt", interfaces=[interface])
    assert path == "interfaces[0].type" and "qemu" in message


def test_S04_memory_is_shared_with_virtiofsd() -> None:
    assert values("stratovirt", "-machine", shares=[SHARE]) == ["microvm,mem-share=on"]
    assert values("stratovirt", "-machine") == ["microvm"]


def test_S05_9p_is_refused_in_words() -> None:
    path, message = refusal("stratovirt", shares=[{**SHARE, "proto": "9p"}])
    assert path == "shares[0].proto" and "qemu" in message


def test_S06_nothing_is_ignored_by_stratovirt() -> None:
    assert any("guest-cid=7" in device for device in values("stratovirt", "-device", vsock={"cid": 7}))
    assert refusal("stratovirt", user="nobody")[0] == "user"
    assert refusal("stratovirt", graphics={"enable": True})[0] == "graphics.enable"


def test_A01_alioth_reads_readonly() -> None:
    volumes = [VOLUME, {"image": "b.img", "size": 1, "read_only": True}]
    assert values("alioth", "--blk", volumes=volumes)[1:] == [
        "file,path=data.img,readonly=false",
        "file,path=b.img,readonly=true",
    ]


def test_A02_taps_have_the_queues_that_alioth_opens() -> None:
    assert "queue_pairs=2" in values("alioth", "--net", vcpu=2, interfaces=[TAP])[0]
    assert "multi_queue" in (file("alioth", "bin/tap-up", vcpu=2, interfaces=[TAP]) or "")
    assert "multi_queue" not in (file("alioth", "bin/tap-up", interfaces=[TAP]) or "")


def test_A03_the_console_is_the_board_s() -> None:
    assert "console=ttyAMA0" in values("alioth", "-c", "aarch64-linux")[0]
    assert "console=ttyS0" in values("alioth", "-c")[0]


MAC = "aarch64-darwin"


def test_M01_M02_M04_vfkit_is_run_as_every_other() -> None:
    options: dict[str, Any] = {"pre_start": "echo before", "extra_args_script": "/opt/more"}
    script = file("vfkit", "bin/microvm-run", MAC, **options) or ""
    assert script.index("echo before") < script.index("\nexec -a microvm@vm vfkit ")
    assert script.rstrip().endswith('${extra_arguments[@]+"${extra_arguments[@]}"}') and "bash -c" not in script


def test_M03_vfkit_is_asked_by_http() -> None:
    script = file("vfkit", "bin/microvm-shutdown", MAC, socket="my vm.sock") or ""
    assert "--unix-socket 'my vm.sock'" in script and "http://localhost/vm/state" in script


def test_M05_M06_vfkit_honours_or_refuses() -> None:
    devices = values("vfkit", "--device", MAC, volumes=[{**VOLUME, "read_only": True, "serial": "s1"}])
    assert "virtio-blk,path=data.img,readonly,deviceId=s1" in devices
    assert refusal("vfkit", MAC, volumes=[{**VOLUME, "direct": True}])[0] == "volumes[0].direct"
    assert refusal("vfkit", MAC, shares=[{**SHARE, "read_only": True}])[0] == "shares[0].read_only"
    for key, value in (("hotplug_mem", 64), ("cpu", "max"), ("balloon", True)):
        assert refusal("vfkit", MAC, **{key: value})[0] in (key, "hotplugged_mem")


def test_M07_vfkit_has_no_virtiofsd() -> None:
    result = make("vfkit", MAC, shares=[SHARE])
    assert result.package and not [path for path in result.package.files if "virtiofs" in path]


def test_X01_without_a_control_socket() -> None:
    assert "-s" not in argv("crosvm", socket=None)
    assert "--no-api" in argv("firecracker", socket=None)
    for hypervisor in ("qemu", "cloud-hypervisor", "crosvm", "firecracker"):
        assert file(hypervisor, "bin/microvm-shutdown", socket=None) is None


@pytest.mark.parametrize("hypervisor", ["kvmtool", "alioth"])
def test_X02_blanks_in_the_initrd(hypervisor: str) -> None:
    assert "-i '/boot/my initrd'" in (file(hypervisor, "bin/microvm-run", initrd_path="/boot/my initrd") or "")


@pytest.mark.parametrize(
    ("hypervisor", "options"),
    [
        ("alioth", {"hugepage_mem": True}),
        ("cloud-hypervisor", {"cpu": "max"}),
        ("cloud-hypervisor", {"interfaces": [{**TAP, "tap": {"vhost": True}}]}),
        ("firecracker", {"graphics": {"enable": True}}),
        ("kvmtool", {"volumes": [{**VOLUME, "auto_create": False, "image_type": "qcow2"}]}),
        ("kvmtool", {"volumes": [{**VOLUME, "serial": "s"}]}),
        ("qemu", {"graphics": {"enable": True, "backend": "cocoa", "vulkan": "venus"}}),
    ],
)
def test_X03_what_has_no_effect_is_refused(hypervisor: str, options: dict[str, Any]) -> None:
    assert refusal(hypervisor, **options)


@pytest.mark.parametrize("hypervisor", ["qemu", "stratovirt", "vfkit"])
def test_X04_no_volume_is_dropped(hypervisor: str) -> None:
    count = 9 if hypervisor == "stratovirt" else 27
    volumes = [{"image": f"{index}.img", "size": 1} for index in range(count)]
    words = " ".join(argv(hypervisor, MAC if hypervisor == "vfkit" else "x86_64-linux", volumes=volumes))
    assert all(re.search(rf"(path|file)={index}\.img", words) for index in range(count))


ODD = "my 'odd' $socket"


@pytest.mark.parametrize("hypervisor", ["qemu", "cloud-hypervisor", "firecracker", "crosvm"])
def test_X05_names_of_sockets_are_quoted(hypervisor: str) -> None:
    result = make(hypervisor, socket=ODD, balloon=True)
    assert result.package
    scripts = [file.content.decode() for file in result.package.files.values() if file.executable]
    assert len(scripts) == 3
    for script in scripts:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        for name in re.findall(r"^rm -f -- (?!microvm\.)(.*)", script, re.MULTILINE):
            echoed = subprocess.run(["bash", "-c", f"printf %s {name}"], capture_output=True, text=True, check=True)
            assert echoed.stdout == ODD


def test_X06_commas_are_part_of_values() -> None:
    options: dict[str, Any] = {"socket": "ctl,1.sock", "volumes": [{"image": "a,b.img", "size": 1}]}
    assert values("qemu", "-qmp", **options)[0].startswith("unix:ctl,,1.sock,")
    assert "file=a,,b.img," in " ".join(values("qemu", "-drive", **options))
    assert 'path="a,b.img"' in " ".join(argv("cloud-hypervisor", **options))
    assert '"a,b.img",ro=false' in " ".join(argv("crosvm", **options))
    for hypervisor in ("kvmtool", "stratovirt", "alioth"):
        assert refusal(hypervisor, volumes=options["volumes"])[0] == "volumes[0].image"


def test_L01_names_of_shares_are_taken_as_they_are() -> None:
    share = {"tag": "my $HOME's tag", "source": "/srv/$HOME/`x`", "proto": "virtiofs"}
    assert file("qemu", "share/microvm/virtiofs/my $HOME's tag/source", shares=[share]) == "/srv/$HOME/`x`\n"


def test_L02_apostrophes_in_images_and_labels(tmp_path: Path) -> None:
    volumes = [{"image": "it's.img", "size": 8, "label": "it's"}]
    script = file("qemu", "bin/microvm-run", volumes=volumes) or ""
    subprocess.run(["bash", "-c", script[: script.rindex("\nexec ")]], cwd=tmp_path, check=True)
    label = subprocess.run(
        ["blkid", "-o", "value", "-s", "LABEL", tmp_path / "it's.img"], capture_output=True, text=True, check=True
    )
    assert label.stdout.strip() == "it's"


def test_L03_a_volume_that_is_not_created_may_have_any_file_system() -> None:
    volumes = [VOLUME, {"image": "z.img", "auto_create": False, "fs_type": "zfs"}]
    assert make("qemu", volumes=volumes).package
    assert refusal("qemu", volumes=[{**VOLUME, "fs_type": "zfs"}])[0] == "volumes[0].fs_type"


def test_L04_a_failed_format_leaves_no_image(tmp_path: Path) -> None:
    script = file("qemu", "bin/microvm-run", volumes=[{**VOLUME, "mkfs_extra_args": ["--no-such-option"]}]) or ""
    command = ["bash", "-c", script[: script.rindex("\nexec ")]]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode
    assert not (tmp_path / "data.img").exists()
    repaired = file("qemu", "bin/microvm-run", volumes=[VOLUME]) or ""
    subprocess.run(
        ["bash", "-c", repaired[: repaired.rindex("\nexec ")]], cwd=tmp_path, check=True, capture_output=True
    )
    assert (tmp_path / "data.img").stat().st_size == 16 * 1024 * 1024
    assert not (tmp_path / "data.img.partial").exists()


def test_D01_virtiofsd_needs_no_supervisor_that_is_root() -> None:
    script = file("qemu", "bin/virtiofsd-run", shares=[SHARE]) or ""
    assert "supervisord" not in script and "setpriv" not in script.rpartition("end_together")[2]


def test_G01_the_machine_id_is_a_uuid_of_version_5() -> None:
    (smbios,) = values("qemu", "-smbios")
    assert re.search(r"uuid=[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$", smbios)


def test_E01_E02_missing_values_are_refused_in_words() -> None:
    second = {**SHARE, "tag": "b", "source": "/b"}
    assert refusal("qemu", shares=[{**SHARE, "socket": None}, {**second, "socket": None}])[0] == "shares[0].socket"
    assert refusal("qemu", interfaces=[{**TAP, "type": "bridge"}])[0] == "interfaces[0].bridge"


def test_E03_arguments_of_a_device_are_where_the_documentation_says() -> None:
    device = {"bus": "pci", "path": "0000:01:00.0"}
    path, message = refusal("qemu", devices=[{**device, "device_extra_args": "x-vga=on"}])
    assert path == "devices[0].device_extra_args" and "unknown" in message
    assert any(
        "x-vga=on" in one
        for one in values("qemu", "-device", devices=[{**device, "qemu": {"device_extra_args": "x-vga=on"}}])
    )


def test_every_defect_has_its_test() -> None:
    tested = {identity for name in globals() for identity in re.findall(r"_([A-Z]\d\d)(?=_)", name)}
    known = {defect["id"] for defect in DEFECTS}
    assert known - tested == set(ELSEWHERE)
    assert tested <= known
