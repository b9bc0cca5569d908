# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refuse devices that a host cannot have: names of others, missing bridges, links and accounts. Pure."""

from __future__ import annotations

from typing import Iterator, Mapping, Optional, Sequence, Tuple

from ...declaration.types import HostTap
from ...host.netlink import NetworkDevice
from ...schema.errors import DeclarationError
from .links import refuse_link
from .state import Observed

_OURS = ("tap", "macvtap")

MOST_ACCOUNTS = 0xFFFFFFFE
"""Largest number of a user; the next one means nobody (credentials(7))."""


def refuse_impossible(observed: Observed, taps: Sequence[HostTap], path: str) -> None:
    """Raise DeclarationError, with a path below ``path``, for the first device that cannot be."""
    declared = {tap["name"]: tap for tap in taps}
    for index, tap in enumerate(taps):
        place = f"{path}[{index}]"
        _refuse_foreign(observed, tap, f"{place}.name")
        if tap["state"] == "present":
            _refuse_taken_names(observed, tap, declared, place)
            _refuse_missing_accounts(observed, tap, place)
            _refuse_missing_bridge(observed, tap, place)
            if tap["macvtap"]["link"] is not None:
                refuse_link(observed, tap, taps, place)


def _refuse_foreign(observed: Observed, tap: HostTap, path: str) -> None:
    device = observed.devices.get(tap["name"])
    if device is not None and device.kind not in _OURS:
        kind = f"an interface of kind {device.kind}" if device.kind else "an interface of hardware or of the kernel"
        raise DeclarationError(
            path, f"{tap['name']} is {kind}, and only taps and macvtaps are managed here; choose another name"
        )


def _refuse_taken_names(observed: Observed, tap: HostTap, declared: Mapping[str, HostTap], path: str) -> None:
    for key, name in _names(tap):
        holder = observed.holder(name)
        if holder is not None and holder.name != tap["name"] and not _gives_up(holder, name, declared):
            raise DeclarationError(
                f"{path}.{key}", f"the interface {holder.name} of this host has the name {name}; choose another name"
            )


def _names(tap: HostTap) -> Iterator[Tuple[str, str]]:
    yield "name", tap["name"]
    for index, name in enumerate(tap["altnames"] or ()):
        yield f"altnames[{index}]", name


def _gives_up(holder: NetworkDevice, name: str, declared: Mapping[str, HostTap]) -> bool:
    """Return whether an interface loses a name in the same run, before others get theirs."""
    tap = declared.get(holder.name)
    if tap is None:
        return False
    is_kept = tap["altnames"] is None or name in tap["altnames"]
    return tap["state"] == "absent" or (name != holder.name and not is_kept)


def _refuse_missing_accounts(observed: Observed, tap: HostTap, path: str) -> None:
    accounts: Sequence[Tuple[str, str, Optional[str]]] = (
        ("owner", "user", tap["owner"]),
        ("group", "group", tap["group"]),
    )
    for option, kind, name in accounts:
        if name is None:
            continue
        if name.isdigit():
            if int(name) > MOST_ACCOUNTS:
                raise DeclarationError(f"{path}.{option}", f"{name} is too large; write at most {MOST_ACCOUNTS}")
        elif (option, name) not in observed.accounts:
            raise DeclarationError(
                f"{path}.{option}", f"there is no {kind} {name!r} on this host; create it first, or correct the name"
            )


def _refuse_missing_bridge(observed: Observed, tap: HostTap, path: str) -> None:
    bridge = tap["bridge"]
    if bridge is not None and bridge not in observed.expected_bridges:
        device = observed.devices.get(bridge)
        if device is None or device.kind != "bridge":
            raise DeclarationError(
                f"{path}.bridge",
                f"there is no bridge {bridge!r} on this host; declare it in microvm_networks or correct the name",
            )
