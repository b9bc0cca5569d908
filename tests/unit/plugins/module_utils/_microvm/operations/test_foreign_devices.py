# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A device that a host hands over to one MicroVM is no other one's, as it is declared and as the host has it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vfio.parse import parse_devices
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import files
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.pci import PciDevice
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.foreign_devices import (
    refuse_foreign_devices,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vfio.rules import (
    device_rules,
    vms_in_rules,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vfio.state import Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..examples import parse

NIC, CARD, FIRST = "0000:01:00.0", "0000:05:00.0", "0000:05:10.0"
KEY = "vendorid=0x1050,productid=0x407"


def vm(name: str, *paths: str) -> dict[str, Any]:
    devices = [{"bus": "usb" if "=" in path else "pci", "path": path} for path in paths]
    return {"name": name, "kernel": "/boot/vmlinuz", "devices": devices}


def refuse(*vms: dict[str, Any], handed_over: dict[str, str] | None = None) -> None:
    refuse_foreign_devices([(f"vms[{index}]", each) for index, each in enumerate(parse(*vms))], handed_over)


@pytest.mark.parametrize(
    ("device", "identity"),
    [
        (NIC, NIC),
        (KEY, "1050:0407"),
        ("productid=1031,vendorid=0X1050", "1050:0407"),
    ],
)
def test_a_device_of_another_microvm_is_refused(device: str, identity: str) -> None:
    refuse(vm("web", device), handed_over={identity: "web"})
    with pytest.raises(DeclarationError) as refused:
        refuse(vm("web"), vm("db", "0000:09:00.0", device), handed_over={identity: "web"})
    assert refused.value.path == "vms[1].devices[1].path"
    assert f"{identity} is handed over to the MicroVM 'web' (microvm_vfio)" in refused.value.message


def test_a_usb_device_that_is_named_by_its_port_or_its_product_alone_is_nobody_s_known_one() -> None:
    refuse(vm("db", "hostbus=1,hostport=2", "productid=0x0407"), handed_over={"1050:0407": "web"})


def test_users_are_read_from_the_rules_that_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    card = PciDevice(CARD, "0x020000", "igb", group=16, interfaces=("eth5",), most_functions=2, offset=128, stride=2)
    observed = Observed({NIC: PciDevice(NIC, "0x020000", "e1000e", group=12), CARD: card}, state_directory="/srv/vms")
    devices: list[dict[str, Any]] = [
        {"address": NIC, "vm": "router"},
        {"address": CARD, "functions": [{"vm": "web"}, {"owner": "nobody"}]},
        {"usb": {"vendor": "1050", "product": "0407"}, "vm": "vault"},
        {"usb": {"vendor": "1050", "product": "0408", "serial": "A1"}, "vm": "vault"},
        {"usb": {"vendor": "1050", "product": "0409"}, "owner": "nobody"},
    ]
    rules = device_rules(observed, parse_devices(devices))
    assert vms_in_rules(rules) == {NIC: "router", FIRST: "web", "1050:0407": "vault", "1050:0408 A1": "vault"}
    assert vms_in_rules(None) == {}
    monkeypatch.setattr(files, "read_text", lambda path: rules)
    with pytest.raises(DeclarationError, match="handed over to the MicroVM 'web'"):
        refuse(vm("db", FIRST))
    # The same run hands it over to another one.
    refuse(vm("db", FIRST), handed_over={FIRST: "db"})
    refuse(vm("db", FIRST), handed_over={})
