# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at tap and macvtap devices of a host."""

from __future__ import annotations

import glob
import grp
import os
import pwd
import stat
from dataclasses import replace
from typing import Iterator, Mapping, Optional, Sequence, Tuple

from ...declaration.names import BOOTED_LINK
from ...declaration.types import HostTap
from ...host import files
from ...host.device_users import find_users, macvtap_node
from ...host.netlink import Links, NetworkDevice
from .plan import draft
from .state import Node, Observed

LISTS = ("share/microvm/tap-interfaces", "share/microvm/macvtap-interfaces")
"""Files of a package with its interfaces, one on each line, which begins with the name."""


def observe_taps(
    links: Links, taps: Sequence[HostTap], state_directory: str, expected_bridges: Sequence[str] = ()
) -> Observed:
    """Return the state by one dump of the interfaces, and a look at who uses the devices that would be taken away.

    Raises DeclarationError for what is impossible.
    """
    devices = links.dump()
    observed = Observed(
        devices=devices,
        nodes=dict(_nodes(devices, taps)),
        accounts=dict(_accounts(taps)),
        microvms=dict(_microvms(state_directory)),
        expected_bridges=tuple(expected_bridges),
    )
    return _with_users(observed, taps)


def _nodes(devices: Mapping[str, NetworkDevice], taps: Sequence[HostTap]) -> Iterator[Tuple[str, Node]]:
    for tap in taps:
        device = devices.get(tap["name"])
        if device is not None and device.kind == "macvtap":
            try:
                status = os.stat(macvtap_node(device.index))
            except FileNotFoundError:
                continue
            yield device.name, Node(status.st_uid, status.st_gid, f"{stat.S_IMODE(status.st_mode):04o}")


def _accounts(taps: Sequence[HostTap]) -> Iterator[Tuple[Tuple[str, str], int]]:
    names = {
        (option, name) for tap in taps for option, name in (("owner", tap["owner"]), ("group", tap["group"])) if name
    }
    for option, name in sorted(names):
        number = _number(option, name)
        if number is not None:
            yield (option, name), number


def _number(option: str, name: str) -> Optional[int]:
    try:
        return pwd.getpwnam(name).pw_uid if option == "owner" else grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _microvms(state_directory: str) -> Iterator[Tuple[str, str]]:
    """Yield the devices of running MicroVMs, with the names of these."""
    for booted in sorted(glob.glob(os.path.join(glob.escape(state_directory), "*", BOOTED_LINK))):
        for path in LISTS:
            for line in (files.read_text(os.path.join(booted, path)) or "").splitlines():
                if line.split():
                    yield line.split()[0], os.path.basename(os.path.dirname(booted))


def _with_users(observed: Observed, taps: Sequence[HostTap]) -> Observed:
    """Add who has the devices open that steps would take away, or could not set."""
    devices = [planned.device for planned in draft(observed, taps) if planned.concerns_users]
    names = [device.name for device in devices if device is not None and device.kind == "tap"]
    macvtaps = {device.name: device.index for device in devices if device is not None and device.kind == "macvtap"}
    users = find_users(names, macvtaps)
    # The carrier of a tap tells nothing of its process, which may switch it off.
    attached = {name: replace(observed.devices[name], is_attached=True) for name in names if name in users}
    return replace(observed, devices={**observed.devices, **attached}, users=users)
