# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell which device of a host a declaration means, however it is written."""

from __future__ import annotations

import posixpath
from typing import Dict, Mapping

from ..types import Device

_NUMBERS = ("vendorid", "productid", "hostbus", "hostaddr")
"""Properties of QEMU's usb-host that are numbers, in any notation of C (hw/usb/host-libusb.c)."""
_PATHS = ("hostdevice",)
_STRINGS = ("hostport",)


def device_identity(device: Device) -> str:
    """Return the same string for all ways of writing one device."""
    if device["bus"] == "pci":
        return f"pci {device['path'].lower()}"
    properties = _properties(device["path"])
    identity = {key: properties[key] for key in sorted(properties) if key in (*_NUMBERS, *_PATHS, *_STRINGS)}
    # A device that is described by other properties alone is the same only if it is written alike.
    return f"usb {','.join(f'{key}={value}' for key, value in identity.items()) or device['path']}"


def _properties(path: str) -> Mapping[str, str]:
    """Return the properties of a USB device; QEMU takes the last of those that are written twice."""
    properties: Dict[str, str] = {}
    for item in path.split(","):
        key, _equals, value = item.partition("=")
        properties[key] = _value(key, value)
    return properties


def _value(key: str, value: str) -> str:
    if key in _PATHS:
        return posixpath.normpath(value)
    return str(_number(value)) if key in _NUMBERS and _number(value) is not None else value


def _number(text: str) -> object:
    is_octal = len(text) > 1 and text.startswith("0") and text.isdigit()
    try:
        return int(text, 8 if is_octal else 0)
    except ValueError:
        return None
