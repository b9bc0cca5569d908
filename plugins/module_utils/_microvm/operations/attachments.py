# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check the addresses of guests on a host: its networks and its own addresses are known there."""

from __future__ import annotations

import ipaddress
from typing import Dict, List, Mapping, Sequence, Tuple

from ..declaration.networks.lan import split_lans
from ..declaration.networks.parse import parse_networks
from ..declaration.networks.renaming import renamed_networks
from ..declaration.types import Network
from ..declaration.vms.attachments import refuse_misplaced_addresses
from ..declaration.vms.claims import reachable_addresses
from ..declaration.vms.macvtaps import refuse_other_kind
from ..declaration.vms.parse import Declaration
from ..declaration.vms.routed import refuse_unroutable_guests
from ..host import files
from ..host.commands import HostError
from ..resources.networks.configuration import RECORD, recorded_networks
from ..resources.networks.observe import observe_links
from ..schema.errors import DeclarationError


def check_addresses(
    placed: Sequence[Tuple[str, Declaration]], networks: Sequence[object], former: Sequence[str] = ()
) -> None:
    """Refuse addresses that a guest cannot have on this host, and guests that lack what a routed network requires.

    ``networks`` are those that the same run brings, and ``former`` those that it takes away. Raises DeclarationError.
    Nothing is asked of a host without static addresses.
    """
    if former:
        _refuse_former_networks(placed, former, renamed_networks(_recorded(), parse_networks(networks)))
    attached = _networks(networks)
    for path, declaration in placed:
        refuse_other_kind(declaration, attached, path)
        refuse_unroutable_guests(declaration, attached, path)
    if not any(True for _path, declaration in placed for _address in reachable_addresses(declaration)):
        return
    host = _host_addresses()
    for path, declaration in placed:
        refuse_misplaced_addresses(declaration, split_lans(attached)[0], host, path)


def _refuse_former_networks(
    placed: Sequence[Tuple[str, Declaration]], former: Sequence[str], renamed: Mapping[str, str]
) -> None:
    for path, declaration in placed:
        for index, interface in enumerate(declaration["interfaces"]):
            network = interface["bridge"]
            if network is not None and network in former:
                remedy = (
                    f"its name is {renamed[network]!r} now: write that here"
                    if network in renamed
                    else "name another network, or declare it again in microvm_networks"
                )
                raise DeclarationError(
                    f"{path}.interfaces[{index}].bridge",
                    f"the network {network!r} is no longer declared, and this run would take it away; {remedy}",
                )


def _networks(declared: Sequence[object]) -> List[Network]:
    """Return the networks of this host: the declared ones, and others that it has."""
    networks = {network["name"]: network for network in [*_recorded(), *parse_networks(declared)]}
    return list(networks.values())


def _recorded() -> List[Network]:
    """Return the networks that this host has; none if their record is damaged, which a run of networks reports."""
    try:
        text = files.read_text(RECORD)
        return recorded_networks({RECORD: text}) if text is not None else []
    except (HostError, files.UnreadableFile):
        return []


def _host_addresses() -> Dict[str, str]:
    return {
        str(ipaddress.ip_interface(address).ip): name
        for name, link in observe_links().items()
        for address in link.addresses
    }
