# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands by which firewalld and ufw let packets of networks pass, or no longer do. Pure."""

from __future__ import annotations

from typing import Iterator, List, Sequence, Tuple

from ...declaration.types import Network
from .firewalls import COMMENT, ZONE, Firewalls, ufw_rules, zone_interfaces

_PERMANENT, _RUNTIME = "firewall-cmd --permanent", "firewall-cmd"
_OFFLINE = "firewall-offline-cmd"
"""Command for firewalld that does not run."""


def permissions(firewalls: Firewalls, networks: Sequence[Network], uplinks: Sequence[str]) -> Iterator[str]:
    """Yield the commands that permit what is not permitted yet.

    What somebody has put into another zone stays there, as do rules of ufw that deny something.
    """
    if firewalls.is_ufw_enabled:
        for rule in ufw_rules(networks, uplinks):
            if rule not in firewalls.ufw_rules:
                yield f"ufw {rule} comment {COMMENT}"
    if firewalls.is_firewalld_running:
        for name in _own_interfaces(firewalls, networks):
            for command, zones in ((_PERMANENT, firewalls.permanent_zones), (_RUNTIME, firewalls.zones)):
                if name not in zones:
                    yield f"{command} --zone={ZONE} --add-interface={name}"


def withdrawals(firewalls: Firewalls, networks: Sequence[Network], uplinks: Sequence[str]) -> Iterator[str]:
    """Yield the commands that take back what this collection has permitted and is not needed any more."""
    wanted = ufw_rules(networks, uplinks)
    for rule in firewalls.own_ufw_rules:
        if rule not in wanted:
            yield f"ufw route delete {rule[len('route ') :]}" if rule.startswith("route ") else f"ufw delete {rule}"
    for name in zone_records(firewalls, networks)[1]:
        if firewalls.permanent_zones.get(name) == ZONE:
            command = _PERMANENT if firewalls.is_firewalld_running else _OFFLINE
            yield f"{command} --zone={ZONE} --remove-interface={name}"
        if firewalls.zones.get(name) == ZONE:
            yield f"{_RUNTIME} --zone={ZONE} --remove-interface={name}"


def zone_records(firewalls: Firewalls, networks: Sequence[Network]) -> Tuple[List[str], List[str]]:
    """Return the interfaces to record, which a run is about to put into the zone, and those not to record any more."""
    recorded = firewalls.recorded_interfaces
    new = [
        name
        for name in _own_interfaces(firewalls, networks)
        if firewalls.is_firewalld_running and name not in recorded and name not in firewalls.permanent_zones
    ]
    return new, sorted(recorded - {*zone_interfaces(networks)})


def _own_interfaces(firewalls: Firewalls, networks: Sequence[Network]) -> List[str]:
    """Return the interfaces that nobody has put into another zone."""
    return [
        name
        for name in zone_interfaces(networks)
        if {firewalls.zones.get(name, ZONE), firewalls.permanent_zones.get(name, ZONE)} == {ZONE}
    ]
