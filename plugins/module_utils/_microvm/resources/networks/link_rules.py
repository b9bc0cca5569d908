# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of other firewalls that name an interface which a bridge takes over, or gives back. Pure.

What comes and goes by the port of a bridge has the name of the bridge to such rules, so what they deny would pass.
"""

from __future__ import annotations

import json
from typing import AbstractSet, Dict, Iterator, List, Sequence, Tuple

from ...declaration.networks.lan import lan_link
from ...declaration.types import Network
from .firewalls import CHAIN, Firewalls, permitted_lans
from .interface_rules import InterfaceRule, InterfaceTest

_OF_UFW = ("ufw-user-", "ufw6-user-")
_OF_FIREWALLD = ("_ZONES", "_POLICIES")
"""Chains of firewalld with iptables, by which it finds the zone of an interface; the latter from version 2 on."""
_TABLES_OF_FIREWALLD = ("inet firewalld", "ip firewalld", "ip6 firewalld")


def missed_places(rules: Sequence[InterfaceRule], former: str, new: str, own_networks: Sequence[str]) -> Dict[str, int]:
    """Return where rules name an interface whose packets have another name then, each with how many do.

    Those that name the new one too are left out, with those for which there is such a rule beside, and those about
    our networks, which a run makes itself.
    """
    texts = {(rule.place, rule.text) for rule in rules}
    places: Dict[str, int] = {}
    for rule in rules:
        concerned = [test for test in rule.tests if test.names_interface(former) and not test.names_interface(new)]
        is_ours = any(test.names & {*own_networks} for test in rule.tests)
        if concerned and not is_ours and not _has_counterpart(rule, concerned, former, new, texts):
            places[rule.place] = places.get(rule.place, 0) + 1
    return places


def _has_counterpart(
    rule: InterfaceRule, concerned: Sequence[InterfaceTest], former: str, new: str, texts: AbstractSet[Tuple[str, str]]
) -> bool:
    """Return whether the same rule is there for the new interface; what holds for all others has no such rule."""
    text = rule.text
    for test in concerned:
        for name in test.names:
            if InterfaceTest(frozenset({name}), False).names_interface(former):
                text = text.replace(json.dumps(name), json.dumps(new))
    is_negated = any(test.is_negated for test in concerned)
    return not is_negated and text != rule.text and (rule.place, text) in texts


def link_warnings(
    firewalls: Firewalls, networks: Sequence[Network], leaving: Sequence[Network], changing: AbstractSet[str]
) -> Iterator[str]:
    """Yield what an operator does about rules of other firewalls that miss packets of interfaces of the host.

    ``networks`` are all of the host, ``leaving`` those of them that give their interface back, and ``changing`` the
    names of those that a run changes.
    """
    for network in permitted_lans(networks):
        name, link = network["name"], lan_link(network)
        others = [other["name"] for other in networks if other["name"] != name]
        if network in leaving:
            places = _places(firewalls, name, link, others)
            change = f"{link} is no longer a port of network {name} then"
            former, new = name, link
        else:
            places = _places(firewalls, link, name, others)
            change = f"{link} {'becomes' if name in changing else 'is'} a port of network {name}"
            former, new = link, name
        if places:
            yield (
                f"{change}, so rules of other firewalls that name {former} match none of its packets, which come and "
                f"go by {new}: what they deny passes, and what they permit may not. Let them name {new} as well, where "
                f"that firewall has its rules{', before the change' if name in changing else ''}: {'; '.join(places)}"
            )


def _places(firewalls: Firewalls, former: str, new: str, own_networks: Sequence[str]) -> List[str]:
    rules = [rule for rule in firewalls.interface_rules if not _is_managed(firewalls, rule)]
    places = missed_places(rules, former, new, own_networks)
    listed = [f"{count} in {place}" if count > 1 else place for place, count in places.items()]
    return [*listed, *_of_ufw(firewalls, former, new), *_of_firewalld(firewalls, former, new)]


def _is_managed(firewalls: Firewalls, rule: InterfaceRule) -> bool:
    """Return whether a rule is ours, or one that a program makes of its own list."""
    is_of_ufw = firewalls.is_ufw_enabled and rule.chain.startswith(_OF_UFW)
    is_of_firewalld = rule.table in _TABLES_OF_FIREWALLD or any(word in rule.chain for word in _OF_FIREWALLD)
    return rule.chain == CHAIN or is_of_ufw or (firewalls.is_firewalld_running and is_of_firewalld)


def _of_ufw(firewalls: Firewalls, former: str, new: str) -> Iterator[str]:
    """Yield the commands that make the same rules of ufw for another interface."""
    for rule in firewalls.ufw_rules if firewalls.is_ufw_enabled else ():
        same = f"{rule} ".replace(f" on {former} ", f" on {new} ").rstrip()
        if same != rule and rule not in firewalls.own_ufw_rules and same not in firewalls.ufw_rules:
            yield f"ufw {same}"


def _of_firewalld(firewalls: Firewalls, former: str, new: str) -> Iterator[str]:
    """Yield the command that puts another interface into the same zone of firewalld."""
    zone = firewalls.permanent_zones.get(former, firewalls.zones.get(former))
    is_chosen = new in firewalls.permanent_zones or new in firewalls.zones
    if firewalls.is_firewalld_running and zone is not None and not is_chosen:
        yield f"firewall-cmd --permanent --zone={zone} --add-interface={new} && firewall-cmd --reload"
