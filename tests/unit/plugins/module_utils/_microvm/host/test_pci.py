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
    (card / "sriov_stride").write_text("2\n")
    (card / "net" / "eth5").mkdir(parents=True)
    put(tmp_path, "0000:05:10.0", "vfio-pci", 18, driver_override="vfio-pci")
    (card / "virtfn0").symlink_to("../0000:05:10.0")
    (card.parent / "0000:05:10.0" / "physfn").symlink_to("../0000:05:00.0")
    devices = read_pci_devices(str(tmp_path))
    assert devices["0000:05:00.0"] == PciDevice(
        address="0000:05:00.0",
        pci_class="0x020000",
        driver="igb",
        group=16,
        interfaces=("eth5",),
        most_functions=7,
        functions=("0000:05:10.0",),
        offset=128,
        stride=2,
    )
    assert devices["0000:05:10.0"].override == devices["0000:05:10.0"].driver == "vfio-pci"
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


def test_a_controller_whose_disk_is_mounted_or_swapped_to_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes(tmp_path, monkeypatch)
    disk = tmp_path / "devices" / "pci0000:00" / "0000:00:02.0" / "virtio1" / "block" / "vda"
    (disk / "holders" / "dm-0").mkdir(parents=True)
    block = tmp_path / "class" / "block"
    block.mkdir(parents=True)
    (block / "vda").symlink_to(disk)
    (block / "dm-0").mkdir()
    (block / "dm-0" / "dev").write_text("254:0\n")
    mounts, swaps = tmp_path / "mounts", tmp_path / "swaps"
    swaps.write_text("Filename Type Size Used Priority\n")
    controller = PciDevice("0000:00:02.0")

    def use() -> str:
        return str(host_use(controller, str(tmp_path), str(mounts), str(swaps)))

    mounts.write_text("22 1 254:1 / / rw - ext4 /dev/dm-1 rw\n")
    assert use() == "None"
    mounts.write_text("22 1 254:0 / / rw - ext4 /dev/dm-0 rw\n")
    assert use() == "the host has mounted its disk dm-0"
    mounts.write_text("")
    swaps.write_text("/dev/vda partition 1 0 -2\n")
    assert use() == "the host swaps to its disk vda"
    assert host_use(PciDevice("0000:00:03.0"), str(tmp_path), str(mounts), str(swaps)) is None
