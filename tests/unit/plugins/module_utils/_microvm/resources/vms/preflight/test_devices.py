# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""PCI devices that a host lacks, or cannot do without, are reported before anything is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.pci import PciDevice
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight import devices as module
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.devices import (
    check_pci_devices,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .placed import placed

NIC, FIRST, SECOND = "0000:01:00.0", "0000:04:00.0", "0000:04:00.1"


@pytest.fixture(name="present", autouse=True)
def _present(monkeypatch: pytest.MonkeyPatch) -> dict[str, PciDevice]:
    """Devices of a host: one alone in its group, and two with a bridge in one."""
    devices = {
        NIC: PciDevice(NIC, "0x020000", "e1000e", group=1),
        FIRST: PciDevice(FIRST, "0x020000", "igb", group=2),
        SECOND: PciDevice(SECOND, "0x0c0330", "xhci_hcd", group=2),
        "0000:00:10.0": PciDevice("0000:00:10.0", "0x060400", "pcieport", group=2),
    }
    monkeypatch.setattr(module, "read_pci_devices", lambda: devices)
    monkeypatch.setattr(module, "host_use", lambda device: None)
    return devices


def vm(*addresses: str, name: str = "web") -> dict[str, Any]:
    return {
        "name": name,
        "kernel": "/boot/vmlinuz",
        "devices": [{"bus": "pci", "path": address} for address in addresses],
    }


def refusal(*vms: dict[str, Any]) -> DeclarationError:
    with pytest.raises(DeclarationError) as refused:
        check_pci_devices(placed(*vms))
    return refused.value


def test_a_device_must_be_there_or_be_made_before() -> None:
    check_pci_devices(placed(vm(NIC)))
    refused = refusal(vm(NIC, "0000:05:10.0"))
    assert refused.path == "vms[0].devices[1].path" and "no PCI device 0000:05:10.0" in refused.message
    check_pci_devices(placed(vm(NIC, "0000:05:10.0")), ["0000:05:10.0"])


def test_a_device_without_iommu_is_refused(present: dict[str, PciDevice]) -> None:
    present[NIC] = replace(present[NIC], group=None)
    assert "is in no IOMMU group" in refusal(vm(NIC)).message


def test_a_group_is_the_guest_s_as_a_whole(present: dict[str, PciDevice]) -> None:
    assert f"group 2 with {SECOND} (driver xhci_hcd)" in refusal(vm(FIRST)).message
    check_pci_devices(placed(vm(FIRST, SECOND)))
    # microvm_vfio takes it.
    check_pci_devices(placed(vm(FIRST)), [FIRST, SECOND])
    present[SECOND] = replace(present[SECOND], driver="vfio-pci")
    check_pci_devices(placed(vm(FIRST)))


def test_a_group_is_one_guest_s(present: dict[str, PciDevice]) -> None:
    present[SECOND] = replace(present[SECOND], driver="vfio-pci")
    refused = refusal(vm(FIRST), vm(NIC, SECOND, name="db"))
    assert refused.path == "vms[1].devices[1].path" and "which the MicroVM 'web' has" in refused.message


def test_a_device_that_the_host_needs_stays(monkeypatch: pytest.MonkeyPatch, present: dict[str, PciDevice]) -> None:
    monkeypatch.setattr(module, "host_use", lambda device: "its disk")
    assert f"the host needs {NIC}: its disk" in refusal(vm(NIC)).message
    present[NIC] = replace(present[NIC], driver="vfio-pci")
    check_pci_devices(placed(vm(NIC)))
