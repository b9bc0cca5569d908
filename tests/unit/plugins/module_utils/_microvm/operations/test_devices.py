# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run over devices: what check mode shows is what is done, in the same order."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Sequence

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import STATE_DIRECTORY
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import files, systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.pci import PciDevice
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import devices as operation
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.devices import reconcile_devices
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vfio import handlers, observe
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

NIC, CARD = "0000:01:00.0", "0000:05:00.0"


@dataclass
class FakePci:
    """Host whose devices change as its programs are asked to."""

    devices: Dict[str, PciDevice] = field(
        default_factory=lambda: {
            NIC: PciDevice(NIC, "0x020000", "e1000e", group=12),
            CARD: PciDevice(
                CARD, "0x020000", "igb", group=16, interfaces=("eth5",), most_functions=2, offset=128, stride=2
            ),
        }
    )
    files: Dict[str, str] = field(default_factory=dict)
    users: Dict[str, str] = field(default_factory=dict)
    done: List[str] = field(default_factory=list)
    failing: str = ""
    is_enabled: bool = False

    def run(self, argv: Sequence[str], timeout: float = 0) -> str:
        """See host.commands.run."""
        words = [word for word in argv if "\n" not in word]
        self.done.append(" ".join(words[3:] if words[:2] == ["bash", "-c"] else words))
        if self.failing and self.failing in self.done[-1]:
            raise HostError(f"{self.done[-1]} failed")
        function, *arguments = words[3:] or [""]
        if function == "bind_pci_device":
            device = self.devices.get(arguments[0], PciDevice(arguments[0], group=20))
            self.devices[arguments[0]] = replace(device, driver="vfio-pci")
        elif function == "unbind_pci_device":
            self.devices[arguments[0]] = replace(self.devices[arguments[0]], driver=arguments[1])
        elif function == "make_functions":
            card = self.devices[arguments[0]]
            made = tuple(card.function_address(number) for number in range(int(arguments[1])))
            self.devices[card.address] = replace(card, functions=made)
        return ""

    def ask(self, argv: Sequence[str]) -> str:
        """See host.bus.ask."""
        self.is_enabled = argv[1] == "enable"
        return self.run(argv)

    def show(self, names: Sequence[str]) -> Dict[str, Unit]:
        """See host.systemd.show."""
        return {name: Unit(unit_file_state="enabled" if self.is_enabled else "") for name in names}


@pytest.fixture(name="host")
def _host(monkeypatch: pytest.MonkeyPatch) -> FakePci:
    host = FakePci()
    monkeypatch.setattr(operation, "locked", lambda names: contextlib.nullcontext())
    for module in (operation, observe):
        monkeypatch.setattr(module, "read_pci_devices", lambda: dict(host.devices))
    monkeypatch.setattr(observe, "read_functions", lambda interface: [])
    monkeypatch.setattr(observe, "is_interface_up", lambda interface: False)
    monkeypatch.setattr(observe, "host_use", lambda device: None)
    monkeypatch.setattr(
        observe, "find_node_users", lambda nodes: {node: host.users[node] for node in nodes if node in host.users}
    )
    monkeypatch.setattr(systemd, "show", host.show)
    monkeypatch.setattr(systemd, "daemon_reload", lambda: host.done.append("daemon-reload"))
    monkeypatch.setattr(files, "read_text", host.files.get)
    monkeypatch.setattr(files, "replace_file", lambda path, content: host.files.update({path: content.decode()}))
    monkeypatch.setattr(files, "remove", lambda path: host.files.pop(path, None))
    monkeypatch.setattr(files, "remove_if_empty", lambda path: None)
    monkeypatch.setattr(os, "makedirs", lambda path, mode, exist_ok: None)
    monkeypatch.setattr(handlers, "run", host.run)
    monkeypatch.setattr(handlers, "ask", host.ask)
    return host


DECLARED: List[Dict[str, Any]] = [
    {"address": NIC, "vm": "router"},
    {"address": CARD, "functions": [{"mac": "02:00:00:00:00:01"}, {}]},
    {"usb": {"vendor": "1050", "product": "0407"}, "vm": "vault"},
]


def reconcile(devices: Sequence[Any], check_mode: bool = False) -> Any:
    return reconcile_devices(devices, STATE_DIRECTORY, check_mode)


def test_check_mode_shows_what_a_run_does_and_does_nothing(host: FakePci) -> None:
    predicted = reconcile(DECLARED, check_mode=True)
    assert predicted["changed"] and host.done == [] and host.files == {}
    result = reconcile(DECLARED)
    assert result["actions"] == predicted["actions"] and result["diff"] == predicted["diff"]
    assert result["vms"] == predicted["vms"] == {NIC: "router", "1050:0407": "vault"}
    assert [device["driver"] for device in result["devices"]] == ["vfio-pci", "igb", None]
    assert [device["driver"] for device in predicted["devices"]] == ["vfio-pci", "igb", None]
    assert result["devices"][0]["node"] == predicted["devices"][0]["node"] == "/dev/vfio/12"
    assert [function["address"] for function in predicted["devices"][1]["functions"]] == [
        "0000:05:10.0",
        "0000:05:10.2",
    ]
    assert result["devices"][1]["functions"][0]["node"] == "/dev/vfio/20"
    assert result["devices"][2]["usb"] == "1050:0407"
    assert host.done[-10:] == [
        f"make_functions {CARD} 2",
        f"set_function {CARD} 0 mac 02:00:00:00:00:01",
        f"raise_card {CARD}",
        "modprobe vfio-pci",
        f"bind_pci_device {NIC}",
        "modprobe vfio-pci",
        "bind_pci_device 0000:05:10.0",
        "modprobe vfio-pci",
        "bind_pci_device 0000:05:10.2",
        "udevadm trigger --settle --action=change --subsystem-match=vfio --subsystem-match=usb",
    ]


def test_a_second_run_changes_nothing_and_the_last_one_leaves_nothing(host: FakePci) -> None:
    (nic,) = DECLARED[:1]
    reconcile([nic])
    host.done.clear()
    again = reconcile([nic])
    assert not again["changed"] and again["diff"] == [] and host.done == []
    reconcile([])
    assert host.files == {} and not host.is_enabled
    assert f"unbind_pci_device {NIC} e1000e" in host.done
    assert host.devices[NIC].driver == "e1000e"


def test_a_run_that_failed_is_completed_by_the_next(host: FakePci) -> None:
    host.failing = "bind_pci_device"
    with pytest.raises(HostError, match=f"bind_pci_device {NIC} failed"):
        reconcile(DECLARED[:1])
    host.failing = ""
    assert reconcile(DECLARED[:1])["actions"] == [f"hand over {NIC}"]


def test_a_device_in_use_is_not_handed_back(host: FakePci) -> None:
    reconcile(DECLARED[:1])
    host.users["/dev/vfio/12"] = "process 7 (qemu)"
    host.done.clear()
    for check_mode in (True, False):
        with pytest.raises(ValueError, match=r"process 7 \(qemu\) uses it"):
            reconcile([], check_mode)
    assert host.done == []


def test_functions_that_the_host_uses_are_not_taken(host: FakePci, monkeypatch: pytest.MonkeyPatch) -> None:
    functions = ("0000:05:10.0", "0000:05:10.2")
    host.devices[CARD] = replace(host.devices[CARD], functions=functions)
    host.devices.update({address: PciDevice(address, driver="igbvf", group=20) for address in functions})
    monkeypatch.setattr(observe, "host_use", lambda device: "its route" if device.address == functions[1] else None)
    with pytest.raises(DeclarationError, match=f"the host needs {functions[1]}"):
        reconcile(DECLARED[1:2])
    assert host.done == []


def test_nodes_are_left_to_root_when_their_users_are_gone(host: FakePci, monkeypatch: pytest.MonkeyPatch) -> None:
    left: List[Any] = []
    monkeypatch.setattr(handlers, "leave_to_root", lambda nodes, mode: left.append((nodes, mode)))
    monkeypatch.setattr(handlers, "group_nodes", lambda *words: words)
    monkeypatch.setattr(handlers, "usb_nodes", lambda *words: words)
    reconcile([*DECLARED, {"usb": {"vendor": "1050", "product": "0408", "serial": "1:2"}, "owner": "0"}])
    assert left == []
    reconcile([{"address": NIC}])
    assert left == [((NIC,), 0o600), (("1050", "0407", None), 0o664), (("1050", "0408", "1:2"), 0o664)]


def test_a_device_that_iommufd_has_without_its_group_is_in_use_too(host: FakePci) -> None:
    reconcile(DECLARED[:1])
    sibling = "0000:01:00.1"
    host.devices[sibling] = PciDevice(sibling, driver="vfio-pci", group=12, own_node="vfio4")
    host.devices[NIC] = replace(host.devices[NIC], own_node="vfio3")
    for node in ("vfio3", "vfio4"):
        host.users = {f"/dev/vfio/devices/{node}": "process 7 (qemu)"}
        with pytest.raises(DeclarationError, match=r"process 7 \(qemu\) uses it"):
            reconcile([], check_mode=True)
