# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Declared devices of a host: what is refused, with its key, and what is understood."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vfio.parse import parse_devices
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

CARD = {"address": "0000:05:00.0"}
KEY = {"usb": {"vendor": "1050", "product": "0407"}, "vm": "vault"}


@pytest.mark.parametrize(
    ("device", "key", "words"),
    [
        ({}, "address", "either this or `usb` is required"),
        ({**CARD, **KEY}, "address", "either this or `usb`"),
        ({"address": "05:00.0"}, "address", "not the address of a PCI device with its domain"),
        ({"usb": KEY["usb"]}, "vm", "is required for a USB device"),
        ({"usb": {"vendor": "1050", "product": 263}, "vm": "vault"}, "usb.product", "in quotes"),
        ({"usb": {"vendor": "1050", "product": "0407", "serial": 'a"b'}, "vm": "v"}, "usb.serial", "serial number"),
        ({**KEY, "whole_group": True}, "whole_group", "option of PCI devices"),
        ({**KEY, "functions": []}, "functions", "option of PCI devices"),
        ({**CARD, "vm": "web", "owner": "qemu"}, "owner", "has one user"),
        ({**CARD, "whole_group": True, "restore": "stop"}, "whole_group", "set restore to absent"),
        ({**CARD, "functions": [], "vm": "web"}, "vm", "a card with functions stays"),
        ({**CARD, "functions": [], "driver": "igb"}, "driver", "a card with functions stays"),
        ({**CARD, "functions": [{}, {"vlan": 4095}]}, "functions[1].vlan", "write 1 to 4094"),
        ({**CARD, "functions": [{"vm": "a", "owner": "b"}]}, "functions[0].owner", "has one user"),
        ({**CARD, "functions": [{"mac": "03:00:00:00:00:01"}]}, "functions[0].mac", "unicast MAC address"),
        ({**CARD, "driver": "a b"}, "driver", "name of a driver"),
    ],
)
def test_a_wrong_device_is_refused_with_its_key(device: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse_devices([{"address": "0000:01:00.0"}, device])
    assert refusal.value.path == f"devices[1].{key}"
    assert words in refusal.value.message


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        ({"address": "0000:0A:00.0"}, {"address": "0000:0a:00.0", "state": "absent"}, "address"),
        (KEY, KEY, "usb"),
        (
            {**CARD, "functions": [{"mac": "02:00:00:00:00:0a"}]},
            {"address": "0000:06:00.0", "functions": [{}, {"mac": "02:00:00:00:00:0A"}]},
            "functions[1].mac",
        ),
    ],
)
def test_what_only_one_can_have_is_declared_once(first: Any, second: Any, key: str) -> None:
    with pytest.raises(DeclarationError, match="is already used by devices") as refusal:
        parse_devices([first, second])
    assert refusal.value.path == f"devices[1].{key}"


def test_addresses_are_as_the_kernel_writes_them() -> None:
    (device, key) = parse_devices(
        [
            {"address": "0000:0A:00.0", "functions": [{"mac": "02:00:00:00:00:0A"}, {}]},
            {"usb": {"vendor": "ABCD", "product": "00FF", "serial": "00AB"}, "owner": "qemu"},
        ]
    )
    assert device["address"] == "0000:0a:00.0"
    assert [function["mac"] for function in device["functions"] or ()] == ["02:00:00:00:00:0a", None]
    assert key["usb"] == {"vendor": "abcd", "product": "00ff", "serial": "00AB"}


def test_what_goes_needs_its_address_alone() -> None:
    (device,) = parse_devices([{**CARD, "state": "absent", "whole_group": True, "restore": "stop"}])
    assert device["state"] == "absent"
