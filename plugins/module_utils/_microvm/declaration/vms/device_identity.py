# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell which device of a host a declaration means, however it is written, or that it means none."""

from __future__ import annotations

import posixpath
from typing import Dict, Mapping, Optional

from ...schema.suggestions import suggestion
from ..types import Device

_NUMBERS = {"vendorid": 0xFFFF, "productid": 0xFFFF, "hostbus": 0xFFFFFFFF, "hostaddr": 127}
"""Properties of QEMU's usb-host that are numbers, in any notation of C, with the highest ones that it takes.

See hw/usb/host-libusb.c. Zero means any device.
"""
_PATHS = ("hostdevice",)
_STRINGS = ("hostport",)
_SETTINGS = (
    "attached",
    "bootindex",
    "guest-reset",
    "guest-resets-all",
    "id",
    "isobsize",
    "isobufs",
    "loglevel",
    "msos-desc",
    "pcap",
    "pipeline",
    "port",
    "serial",
    "suppress-remote-wake",
)
"""Properties of usb-host that select no device (`-device usb-host,help` of QEMU 7.2 to 10.0)."""


def device_identity(device: Device) -> str:
    """Return the same string for all ways of writing one device."""
    if device["bus"] == "pci":
        return f"pci {device['path'].lower()}"
    properties = _properties(device["path"])
    identity = {key: properties[key] for key in sorted(properties) if key in (*_NUMBERS, *_PATHS, *_STRINGS)}
    # A device that is described by other properties alone is the same only if it is written alike.
    return f"usb {','.join(f'{key}={value}' for key, value in identity.items()) or device['path']}"


def usb_problem(path: str) -> Optional[str]:
    """Return why a USB device cannot be what is meant; usb-host without anything that selects takes any device."""
    for item in path.split(","):
        key, equals, value = item.partition("=")
        if not equals:
            return f"{item!r} is not a property of usb-host: write {_EXAMPLE}"
        if key not in (*_NUMBERS, *_PATHS, *_STRINGS, *_SETTINGS):
            hint = (
                suggestion(key, (*_NUMBERS, *_PATHS, *_STRINGS)) or "use device_extra_args for one of a newer version"
            )
            return f"{key!r} is not a property of usb-host; {hint}"
        number = _number(value)
        if key in _NUMBERS and not (isinstance(number, int) and 0 <= number <= _NUMBERS[key]):
            return f"{value!r} is not a number for {key}: write one from 0x1 to {_NUMBERS[key]:#x}, such as {_EXAMPLE}"
    if not any(value not in ("", "0") for key, value in _properties(path).items() if key in _SELECTING):
        return f"{path!r} selects no device, so the guest would get any one; write {_EXAMPLE}"
    return None


_SELECTING = (*_NUMBERS, *_PATHS, *_STRINGS)
_EXAMPLE = "vendorid=0x1050,productid=0x0407, as lsusb shows them, or hostbus=1,hostport=2"


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


def _number(text: str) -> Optional[int]:
    is_octal = len(text) > 1 and text.startswith("0") and text.isdigit()
    try:
        return int(text, 8 if is_octal else 0)
    except ValueError:
        return None
