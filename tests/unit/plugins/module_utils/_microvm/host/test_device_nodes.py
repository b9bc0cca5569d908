# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of devices, found in a directory that is like sysfs, and their owners."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.device_nodes import (
    group_nodes,
    leave_to_root,
    usb_nodes,
)


def test_a_pci_device_has_the_file_of_its_group(tmp_path: Path) -> None:
    device = tmp_path / "bus" / "pci" / "devices" / "0000:01:00.0"
    device.mkdir(parents=True)
    assert [*group_nodes("0000:01:00.0", str(tmp_path))] == []
    (device / "iommu_group").symlink_to("../../../../kernel/iommu_groups/12")
    assert [*group_nodes("0000:01:00.0", str(tmp_path))] == ["/dev/vfio/12"]


def test_usb_devices_are_found_by_what_they_say_of_themselves(tmp_path: Path) -> None:
    for place, values in {
        "1-1": {"idVendor": "1050", "idProduct": "0407", "serial": "12", "busnum": "1", "devnum": "7"},
        "2-1": {"idVendor": "1050", "idProduct": "0407", "busnum": "2", "devnum": "113"},
        "2-2": {"idVendor": "1050", "idProduct": "0408", "busnum": "2", "devnum": "5"},
        # An interface of a device.
        "2-2:1.0": {"bInterfaceClass": "03"},
    }.items():
        (tmp_path / "bus" / "usb" / "devices" / place).mkdir(parents=True)
        for name, value in values.items():
            (tmp_path / "bus" / "usb" / "devices" / place / name).write_text(f"{value}\n")
    assert [*usb_nodes("1050", "0407", None, str(tmp_path))] == ["/dev/bus/usb/001/007", "/dev/bus/usb/002/113"]
    assert [*usb_nodes("1050", "0407", "12", str(tmp_path))] == ["/dev/bus/usb/001/007"]
    assert [*usb_nodes("1050", "0409", None, str(tmp_path))] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_files_are_left_to_root_as_far_as_they_are_there(tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.touch(0o600)
    os.chown(node, 65534, 65534)
    leave_to_root([str(tmp_path / "none"), str(node)], 0o664)
    status = node.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, 0, 0o664)
