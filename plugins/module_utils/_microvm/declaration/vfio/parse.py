# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Devices that a host hands over: their options, and what must be true of them together."""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional, Sequence, Tuple, cast

from ...schema.errors import DeclarationError
from ...schema.options import defaults
from ...schema.validation import validate
from ..types import HostDevice, HostDeviceUsb
from .options import STOPPED, VFIO_OPTIONS

_DEFAULTS = defaults(VFIO_OPTIONS)
_OF_HANDED_OVER = ("vm", "owner", "driver", "whole_group", "restore")
"""Options of a PCI device that is handed over itself."""
_NOT_OF_USB = ("driver", "whole_group", "restore", "functions")


def parse_devices(raw: Sequence[object], path: str = "devices") -> List[HostDevice]:
    """Validate devices of one host. Raises DeclarationError with the path of what is wrong."""
    devices = [_parse(element, f"{path}[{index}]") for index, element in enumerate(raw)]
    owners: Dict[Tuple[str, str], str] = {}
    for index, device in enumerate(devices):
        for kind, value, key in _claims(device):
            place = f"{path}[{index}].{key}"
            first = owners.setdefault((kind, value), place)
            if first != place:
                raise DeclarationError(place, f"{value} is already used by {first}; declare it once")
    return devices


def usb_identity(usb: HostDeviceUsb) -> str:
    """Return what a USB device is called in messages and results."""
    serial = "" if usb["serial"] is None else f" {usb['serial']}"
    return f"{usb['vendor']}:{usb['product']}{serial}"


def _parse(raw: object, path: str) -> HostDevice:
    device = cast(HostDevice, validate(VFIO_OPTIONS, raw, path))
    if (device["address"] is None) == (device["usb"] is None):
        raise DeclarationError(f"{path}.address", "either this or `usb` is required; set one of them")
    if device["address"] is not None:
        device["address"] = device["address"].lower()
    if device["usb"] is not None:
        device["usb"]["vendor"], device["usb"]["product"] = (
            device["usb"][key].lower() for key in ("vendor", "product")
        )
    if device["state"] == "present":
        _check(device, path)
    return device


def _check(device: HostDevice, path: str) -> None:
    if device["usb"] is not None:
        for key in _set_of(device, _NOT_OF_USB):
            raise DeclarationError(f"{path}.{key}", "is an option of PCI devices; remove it")
        if device["vm"] is None and device["owner"] is None:
            raise DeclarationError(f"{path}.vm", "is required for a USB device; name the MicroVM, or set owner")
    _refuse_two_users(device["vm"], device["owner"], path)
    if device["whole_group"] and device["restore"] == STOPPED:
        raise DeclarationError(
            f"{path}.whole_group",
            "the units of a MicroVM take only the devices that it declares; set restore to absent, or remove this",
        )
    if device["functions"] is not None:
        _check_functions(device, path)


def _check_functions(device: HostDevice, path: str) -> None:
    for key in _set_of(device, _OF_HANDED_OVER):
        raise DeclarationError(
            f"{path}.{key}", "is an option of a device that is handed over, and a card with functions stays; remove it"
        )
    for index, function in enumerate(device["functions"] or ()):
        if function["mac"] is not None:
            function["mac"] = function["mac"].lower()
        _refuse_two_users(function["vm"], function["owner"], f"{path}.functions[{index}]")


def _refuse_two_users(vm: Optional[str], owner: Optional[str], path: str) -> None:
    if vm is not None and owner is not None:
        raise DeclarationError(f"{path}.owner", "a device has one user, which is that of `vm`; remove one of the two")


def _set_of(device: HostDevice, keys: Sequence[str]) -> List[str]:
    values = cast(Dict[str, object], device)
    return [key for key in keys if values[key] != _DEFAULTS[key]]


def _claims(device: HostDevice) -> Iterator[Tuple[str, str, str]]:
    """Yield what only one element can have: kind and value, and the key that claims it."""
    if device["address"] is not None:
        yield "device", device["address"], "address"
    if device["usb"] is not None:
        yield "device", usb_identity(device["usb"]), "usb"
    for index, function in enumerate(device["functions"] or ()):
        if function["mac"] is not None and device["state"] == "present":
            yield "mac", function["mac"], f"functions[{index}].mac"
