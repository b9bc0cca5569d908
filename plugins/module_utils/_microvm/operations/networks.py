# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the networks of a host into the declared state."""

from __future__ import annotations

import contextlib
import os
import time
from typing import Dict, List, Mapping, Optional, Sequence, TypedDict

from ..declaration.names import names_unit
from ..declaration.networks.guest_names import HOST_NAME
from ..declaration.networks.lan import RETURN_SECONDS, lan_link
from ..declaration.networks.macvtap import with_bridges
from ..declaration.networks.parse import parse_networks
from ..declaration.networks.renaming import renamed_networks
from ..declaration.networks.selected_guests import refuse_selectors
from ..declaration.types import Network
from ..host import files, systemd
from ..host.commands import HostError
from ..host.locks import locked
from ..host.name_server import resolves
from ..host.sockets import connections_to_host, describe_owner, listening_sockets
from ..resources.diffs import Diff, difference, differences
from ..resources.executor import execute
from ..resources.networks.configuration import recorded_networks
from ..resources.networks.guest_names import domain_of, server_addresses
from ..resources.networks.handlers import HANDLERS, NetworksJob
from ..resources.networks.kept_leases import unread_message
from ..resources.networks.lan_files import UNCONFIRMED
from ..resources.networks.listeners import (
    hidden_connection,
    hidden_message,
    hidden_socket,
    interrupted_message,
    new_forwards,
)
from ..resources.networks.observe import LEASES, MARK, observe, observe_links
from ..resources.networks.observe_macvtaps import refuse_unfiltered_macvtaps
from ..resources.networks.observe_names import refuse_unserved_names, unserved_names
from ..resources.networks.plan import Action, Plan, plan
from ..resources.networks.state import NETWORKD, Link, Observed, has_address, has_families
from ..schema.errors import DeclarationError
from .network_users import former_networks, readdressed_networks

WAIT_SECONDS = 30
LOCK = "@networks"
"""Name of the lock; no MicroVM has such a name."""


class NetworksResult(TypedDict):
    """Outcome of a run over the networks of a host."""

    changed: bool
    actions: List[str]
    kept: List[str]
    still_forwarding: str
    down: Dict[str, str]
    missing_uplinks: Dict[str, List[str]]
    missing_links: Dict[str, str]
    former: Dict[str, List[str]]
    renamed: Dict[str, str]
    readdressed: Dict[str, List[str]]
    unserved: List[str]
    hindrances: List[str]
    link_rules: List[str]
    unread_leases: List[str]
    unconfirmed: List[str]
    waiting: List[str]
    returned: bool
    diff: List[Diff]


def reconcile_networks(
    raw: Sequence[object], check_mode: bool, confirm: bool = False, return_seconds: int = RETURN_SECONDS
) -> NetworksResult:
    """Bring the networks of a host into the declared state, or say what that would mean.

    ``confirm`` makes permanent what an earlier run has changed of the host's own connection.
    Raises DeclarationError, before anything has changed, and HostError.
    """
    networks = parse_networks(raw)
    refuse_selectors(networks, "networks")
    with contextlib.nullcontext() if check_mode else locked([LOCK]):
        observed = observe(networks)
        refuse_unfiltered_macvtaps(observed, networks)
        _refuse_hidden_services(observed, networks)
        planned = plan(observed, networks, confirm=confirm, return_seconds=return_seconds)
        former = former_networks(observed, networks)
        if not check_mode:
            # In check mode, role host has not installed what it will.
            refuse_unserved_names(networks)
            _carry_out(planned, networks, observed)
    return {
        "changed": planned.changed,
        "actions": [str(step) for step in planned.steps],
        "kept": sorted(planned.kept),
        "still_forwarding": planned.still_forwarding,
        "down": dict(planned.down),
        "missing_uplinks": {name: list(uplinks) for name, uplinks in planned.missing_uplinks},
        "missing_links": dict(planned.missing_links),
        "former": former,
        "renamed": renamed_networks(recorded_networks(observed.files), networks),
        "readdressed": readdressed_networks(observed, networks),
        "unserved": unserved_names(networks),
        "hindrances": list(planned.hindrances),
        "link_rules": list(planned.link_rules),
        "unread_leases": [unread_message(network, f"{LEASES}/{network}") for network in planned.unread_leases],
        "unconfirmed": sorted(planned.unconfirmed),
        "waiting": sorted(planned.waiting),
        "returned": observed.returned,
        "diff": _diff(observed, planned),
    }


def _refuse_hidden_services(observed: Observed, networks: Sequence[Network]) -> None:
    """Refuse forwarded ports that take a service from the host, or from who uses it now. Raises DeclarationError."""
    new = new_forwards(observed, networks)
    sockets, connections = (listening_sockets(), connections_to_host()) if new else ([], [])
    for forward in new:
        socket = hidden_socket(observed, forward, networks, sockets)
        if socket is not None:
            raise DeclarationError(forward.path, hidden_message(forward, describe_owner(socket.inode)))
        connection = hidden_connection(observed, forward, networks, connections)
        if connection is not None:
            owner = describe_owner(connection.inode)
            raise DeclarationError(forward.path, interrupted_message(forward, connection, owner))


def _carry_out(planned: Plan, networks: Sequence[Network], observed: Observed) -> None:
    """Execute a plan and wait until the bridges have their addresses. Raises HostError."""
    job = NetworksJob(planned)
    error = execute([job], HANDLERS)[job.name].error
    if error is not None:
        raise HostError(error)
    if planned.changed:
        _wait_for_addresses(with_bridges(networks), observed, planned)
    for network in recorded_networks(planned.files):
        unit = names_unit(network["name"])
        if unit in planned.targets(Action.SERVE_NAMES):
            _wait_for_names(unit, network)
    files.remove(MARK)


def _wait_for_addresses(networks: Sequence[Network], observed: Observed, planned: Plan) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        links = observe_links() if networks else {}
        missing = [network for network in networks if not _is_up(network, links, observed, planned)]
        if not missing:
            return
        if planned.unconfirmed and not os.path.exists(UNCONFIRMED):
            raise HostError("the change was taken back, since nobody confirmed it in time")
        if time.monotonic() > deadline:
            states = "; ".join(f"{network['name']} {_description(links.get(network['name']))}" for network in missing)
            raise systemd.explain(NETWORKD, f"bridges are not up after {WAIT_SECONDS} s: {states}")
        time.sleep(0.2)


def _is_up(network: Network, links: Mapping[str, Link], observed: Observed, planned: Plan) -> bool:
    """Return whether a bridge has its addresses: those that its interface had, if the host's own connection moves."""
    link = links.get(network["name"])
    if network["name"] in dict(planned.missing_links):
        return link is not None
    if link is None or not has_address(link, network):
        return False
    return network["name"] not in planned.unconfirmed or has_families(link, observed.links.get(lan_link(network)))


def _wait_for_names(unit: str, network: Network) -> None:
    """Wait until a network's server answers. Raises HostError, such as where another program has its port."""
    deadline = time.monotonic() + WAIT_SECONDS
    address = server_addresses(network)[0]
    while not resolves(address, f"{HOST_NAME}.{domain_of(network)}", address, 1):
        if time.monotonic() > deadline:
            raise systemd.explain(unit, f"names of guests are not resolved at {address} after {WAIT_SECONDS} s")
        time.sleep(0.1)


def _description(link: Optional[Link]) -> str:
    return "does not exist" if link is None else f"has the addresses {', '.join(link.addresses) or 'none'}"


def _diff(observed: Observed, planned: Plan) -> List[Diff]:
    """Return every file that changes, and the other steps."""
    actions = (Action.WRITE, Action.REMOVE, Action.WRITE_VOLATILE, Action.REMOVE_VOLATILE, Action.REMOVE_LAST)
    of_files = differences(planned.targets(*actions), observed.files, planned.files)
    remaining = [step for step in planned.steps if step.action not in actions]
    return [*of_files, *([difference("steps", "", "".join(f"{step}\n" for step in remaining))] if remaining else [])]
