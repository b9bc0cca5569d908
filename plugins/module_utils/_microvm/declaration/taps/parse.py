# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tap and macvtap devices of a host: their options, and what must be true of them together."""

from __future__ import annotations

from typing import Dict, Iterator, List, Sequence, Tuple, cast

from ...schema.errors import DeclarationError
from ...schema.options import defaults
from ...schema.validation import validate
from ..types import HostTap
from .options import TAP_OPTIONS

PORT_OPTIONS = ("isolated", "learning", "neigh_suppress")
_OF_TAPS = ("multi_queue", "vnet_hdr", "bridge", *PORT_OPTIONS)
MOST_IN_PACKET = 65521
"""Largest packet of a tap: what 16 bits count, without the header of Ethernet."""

_DEFAULTS = defaults(TAP_OPTIONS)


def parse_taps(raw: Sequence[object], path: str = "taps") -> List[HostTap]:
    """Validate devices of one host. Raises DeclarationError with the path of what is wrong."""
    taps = [_parse(element, f"{path}[{index}]") for index, element in enumerate(raw)]
    _refuse_duplicates(taps, path)
    _refuse_shared_passthru(taps, path)
    return taps


def _parse(raw: object, path: str) -> HostTap:
    tap = cast(HostTap, validate(TAP_OPTIONS, raw, path))
    if tap["mac"] is not None:
        tap["mac"] = tap["mac"].lower()
    if tap["state"] == "present":
        _check_type(tap, path)
        _check_names(tap, path)
    return tap


def _check_type(tap: HostTap, path: str) -> None:
    if tap["type"] == "macvtap":
        _check_macvtap(tap, path)
    else:
        _check_tap(tap, path)


def _check_macvtap(tap: HostTap, path: str) -> None:
    place = tap["macvtap"]
    for key, value in (("link", place["link"]), ("mode", place["mode"])):
        if value is None:
            raise DeclarationError(f"{path}.macvtap.{key}", "is required for type macvtap")
    for key in _not_default(tap, _OF_TAPS):
        raise DeclarationError(f"{path}.{key}", "is an option of type tap, not of macvtap; remove it")
    if tap["mac"] is not None and place["mode"] == "passthru":
        raise DeclarationError(f"{path}.mac", "in mode passthru, the device has the address of its link; remove it")


def _check_tap(tap: HostTap, path: str) -> None:
    for key, value in (("link", tap["macvtap"]["link"]), ("mode", tap["macvtap"]["mode"])):
        if value is not None:
            raise DeclarationError(f"{path}.macvtap.{key}", "is an option of type macvtap; remove it, or set that type")
    if tap["mtu"] is not None and tap["mtu"] > MOST_IN_PACKET:
        raise DeclarationError(f"{path}.mtu", f"{tap['mtu']} is too large for a tap; write at most {MOST_IN_PACKET}")
    if tap["bridge"] == tap["name"]:
        raise DeclarationError(f"{path}.bridge", "is the device itself; name a bridge of the host")
    for key in _not_default(tap, PORT_OPTIONS) if tap["bridge"] is None else ():
        raise DeclarationError(f"{path}.{key}", "is an option of a bridge's port; set bridge as well, or remove it")


def _not_default(tap: HostTap, keys: Sequence[str]) -> List[str]:
    values = cast(Dict[str, object], tap)
    return [key for key in keys if values[key] != _DEFAULTS[key]]


def _check_names(tap: HostTap, path: str) -> None:
    for index, name in enumerate(tap["altnames"] or ()):
        if name == tap["name"]:
            raise DeclarationError(f"{path}.altnames[{index}]", "is the name of the device itself; remove it")


def _refuse_duplicates(taps: Sequence[HostTap], path: str) -> None:
    uses: Dict[Tuple[str, str], str] = {}
    for index, tap in enumerate(taps):
        for kind, value, key in _claims(tap):
            place = f"{path}[{index}].{key}"
            first = uses.setdefault((kind, value), place)
            if first != place:
                raise DeclarationError(place, f"{value} is already used by {first}; use another one")


def _claims(tap: HostTap) -> Iterator[Tuple[str, str, str]]:
    """Yield what only one device can have: kind and value, and the key that claims it."""
    yield "device", tap["name"], "name"
    # The name of a device that is removed is free for others.
    if tap["state"] == "present":
        yield "name", tap["name"], "name"
        for index, name in enumerate(tap["altnames"] or ()):
            yield "name", name, f"altnames[{index}]"
        # Devices that are not connected may have the same address.
        place = tap["macvtap"]["link"] or tap["bridge"]
        if tap["mac"] is not None and place is not None:
            yield f"mac on {place}", tap["mac"], "mac"


def _refuse_shared_passthru(taps: Sequence[HostTap], path: str) -> None:
    """Refuse another device on the link of one in mode passthru, which has the link for itself."""
    places = [
        (index, tap["macvtap"]["link"], tap["macvtap"]["mode"])
        for index, tap in enumerate(taps)
        if tap["state"] == "present" and tap["type"] == "macvtap"
    ]
    for position, (index, link, mode) in enumerate(places):
        for other, other_link, other_mode in places[:position]:
            if link == other_link and "passthru" in (mode, other_mode):
                raise DeclarationError(
                    f"{path}[{index}].macvtap.link",
                    f"{link} is also the link of {path}[{other}], and a device in mode passthru has its link for "
                    "itself; use another link or another mode",
                )
