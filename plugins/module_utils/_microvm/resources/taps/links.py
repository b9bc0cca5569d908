# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Refuse macvtaps that their links cannot have. Pure."""

from __future__ import annotations

from typing import Optional, Sequence

from ...declaration.types import HostTap
from ...host.netlink import NetworkDevice
from ...schema.errors import DeclarationError
from .state import Observed


def refuse_link(observed: Observed, tap: HostTap, taps: Sequence[HostTap], path: str) -> None:
    """Raise DeclarationError, with a path below ``path``, if a macvtap cannot be on its link.

    ``taps`` are all that are declared, of which those that leave the link do so before others are made.
    """
    name = str(tap["macvtap"]["link"])
    link = observed.devices.get(name)
    if link is None:
        raise DeclarationError(f"{path}.macvtap.link", f"there is no interface {name!r} on this host; correct the name")
    problem = (
        _problem_of(observed, link) or _problem_of_removal(link, taps) or _problem_of_mode(observed, link, tap, taps)
    )
    if problem is not None:
        raise DeclarationError(f"{path}.macvtap.link", problem)
    _refuse_address(observed, link, tap, taps, f"{path}.mac")
    if tap["mtu"] is not None and tap["mtu"] > link.mtu:
        raise DeclarationError(
            f"{path}.mtu", f"{tap['mtu']} is more than {link.mtu}, the MTU of its link {name}; use at most that"
        )


def is_link_down(observed: Observed, tap: HostTap, taps: Sequence[HostTap]) -> bool:
    """Return whether a macvtap that is up reaches nobody: the kernel brings it up on a link that is down, too."""
    link = observed.devices.get(tap["macvtap"]["link"] or "")
    if link is None or tap["state"] != "present" or not tap["up"]:
        return False
    declared = {other["name"]: other["up"] for other in taps if other["state"] == "present"}
    return not declared.get(link.name, link.is_up)


def _problem_of(observed: Observed, link: NetworkDevice) -> Optional[str]:
    """Return why an interface cannot have macvtaps at all."""
    if link.is_macvlan:
        lower = observed.name_of(link.link)
        advice = "use another link" if lower is None else f"use {lower}, which it is on, as the link"
        return f"{link.name} is itself a {link.kind}, and the kernel would put the device on the link of that; {advice}"
    if not link.is_ethernet:
        return f"{link.name} passes no Ethernet packets, and such an interface cannot have macvtaps; use another link"
    if link.master is not None:
        return (
            f"{link.name} is a port of {observed.name_of(link.master)}, and such an interface cannot have macvtaps; "
            "use another link, or attach a tap to the bridge"
        )
    return None


def _problem_of_removal(link: NetworkDevice, taps: Sequence[HostTap]) -> Optional[str]:
    if any(tap["name"] == link.name and tap["state"] == "absent" for tap in taps):
        return f"{link.name} is to be removed, and what is on it with it; use another link, or keep that"
    return None


def _problem_of_mode(observed: Observed, link: NetworkDevice, tap: HostTap, taps: Sequence[HostTap]) -> Optional[str]:
    """Return who has the link that is not declared here, where one of both needs it for itself."""
    declared = {other["name"] for other in taps}
    for device in observed.on_top_of(link):
        if device.is_macvlan and device.name not in declared and "passthru" in (tap["macvtap"]["mode"], device.mode):
            return (
                f"{link.name} has also the {device.kind} {device.name}, and a device in mode passthru has its link for "
                "itself; remove that, or use another link or another mode"
            )
    return None


def _refuse_address(observed: Observed, link: NetworkDevice, tap: HostTap, taps: Sequence[HostTap], path: str) -> None:
    if tap["mac"] is None:
        return
    if tap["mac"] == link.mac:
        raise DeclarationError(path, f"{tap['mac']} is the address of its link {link.name} itself; choose another one")
    for device in observed.on_top_of(link):
        is_other = device.is_macvlan and device.name != tap["name"]
        if is_other and device.mac == tap["mac"] and not _gives_up_address(device, tap, taps):
            raise DeclarationError(
                path,
                f"{tap['mac']} is the address of {device.name}, which is on {link.name}, too; choose another one, or "
                f"give {device.name} another one first",
            )


def _gives_up_address(device: NetworkDevice, tap: HostTap, taps: Sequence[HostTap]) -> bool:
    """Return whether a device is gone from the link of a macvtap, or has another address, when that gets its own."""
    names = [other["name"] for other in taps]
    if device.name not in names:
        return False
    position = names.index(device.name)
    other = taps[position]
    if other["state"] == "absent" or other["macvtap"]["link"] != tap["macvtap"]["link"]:
        return True
    return other["mac"] not in (None, tap["mac"]) and position < names.index(tap["name"])
