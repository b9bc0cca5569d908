# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PCI devices in a directory that is like sysfs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import pci
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.pci import (
    FunctionSettings,
    PciDevice,
    host_use,
    is_interface_up,
    parse_functions,
    read_pci_devices,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.sockets import Connection


def put(sys: Path, address: str, driver: str = "", group: int = 1, **attributes: str) -> Path:
    """Make a device; underscores of attributes stay."""
    device = sys / "devices" / "pci0000:00" / address
    device.mkdir(parents=True)
    listed = sys / "bus" / "pci" / "devices"
    listed.mkdir(parents=True, exist_ok=True)
    (listed / address).symlink_to(device)
    for name, value in {"class": "0x020000", "driver_override": "(null)", **attributes}.items():
        (device / name).write_text(f"{value}\n")
    if driver:
        (device / "driver").symlink_to(sys / "bus" / "pci" / "drivers" / driver)
    (device / "iommu_group").symlink_to(sys / "kernel" / "iommu_groups" / str(group))
    return device


def test_a_card_has_its_driver_group_interfaces_and_functions(tmp_path: Path) -> None:
    card = put(tmp_path, "0000:05:00.0", "igb", 16, sriov_totalvfs="7", sriov_numvfs="1", sriov_offset="128")
    for name, value in {"vendor": "0x8086", "device": "0x10c9", "sriov_vf_device": "9a"}.items():
        (card / name).write_text(f"{value}\n")
    (card / "sriov_stride").write_text("2\n")
    (card / "net" / "eth5").mkdir(parents=True)
    function = put(tmp_path, "0000:05:10.0", "vfio-pci", 18, driver_override="vfio-pci")
    (function / "vfio-dev" / "vfio3").mkdir(parents=True)
    (card / "virtfn0").symlink_to("../0000:05:10.0")
    (card.parent / "0000:05:10.0" / "physfn").symlink_to("../0000:05:00.0")
    devices = read_pci_devices(str(tmp_path))
    assert devices["0000:05:00.0"] == PciDevice(
        address="0000:05:00.0",
        pci_class="0x020000",
        identity="8086:10c9",
        function_identity="8086:009a",
        driver="igb",
        group=16,
        interfaces=("eth5",),
        most_functions=7,
        functions=("0000:05:10.0",),
        offset=128,
        stride=2,
    )
    assert devices["0000:05:10.0"].override == devices["0000:05:10.0"].driver == "vfio-pci"
    assert devices["0000:05:10.0"].own_node == "vfio3"
    assert devices["0000:05:10.0"].card == "0000:05:00.0"


def test_a_host_without_pci_has_no_devices(tmp_path: Path) -> None:
    assert not read_pci_devices(str(tmp_path))


def test_addresses_of_functions_are_known_before_they_are_made() -> None:
    card = PciDevice("0000:05:00.0", offset=128, stride=2)
    assert [card.function_address(number) for number in (0, 1, 64)] == ["0000:05:10.0", "0000:05:10.2", "0000:06:00.0"]


def test_a_bridge_and_what_has_no_driver_of_the_host_do_not_keep_a_group() -> None:
    kinds = [PciDevice("a", "0x060400", "pcieport"), PciDevice("b", "0x020000"), PciDevice("c", "0x020000", "pci-stub")]
    assert [device.is_with_host for device in kinds] == [False, False, False]
    assert PciDevice("d", "0x020000", "igb").is_with_host


def test_an_interface_is_up_by_its_flags(tmp_path: Path) -> None:
    for name, flags in {"eth1": "0x1003", "eth2": "0x1002"}.items():
        (tmp_path / "class/net" / name).mkdir(parents=True)
        (tmp_path / "class/net" / name / "flags").write_text(f"{flags}\n")
    assert [is_interface_up(name, str(tmp_path)) for name in ("eth1", "eth2", "eth3")] == [True, False, False]


def test_settings_of_functions_are_read_from_what_ip_prints() -> None:
    # As iproute2 6.15 writes them.
    functions = [
        {"vf": 1, "address": "00:00:00:00:00:00", "vlan_list": [{}], "spoofchk": True, "trust": False},
        {"vf": 0, "address": "02:00:00:00:00:0A", "vlan_list": [{"vlan": 7}], "spoofchk": False, "trust": True},
        {"vf": 2, "address": "02:00:00:00:00:0b"},
    ]
    assert parse_functions(json.dumps([{"ifname": "eth5", "vfinfo_list": functions}])) == [
        FunctionSettings("02:00:00:00:00:0a", 7, True, False),
        FunctionSettings("00:00:00:00:00:00", 0, False, True),
        FunctionSettings("02:00:00:00:00:0b"),
    ]
    assert parse_functions('[{"ifname":"eth5"}]') == parse_functions("") == []


ADDRESSES = {"br9": "192.0.2.2", "eth7": "192.0.2.1"}
"""Addresses of interfaces."""


def routes(directory: Path, monkeypatch: pytest.MonkeyPatch, ipv4: str = "", ipv6: str = "") -> None:
    (directory / "route").write_text(f"Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n{ipv4}")
    (directory / "ipv6_route").write_text(ipv6)
    monkeypatch.setattr(pci, "connections_to_host", lambda: [Connection("192.0.2.1", 22, "192.0.2.9")])
    monkeypatch.setattr(pci, "run", lambda argv: json.dumps([{"addr_info": [{"local": ADDRESSES.get(argv[-1])}]}]))
    monkeypatch.setattr(pci, "_ROUTES", (str(directory / "route"), str(directory / "ipv6_route")))


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_a_card_that_the_default_route_leads_to_is_needed(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The route is on a bridge, which the interface is a port of.
    (tmp_path / "class" / "net" / "eth0").mkdir(parents=True)
    (tmp_path / "class" / "net" / "eth0" / "upper_br0").symlink_to("../br0")
    line = {
        "ipv4": "br0 00000000 0102A8C0 0003 0 0 100 00000000 0 0 0\n"
        "br9 0002A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0\n",
        "ipv6": f"{'0' * 32} 00 {'0' * 32} 00 fe8{'0' * 29} 00000400 00000001 00000000 00000003 br0\n"
        f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 00000001 00000000 00200200 lo\n",
    }
    routes(tmp_path, monkeypatch, **{family: line[family]})
    empty = str(tmp_path / "empty")
    assert "default route leads to its interface eth0" in str(
        host_use(PciDevice("a", interfaces=("eth0",)), str(tmp_path), empty, empty)
    )
    assert host_use(PciDevice("a", interfaces=("br9", "lo")), str(tmp_path), empty, empty) is None


def test_a_card_by_which_somebody_is_connected_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    routes(tmp_path, monkeypatch)
    empty = str(tmp_path / "empty")
    device = PciDevice("a", interfaces=("br9", "eth7"))
    assert "somebody is connected to the host by its interface eth7" in str(
        host_use(device, str(tmp_path), empty, empty)
    )


CONTROLLER = "0000:00:02.0"


@pytest.fixture(name="disk")
def _disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Disk vda of a controller, with the partition vda1, which the volume dm-0 is on."""
    routes(tmp_path, monkeypatch)
    monkeypatch.setattr(pci, "_NODES", str(tmp_path / "dev"))
    monkeypatch.setattr(pci, "_UDEV_DATA", str(tmp_path / "udev"))
    disk = tmp_path / "devices" / "pci0000:00" / CONTROLLER / "virtio1" / "block" / "vda"
    (disk / "vda1" / "holders" / "dm-0").mkdir(parents=True)
    (disk / "vda1" / "partition").touch()
    block = tmp_path / "class" / "block"
    for directory in (block / "dm-0", tmp_path / "dev" / "mapper", tmp_path / "udev"):
        directory.mkdir(parents=True)
    (block / "vda").symlink_to(disk)
    (block / "vda1").symlink_to(disk / "vda1")
    for name, numbers in {"vda": "254:0", "vda1": "254:1", "dm-0": "253:0"}.items():
        (block / name / "dev").write_text(f"{numbers}\n")
    (tmp_path / "dev" / "mapper" / "root").symlink_to("../dm-0")
    (tmp_path / "swaps").write_text("Filename Type Size Used Priority\n")
    return disk


def use_of(directory: Path, mounts: str = "", address: str = CONTROLLER) -> str:
    (directory / "mounts").write_text(mounts.replace("/dev/", f"{directory}/dev/"))
    return str(host_use(PciDevice(address), str(directory), str(directory / "mounts"), str(directory / "swaps")))


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize(
    ("mount", "used"),
    [
        ("22 1 254:0 / / rw shared:1 - ext4 /dev/root rw", "vda"),
        ("22 1 253:0 / / rw - ext4 /dev/mapper/root rw", "dm-0"),
        # The number is that of no disk.
        ("22 1 0:42 /@ / rw shared:1 - btrfs /dev/vda1 rw", "vda1"),
        ("22 1 0:42 /@ / rw - btrfs /dev/mapper/root rw", "dm-0"),
        ("22 1 0:42 / / rw - bcachefs /dev/sdx:/dev/vda rw", "vda"),
        ("22 1 0:42 / / rw - 9p vda rw", None),
        ("22 1 254:2 / / rw - ext4 /dev/vda2 rw", None),
        ("22 1 0:42 / / rw - tmpfs", None),
    ],
)
def test_a_controller_whose_disk_is_mounted_is_needed(mount: str, used: str | None, tmp_path: Path) -> None:
    assert use_of(tmp_path, f"{mount}\n") == (str(None) if used is None else f"the host has mounted its disk {used}")
    assert use_of(tmp_path, f"{mount}\n", "0000:00:03.0") == "None"


@pytest.mark.usefixtures("disk")
def test_a_controller_whose_disk_is_swapped_to_is_needed(tmp_path: Path) -> None:
    (tmp_path / "swaps").write_text("/dev/vda partition 1 0 -2\n")
    assert use_of(tmp_path) == "the host swaps to its disk vda"


@pytest.mark.usefixtures("disk")
def test_a_disk_of_a_file_system_that_a_mount_names_another_disk_of_is_needed(tmp_path: Path) -> None:
    (tmp_path / "fs" / "btrfs" / "9a" / "devices" / "vda1").mkdir(parents=True)
    assert use_of(tmp_path) == "its disk vda1 is a part of a btrfs file system of the host"


@pytest.mark.usefixtures("disk")
def test_a_disk_of_a_zfs_pool_is_needed_where_the_kernel_has_zfs(tmp_path: Path) -> None:
    (tmp_path / "udev" / "b254:1").write_text("S:disk/by-id/x\nE:ID_FS_TYPE=zfs_member\n")
    (tmp_path / "udev" / "b254:0").write_text("E:ID_FS_TYPE=ext4\n")
    assert use_of(tmp_path) == "None"
    (tmp_path / "module" / "zfs").mkdir(parents=True)
    assert use_of(tmp_path) == "its disk vda1 is a part of a ZFS file system of the host"


def test_a_partition_of_an_array_is_found(disk: Path, tmp_path: Path) -> None:
    array = tmp_path / "class" / "block" / "md0"
    (array / "md0p1" / "holders").mkdir(parents=True)
    (array / "md0p1" / "partition").touch()
    (tmp_path / "class" / "block" / "md0p1").symlink_to(array / "md0p1")
    (array / "md0p1" / "dev").write_text("259:3\n")
    (disk / "holders" / "md0").mkdir(parents=True)
    assert use_of(tmp_path, "22 1 259:3 / / rw - ext4 /dev/x rw\n") == "the host has mounted its disk md0p1"


@pytest.mark.usefixtures("disk")
def test_a_disk_that_is_below_no_controller_is_one_of_all_that_reach_it(tmp_path: Path) -> None:
    """The kernel places disks of NVMe so where they may have several controllers."""
    subsystem = tmp_path / "devices" / "virtual" / "nvme-subsystem" / "nvme-subsys0"
    partition = subsystem / "nvme0n1" / "nvme0n1p1"
    partition.mkdir(parents=True)
    (partition / "dev").write_text("259:1\n")
    (tmp_path / "class" / "block" / "nvme0n1p1").symlink_to(partition)
    for number in (4, 5):
        controller = tmp_path / "devices" / "pci0000:00" / f"0000:00:0{number}.0" / "nvme" / f"nvme{number}"
        controller.mkdir(parents=True)
        (subsystem / f"nvme{number}").symlink_to(controller)
    mount = "22 1 259:1 / / rw - ext4 /dev/nvme0n1p1 rw\n"
    for address, use in {"4": "the host has mounted its disk nvme0n1p1", "3": "None"}.items():
        assert use_of(tmp_path, mount, f"0000:00:0{address}.0") == use
