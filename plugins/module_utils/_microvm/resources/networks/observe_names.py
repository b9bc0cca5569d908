# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at what names of guests need of a host: guests that run, their names, and who resolves names for the host."""

from __future__ import annotations

import glob
import os
import re
from typing import Dict, List, Optional, Sequence

from ...declaration.names import BOOTED_LINK, GUEST_NAMES_DIRECTORY
from ...declaration.types import Network
from ...host import files
from ...host.settings import directories
from ...schema.errors import DeclarationError
from .guest_names import NAME_SERVER_PROGRAM, PROXY, STUB
from .running_names import parse_tap_guests
from .state import TapGuest

RESOLVERS = "/etc/resolv.conf"
"""File with the host's DNS servers (resolv.conf(5))."""


NO_NAME_SERVER = (
    f"this host has no {NAME_SERVER_PROGRAM}; install dnsmasq (on Debian and Ubuntu the package dnsmasq-base), which "
    "role host does if microvm_networks has names"
)
"""Reason why names of guests are refused."""


def unserved_names(networks: Sequence[Network]) -> List[str]:
    """Return the networks with names of guests that the host has no program to serve."""
    named = [network["name"] for network in networks if network["dns_names"] is not None]
    return named if named and not os.access(NAME_SERVER_PROGRAM, os.X_OK) else []


def refuse_unserved_names(networks: Sequence[Network], path: str = "networks") -> None:
    """Refuse names of guests on a host that has no program to serve them. Raises DeclarationError."""
    unserved = unserved_names(networks)
    for index, network in enumerate(networks):
        if network["name"] in unserved:
            raise DeclarationError(f"{path}[{index}].dns_names", NO_NAME_SERVER)


def observe_resolver() -> Optional[str]:
    """Return where systemd-resolved asks the host's servers, if programs of the host ask it for names."""
    serves_host = re.search(rf"^nameserver\s+{re.escape(STUB)}\s*$", _text(RESOLVERS), re.MULTILINE)
    return PROXY if serves_host else None


def observe_tap_guests() -> Dict[str, TapGuest]:
    """Return the guests of running MicroVMs by tap."""
    guests: Dict[str, TapGuest] = {}
    state = directories()["state_dir"]
    for path in sorted(glob.glob(f"{glob.escape(state)}/*/{BOOTED_LINK}/share/microvm/tap-guests")):
        microvm = os.path.relpath(path, state).partition("/")[0]
        guests.update(parse_tap_guests(microvm, _text(path)))
    return guests


def observe_guest_names() -> Dict[str, str]:
    """Return the files with the names of guests, by their paths ``NETWORK/TAP``."""
    paths = sorted(glob.glob(f"{GUEST_NAMES_DIRECTORY}/*/*"))
    return {os.path.relpath(path, GUEST_NAMES_DIRECTORY): _text(path) for path in paths}


def _text(path: str) -> str:
    """Return the content of a file; nothing of one that is not there, or that is not even text."""
    try:
        return files.read_text(path) or ""
    except files.UnreadableFile:
        return ""
