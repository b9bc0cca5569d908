# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leases that DHCP servers of systemd-networkd have given, and keep in a file from version 256 on. Pure.

As long as a server knows one of a guest, it does not answer the guest that is to have another address. What it does not
know to be leased, it gives to others, so nothing else is forgotten.
"""

from __future__ import annotations

import ipaddress
import json
from typing import Iterator, Mapping, NamedTuple, Optional, Sequence

from ...declaration.types import Network

_ETHERNET = 1
"""Type of hardware of an identifier of a client that is its MAC address."""


class ForgottenLeases(NamedTuple):
    """Network whose server is to forget leases."""

    network: str
    is_readable: bool
    """False if nobody knows which, since the file that has them is not understood."""


def forgotten_leases(
    kept: Mapping[str, str], former: Sequence[Network], networks: Sequence[Network], interrupted: bool
) -> Iterator[ForgottenLeases]:
    """Yield the networks whose servers are to forget leases that are ``kept``, in files by network.

    ``interrupted`` if a run was ended that may have changed the networks without the leases.
    """
    wanted = {network["name"]: network for network in networks if network["dhcp_server"] is not None}
    for before in former:
        name = before["name"]
        network = wanted.get(name)
        if name not in kept:
            continue
        if network is None:
            yield ForgottenLeases(name, True)
        elif interrupted or (before["address"], before["leases"]) != (network["address"], network["leases"]):
            remaining = remaining_leases(kept[name], network)
            if remaining != kept[name]:
                yield ForgottenLeases(name, remaining is not None)


def remaining_leases(text: str, network: Network) -> Optional[str]:
    """Return the content of a file without what a server is to forget; nothing if no lease is left.

    Return ``None`` if the file is not understood.
    """
    try:
        content = json.loads(text)
        leases = content["Leases"]
        kept = [lease for lease in leases if not _is_former(lease, network)]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    if len(kept) == len(leases):
        return text
    return json.dumps({**content, "Leases": kept}) + "\n" if kept else ""


def _is_former(lease: Mapping[str, Sequence[int]], network: Network) -> bool:
    """Return whether an address belongs to another guest now, its guest to another address, or it is none of guests."""
    address, interface = ipaddress.IPv4Address(bytes([*lease["Address"]])), ipaddress.ip_interface(network["address"])
    own = {each["mac"].lower(): ipaddress.IPv4Address(each["address"]) for each in network["leases"]}
    for mac in _macs(lease):
        if mac in own:
            return address != own[mac]
    return address in own.values() or address not in interface.network or address == interface.ip


def _macs(lease: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Yield what may be MAC addresses by which a server finds the static lease of a client."""
    identifier, hardware = bytes([*lease["ClientId"]]), bytes([*lease.get("HardwareAddress", ())])
    if identifier[:1] == bytes([_ETHERNET]):
        yield identifier[1:].hex(":")
    yield hardware.hex(":")


def unread_message(network: str, path: str) -> str:
    """Return what an operator does about a file that is not understood."""
    return (
        f"the file {path}, in which systemd-networkd keeps the leases of network {network}, is not understood, so they "
        "were left. A guest that is to have another address may get none until its former lease has ended, an hour at "
        "most; to let the server forget all leases, and give their addresses to others, remove the file and run "
        f"networkctl reconfigure {network}"
    )
