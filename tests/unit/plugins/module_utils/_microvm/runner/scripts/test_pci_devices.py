# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shell functions of PCI devices, on a directory that is like sysfs: what is written to which file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.accounts import Account
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vfio.files import script
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts.pci import pci_setup

from .test_functions import bash, fake

NIC = "0000:01:00.0"


@pytest.fixture(name="device")
def _device(tmp_path: Path) -> Path:
    """Device of the driver e1000e, which does nothing when a file is written."""
    drivers = tmp_path / "bus" / "pci" / "drivers"
    for driver in ("e1000e", "vfio-pci"):
        (drivers / driver).mkdir(parents=True)
        (drivers / driver / "unbind").touch()
    device = tmp_path / "bus" / "pci" / "devices" / NIC
    device.mkdir(parents=True)
    (device / "driver").symlink_to(drivers / "e1000e")
    (device / "iommu_group").mkdir()
    return device


def call(directory: Path, words: str) -> subprocess.CompletedProcess[str]:
    return bash(directory, words, "bind_pci_device", "give_pci_device_back", sysfs=str(directory))


def with_driver(device: Path, driver: str) -> None:
    (device / "driver").unlink()
    (device / "driver").symlink_to(device.parents[1] / "drivers" / driver)


def test_a_device_is_taken_by_an_override_that_no_other_driver_passes(device: Path, tmp_path: Path) -> None:
    done = call(tmp_path, f"bind_pci_device {NIC}")
    # The driver is still the old one, as no kernel has read the files.
    assert done.returncode == 1 and f"vfio-pci has not taken {NIC}" in done.stderr
    assert (device / "driver_override").read_text() == "vfio-pci\n"
    assert (device / "driver" / "unbind").read_text() == f"{NIC}\n"
    assert (tmp_path / "bus" / "pci" / "drivers_probe").read_text() == f"{NIC}\n"


def test_a_device_that_another_driver_took_meanwhile_is_taken_again(device: Path, tmp_path: Path) -> None:
    (device / "driver").unlink()
    answers = tmp_path / "answers"
    answers.write_text("\nigbvf\nvfio-pci\n")
    driver_of = f"driver_of() {{ head -n 1 {answers}; sed -i 1d {answers}; }}"
    assert call(tmp_path, f"{driver_of}; bind_pci_device {NIC}").returncode == 0
    assert answers.read_text() == ""


def test_a_driver_whose_module_is_being_loaded_can_be_told_to_let_go_a_moment_later(
    device: Path, tmp_path: Path
) -> None:
    (device / "driver" / "unbind").unlink()
    # Only the driver makes the file: the kernel's sysfs lets nobody do so.
    sleep = f'sleep() {{ [ ! -e "$sysfs/bus/pci/drivers_probe" ] && touch waited {device}/driver/unbind; }}'
    tried = f"driver_of() {{ if [ -s {device}/driver/unbind ]; then echo vfio-pci; fi; }}"
    done = call(tmp_path, f"{sleep}; {tried}; bind_pci_device {NIC}")
    assert (done.returncode, done.stderr) == (0, "") and (tmp_path / "waited").exists()


def test_a_device_that_is_taken_is_left_alone(device: Path, tmp_path: Path) -> None:
    with_driver(device, "vfio-pci")
    assert call(tmp_path, f"bind_pci_device {NIC}").returncode == 0
    assert not (device / "driver_override").exists()


@pytest.mark.parametrize(("address", "words"), [("0000:09:00.0", "no PCI device"), (NIC, "in no IOMMU group")])
def test_what_cannot_be_taken_is_said(address: str, words: str, device: Path, tmp_path: Path) -> None:
    (device / "iommu_group").rmdir()
    done = call(tmp_path, f"bind_pci_device {address}")
    assert done.returncode == 1 and words in done.stderr
    assert not (device / "driver_override").exists()


def test_a_device_goes_back_without_an_override(device: Path, tmp_path: Path) -> None:
    with_driver(device, "vfio-pci")
    (device / "driver_override").write_text("vfio-pci\n")
    assert call(tmp_path, f"unbind_pci_device {NIC}").returncode == 0
    assert (device / "driver_override").read_text() == "\n"
    assert (device / "driver" / "unbind").read_text() == f"{NIC}\n"


def test_a_device_goes_back_to_the_driver_that_is_named(device: Path, tmp_path: Path) -> None:
    fake(tmp_path, "modprobe", 'echo "$@" >> loaded')
    (device / "driver").unlink()
    (tmp_path / "bus" / "pci" / "drivers" / "e1000e" / "bind").write_text("")
    assert call(tmp_path, f"unbind_pci_device {NIC} e1000e").returncode == 0
    assert (tmp_path / "loaded").read_text() == "-- e1000e\n"
    assert (tmp_path / "bus" / "pci" / "drivers" / "e1000e" / "bind").read_text() == f"{NIC}\n"


@pytest.mark.parametrize(
    ("listed", "output"),
    [
        (f"device {NIC} e1000e absent\n", ""),
        (f"device {NIC} e1000e absent 8086:10d3\n", ""),
        (f"device {NIC} e1000e stop 8086:10d3\n", f"{NIC} e1000e\n"),
        (f"device {NIC} e1000e stop\n", f"{NIC} e1000e\n"),
        (f"device 0000:02:00.0 e1000e absent\nfunctions {NIC} 2\n", f"{NIC}\n"),
        (None, f"{NIC}\n"),
    ],
)
def test_a_stop_leaves_a_device_that_is_handed_over_for_good(listed: str | None, output: str, tmp_path: Path) -> None:
    if listed is not None:
        (tmp_path / "devices.list").write_text(f"# A comment.\n{listed}")
    done = call(tmp_path, f'unbind_pci_device() {{ echo "$@"; }}; give_pci_device_back {NIC} devices.list; echo end')
    assert (done.returncode, done.stdout) == (0, f"{output}end\n"), done.stderr


def test_after_a_stop_the_group_of_a_device_is_root_s_again(device: Path, tmp_path: Path) -> None:
    fake(tmp_path, "chown", 'echo "$@" >> owners; exit 1')
    (device / "iommu_group").rmdir()
    (device / "iommu_group").symlink_to("../../../../kernel/iommu_groups/12")
    (tmp_path / "devices.list").write_text(f"device {NIC} e1000e absent\n")
    done = call(tmp_path, f"give_pci_device_back {NIC} devices.list")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "owners").read_text() == "root:root /dev/vfio/12\n"
    # It is not on this host any more.
    assert call(tmp_path, "give_pci_device_back 0000:09:00.0 devices.list").returncode == 0
    assert (tmp_path / "owners").read_text() == "root:root /dev/vfio/12\n"


TAKES = """
bind_pci_device() { if [ "$1" = 0000:03:00.0 ]; then return 1; fi; }
give_pci_device_back() { echo "$@"; return 1; }
chown() { :; }
modprobe() { :; }
"""


@pytest.mark.parametrize(("last", "output"), [("0000:02:00.0", ""), ("0000:03:00.0", f"{NIC} L\n0000:03:00.0 L\n")])
def test_a_start_that_fails_half_way_gives_back_what_it_has_taken(
    last: str, output: str, device: Path, tmp_path: Path
) -> None:
    # The second one was with vfio-pci before.
    for address in ("0000:02:00.0", "0000:03:00.0"):
        other = device.parent / address
        other.mkdir()
        (other / "iommu_group").mkdir()
    (device.parent / "0000:02:00.0" / "driver").symlink_to(device.parents[1] / "drivers" / "vfio-pci")
    package = pci_setup("web", [NIC, "0000:02:00.0", last], Account("microvm", "microvm"))
    begin = package.index("\nbegin_devices ")
    text = (package[:begin] + TAKES + package[begin:]).replace("begin_devices /", "begin_devices L # /")
    done = subprocess.run(
        ["bash", "-c", text],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "sysfs": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stdout) == (1 if output else 0, output), done.stderr


def test_the_script_of_every_package_gives_back_what_it_has_taken(device: Path, tmp_path: Path) -> None:
    lists = tmp_path / "share" / "microvm"
    lists.mkdir(parents=True)
    (lists / "pci-devices").write_text(f"{NIC}\n0000:03:00.0\n")
    (device.parent / "0000:03:00.0").mkdir()
    names = ["user", "group", "current", "booted", "work", "sockets", "shares_directory", "restarts_directory"]
    names += ["console_directory", "huge_pages_prefix", "device_rules", "lost_shares_directory"]
    done = bash(
        tmp_path,
        f"{TAKES}lists=share/microvm\npci_setup",
        "bind_pci_device",
        "give_pci_device_back",
        "take_pci_device",
        "package_actions",
        sysfs=str(tmp_path),
        device_list="L",
        **dict.fromkeys(names, "x"),
    )
    assert (done.returncode, done.stdout) == (1, f"{NIC} L\n0000:03:00.0 L\n"), done.stderr


@pytest.fixture(name="card")
def _card(device: Path) -> Path:
    for name, value in {"sriov_numvfs": "0", "sriov_drivers_autoprobe": "1", "sriov_totalvfs": "7"}.items():
        (device / name).write_text(f"{value}\n")
    (device / "net" / "eth5").mkdir(parents=True)
    (device / "net" / "eth5" / "flags").write_text("0x1003\n")
    return device


def restore(directory: Path, words: str) -> subprocess.CompletedProcess[str]:
    """Call a function of the unit's script, which waits for nothing."""
    text = script().replace("patience=60", "patience=0")
    assert text != script()
    return subprocess.run(
        ["bash", "-c", text, "restore-devices", *words.split()],
        cwd=directory,
        env={"PATH": f"{directory}/bin:/usr/bin:/bin", "sysfs": str(directory), "sysctls": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_card_is_brought_up_without_addresses_of_the_network_of_its_guests(card: Path, tmp_path: Path) -> None:
    fake(tmp_path, "modprobe", "")
    fake(tmp_path, "ip", 'echo ip "$@"')
    accepts = tmp_path / "net/ipv6/conf/eth5/accept_ra"
    accepts.parent.mkdir(parents=True)
    accepts.write_text("1\n")
    # It is up, and the host's.
    assert restore(tmp_path, f"raise_card {NIC}").stdout == ""
    assert accepts.read_text() == "1\n"
    (card / "net" / "eth5" / "flags").write_text("0x1002\n")
    (tmp_path / "list").write_text(f"functions {NIC} 2\nfunction {NIC} 0 vlan 20\n")
    assert restore(tmp_path, "restore_devices list").stdout.splitlines() == [
        "ip link set dev eth5 addrgenmode none up",
        "ip link set dev eth5 vf 0 vlan 20",
    ]
    assert accepts.read_text() == "0\n"
    (card / "net" / "eth5" / "flags").unlink()
    (card / "net" / "eth5").rmdir()
    done = restore(tmp_path, f"raise_card {NIC}")
    assert done.returncode == 1 and "has no network interface" in done.stderr


def test_a_card_whose_interface_gets_its_name_meanwhile_is_set(card: Path, tmp_path: Path) -> None:
    net = card / "net"
    renamed = f'mv {net}/eth5 {net}/enp5s0; echo "Cannot find device" >&2; exit 1'
    fake(tmp_path, "ip", f'if [ "$4" = eth5 ]; then {renamed}; fi; echo ip "$@"')
    done = restore(tmp_path, f"set_function {NIC} 1 trust on")
    assert (done.returncode, done.stdout) == (0, "ip link set dev enp5s0 vf 1 trust on\n")
    # Any other failure is one.
    fake(tmp_path, "ip", "exit 2")
    assert restore(tmp_path, f"set_function {NIC} 1 trust on").returncode == 1


def test_functions_are_made_without_interfaces_of_the_host(card: Path, tmp_path: Path) -> None:
    assert restore(tmp_path, f"make_functions {NIC} 2").returncode == 0
    assert (card / "sriov_numvfs").read_text() == "2\n"
    # It is what it was before, for other functions.
    assert (card / "sriov_drivers_autoprobe").read_text() == "1\n"
    (card / "sriov_drivers_autoprobe").write_text("as it is\n")
    assert restore(tmp_path, f"make_functions {NIC} 2").returncode == 0
    assert (card / "sriov_drivers_autoprobe").read_text() == "as it is\n"
    assert restore(tmp_path, f"make_functions {NIC} 0").returncode == 0
    assert (card / "sriov_numvfs").read_text() == "0\n"


def test_a_card_that_refuses_functions_gives_later_ones_their_drivers_as_before(card: Path, tmp_path: Path) -> None:
    (card / "sriov_numvfs").unlink()
    # To write into a full device fails.
    (card / "sriov_numvfs").symlink_to("/dev/full")
    fake(tmp_path, "cat", 'case $1 in */sriov_numvfs) echo 0 ;; *) exec /usr/bin/cat "$@" ;; esac')
    done = restore(tmp_path, f"make_functions {NIC} 2")
    assert done.returncode == 1 and "No space left" in done.stderr
    assert (card / "sriov_drivers_autoprobe").read_text() == "1\n"


def test_a_card_without_its_driver_makes_no_functions(card: Path, tmp_path: Path) -> None:
    (card / "driver").unlink()
    done = restore(tmp_path, f"make_functions {NIC} 2")
    assert done.returncode == 1 and "has no driver that makes them" in done.stderr


def test_everything_listed_is_restored_as_far_as_it_can_be(card: Path, tmp_path: Path) -> None:
    fake(tmp_path, "modprobe", 'echo modprobe "$@"')
    fake(tmp_path, "ip", 'echo ip "$@"')
    with_driver(card, "vfio-pci")
    other = card.parent / "0000:02:00.0"
    other.mkdir()
    lines = [
        "functions 0000:09:00.0 1",
        f"functions {NIC} 1",
        f"function {NIC} 0 mac 02:00:00:00:00:01 vlan 20",
        "device 0000:02:00.0 - stop",
        f"device {NIC} e1000e absent",
        "device 0000:08:00.0 - absent",
    ]
    (tmp_path / "list").write_text("".join(f"{line}\n" for line in ["# Written.", *lines]))
    done = restore(tmp_path, "restore_devices list")
    assert done.returncode == 1
    assert done.stdout == "modprobe vfio-pci\nip link set dev eth5 vf 0 mac 02:00:00:00:00:01 vlan 20\n"
    assert (card / "sriov_numvfs").read_text() == "1\n"
    assert not (other / "driver_override").exists()
    assert "0000:09:00.0 is not there" in done.stderr and "no PCI device 0000:08:00.0" in done.stderr
    (tmp_path / "list").write_text(f"device {NIC} e1000e absent\n")
    assert restore(tmp_path, "restore_devices list").returncode == 0


def test_another_device_at_a_recorded_address_is_left_to_the_host(card: Path, tmp_path: Path) -> None:
    fake(tmp_path, "modprobe", "")
    fake(tmp_path, "ip", 'echo ip "$@"')
    (card / "vendor").write_text("0x8086\n")
    (card / "device").write_text("0x0d3f\n")

    def listed(identity: str) -> None:
        lines = [f"functions {NIC} 2 {identity}", f"function {NIC} 0 vlan 20", f"device {NIC} e1000e absent {identity}"]
        (tmp_path / "list").write_text("".join(f"{line}\n" for line in lines))

    listed("8086:10d3")
    done = restore(tmp_path, "restore_devices list")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 2 * f"{NIC} is the device 8086:0d3f, and 8086:10d3 was handed over; it is left to the host\n"
    assert (card / "sriov_numvfs").read_text() == "0\n" and not (card / "driver_override").exists()
    listed("8086:0d3f")
    assert restore(tmp_path, "restore_devices list").stdout == "ip link set dev eth5 vf 0 vlan 20\n"
    assert (card / "sriov_numvfs").read_text() == "2\n" and (card / "driver_override").read_text() == "vfio-pci\n"


def test_a_microvm_does_not_start_with_another_device_than_the_recorded_one(device: Path, tmp_path: Path) -> None:
    (device / "vendor").write_text("0x8086\n")
    (device / "device").write_text("0x0d3f\n")
    (device / "iommu_group" / "devices").mkdir()

    def take(listed: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "list").write_text(f"# Written.\n{listed}")
        words = f"{TAKES}begin_devices list\ntake_pci_device {NIC} microvm microvm\ntrap - EXIT"
        files = ("bind_pci_device", "give_pci_device_back", "take_pci_device")
        return bash(tmp_path, words, *files, sysfs=str(tmp_path))

    done = take(f"device 0000:02:00.0 - absent 8086:0d3f\ndevice {NIC} e1000e stop 8086:10d3\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{NIC} is the device 8086:0d3f, and 8086:10d3 was handed over; it is left to the host\n"
    listed = (
        f"device {NIC} e1000e stop 8086:0d3f\n",
        f"device {NIC} - absent\n",
        "device 0000:02:00.0 - stop 8086:1\n",
    )
    assert [take(each).returncode for each in listed] == [0, 0, 0]
