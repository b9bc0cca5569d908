# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What other firewalls of a host must let pass for its networks, in the words of each. Pure.

A packet passes if every firewall of the host lets it pass. What is permitted here is still decided by our own rules.
Docker leaves a chain of iptables to others, ufw takes rules from them, and firewalld has zones for interfaces.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Dict, FrozenSet, Iterator, List, Mapping, Sequence, Tuple

from ...declaration.names import FLEET_DIRECTORY
from ...declaration.networks.ipv6 import is_open
from ...declaration.networks.lan import split_lans
from ...declaration.networks.options import DNS_DHCP, LEAVE, ROUTED
from ...declaration.networks.passages import origin_of
from ...declaration.networks.subnets import subnet
from ...declaration.types import Network
from ...schema.quoting import one_per_line
from .interface_rules import InterfaceRule
from .other_chains import DropChain

DOCKER_CHAIN = "DOCKER-USER"
"""Chain that Docker leaves to others."""
CHAIN = "MICROVM-FLEET"
"""Chain of ours that Docker's leads to."""
COMMENT = "microvm.fleet"
"""Comment by which an operator knows our rules in ufw and in chains of iptables."""
_COMMENTED = f"-m comment --comment {COMMENT}"
LEADING_RULE = f"-A {DOCKER_CHAIN} {_COMMENTED} -j {CHAIN}"
_FORMER_LEADING_RULE = f"-A {DOCKER_CHAIN} -j {CHAIN}"
"""Rule of earlier versions, which is replaced."""
_LAST_RULE = f"-A {DOCKER_CHAIN} -j RETURN"
"""Rule after which nothing is reached; Docker before version 28 makes it."""
ZONE = "trusted"
"""Zone of firewalld that accepts everything."""
ZONE_RECORDS = f"{FLEET_DIRECTORY}/firewalld"
"""Directory of an empty file for each interface that a run has put into the zone."""

_SAFE_NAME = re.compile(r"[A-Za-z0-9_.-]+")
"""Names of interfaces that mean themselves to all programs: for iptables a plus sign at the end means any others."""


@dataclass(frozen=True)
class Firewalls:
    """Other firewalls as the host has them."""

    docker: Mapping[str, Tuple[str, ...]] = field(default_factory=dict)
    """Rules of our chain and Docker's without quotes, by program (iptables or ip6tables), where Docker's chain is."""
    is_docker_running: bool = False
    is_ufw_enabled: bool = False
    ufw_rules: Tuple[str, ...] = ()
    """Rules of ufw, as arguments of its command."""
    own_ufw_rules: Tuple[str, ...] = ()
    """Those with our comment."""
    is_firewalld_running: bool = False
    zones: Mapping[str, str] = field(default_factory=dict)
    """Zones of interfaces, as firewalld has them at present; those in the default zone may be missing."""
    permanent_zones: Mapping[str, str] = field(default_factory=dict)
    """The same after the next reload."""
    recorded_interfaces: FrozenSet[str] = frozenset()
    """Interfaces that a run has put into the zone."""
    drop_chains: Tuple[DropChain, ...] = ()
    """Chains of yet others that drop what they do not permit."""
    interface_rules: Tuple[InterfaceRule, ...] = ()
    """Rules of others that name interfaces; only looked for on hosts with bridges onto interfaces of theirs."""


@dataclass(frozen=True)
class _Flow:
    """Packets that are forwarded; what is empty may be anything."""

    incoming: str = ""
    outgoing: str = ""
    source: str = ""
    target: str = ""
    elsewhere: str = ""
    """Interface that they do not come in by."""
    states: str = ""
    """States of their connections."""
    port: str = ""
    """Port that they are sent to, with its protocol before a slash."""


def permitted(networks: Sequence[Network]) -> List[Network]:
    """Return the networks whose packets other firewalls are told to let pass."""
    return [network for network in split_lans(networks)[0] if network["other_firewalls"] != LEAVE]


def permitted_lans(networks: Sequence[Network]) -> List[Network]:
    """Return the bridges onto interfaces of the host within which other firewalls are told to let frames pass.

    What comes in by them is not from guests alone, so nothing else of it is permitted.
    """
    return [network for network in split_lans(networks)[1] if network["other_firewalls"] != LEAVE]


def safe_names(interfaces: Sequence[str]) -> List[str]:
    """Return the interfaces whose names no program takes for something else."""
    return [name for name in interfaces if _SAFE_NAME.fullmatch(name)]


def docker_rules(networks: Sequence[Network], uplinks: Sequence[str], ipv6_uplinks: Sequence[str]) -> Dict[str, str]:
    """Return the rules of our chain by program, as it prints them with -S, but for the quotes of strings."""
    return {"iptables": _ipv4_rules(networks, uplinks), "ip6tables": _ipv6_rules(networks, ipv6_uplinks)}


def chains_differ(chains: Mapping[str, Sequence[str]], rules: Mapping[str, str]) -> bool:
    """Return whether our chain, or the rule that leads to it, is not as it should be where Docker's chain is."""
    return any(
        [line for line in lines if line.startswith(f"-A {CHAIN} ")] != rules[program].splitlines()
        or [line for line in lines if line.startswith(f"-A {DOCKER_CHAIN} ")]
        != _with_leading_rule(lines, bool(rules[program]))
        for program, lines in chains.items()
    )


def _with_leading_rule(lines: Sequence[str], is_needed: bool) -> List[str]:
    """Return the rules of Docker's chain as they should be: what others deny there comes before what we accept."""
    own = (LEADING_RULE, _FORMER_LEADING_RULE)
    others = [line for line in lines if line.startswith(f"-A {DOCKER_CHAIN} ") and line not in own]
    place = others.index(_LAST_RULE) if _LAST_RULE in others else len(others)
    return [*others[:place], *([LEADING_RULE] if is_needed else []), *others[place:]]


def _ipv4_rules(networks: Sequence[Network], uplinks: Sequence[str]) -> str:
    flows = [flow for network in permitted_lans(networks) for flow in _neighbours(network)]
    for network in permitted(networks):
        flows += _neighbours(network)
        flows += _to_outside(network, uplinks) if network["nat"] else []
        flows += _allowed(network, networks)
        flows += _answers(network) if network["nat"] else []
    return _chain(flows)


def _ipv6_rules(networks: Sequence[Network], uplinks: Sequence[str]) -> str:
    flows = [flow for network in permitted_lans(networks) for flow in _neighbours(network)]
    for network in permitted(networks):
        if network["ipv6"] is not None:
            flows += _neighbours(network)
        if is_open(network):
            flows += [*_to_outside(network, uplinks), *_answers(network)]
    return _chain(flows)


def ufw_rules(networks: Sequence[Network], uplinks: Sequence[str]) -> List[str]:
    """Return rules of ufw, which lets answers pass, as arguments of its command in the order in which it shows them."""
    rules = [_ufw_route(flow) for network in permitted_lans(networks) for flow in _neighbours(network)]
    for network in permitted(networks):
        flows = [*_neighbours(network), *_allowed(network, networks), *_forwarded(network)]
        if network["nat"] or is_open(network):
            flows += _to_outside(network, uplinks)
        rules += [*map(_ufw_route, flows), *_ufw_services(network)]
    return list(dict.fromkeys(rules))


def zone_interfaces(networks: Sequence[Network]) -> List[str]:
    """Return the interfaces that belong into a zone of firewalld that accepts everything.

    Networks whose guests reach neither the host nor what is beyond it need no zone: firewalld protects the host from
    them even while our rules are missing.
    """
    return [network["name"] for network in permitted(networks) if network["mode"] != ROUTED and _is_reaching(network)]


def _is_reaching(network: Network) -> bool:
    """Return whether guests reach anything but each other."""
    reaches_host = network["host_access"] != "none" or bool(network["host_ports"])
    return network["nat"] or is_open(network) or reaches_host


def hindrances(firewalls: Firewalls, networks: Sequence[Network], uplinks: Sequence[str]) -> List[str]:
    """Return what other firewalls drop of networks' packets and is not ours to permit, with what to do."""
    messages = [_of_routed_taps(network) for network in permitted(networks) if network["mode"] == ROUTED]
    messages = messages if firewalls.is_firewalld_running and "mv-+" not in firewalls.zones else []
    for chain in firewalls.drop_chains:
        passes_docker = bool(firewalls.docker) and chain.hook == "forward"
        if not (chain.is_of_iptables and (firewalls.is_ufw_enabled or passes_docker)):
            messages += _of_chain(chain, networks, uplinks)
    return messages


def _of_routed_taps(network: Network) -> str:
    return (
        f"firewalld rejects what guests of the routed network {network['name']} send, since their taps are in no zone. "
        "Unless other interfaces of the host have names that begin with mv-, run: firewall-cmd --permanent "
        f"--zone={ZONE} --add-interface=mv-+ && firewall-cmd --reload"
    )


def _of_chain(chain: DropChain, networks: Sequence[Network], uplinks: Sequence[str]) -> Iterator[str]:
    """Yield what a chain drops of networks that its table does not mention."""
    for network in permitted(networks):
        flows = _missed(chain, network, networks, uplinks)
        if network["mode"] != ROUTED and network["name"] not in chain.mentioned and flows:
            commands = "; ".join(_command(chain, flow) for flow in flows)
            yield (
                f"the chain {chain.name} of table {chain.table} drops packets of network {network['name']}, unless "
                "its rules permit them in a way that is not seen here; permit them where that firewall has its rules, "
                f"and until it is loaded again by: {commands}"
            )


def _missed(chain: DropChain, network: Network, networks: Sequence[Network], uplinks: Sequence[str]) -> List[_Flow]:
    """Return the packets of a network that must pass a chain."""
    is_ipv6 = chain.table.startswith("ip6 ")
    if chain.hook == "forward":
        is_needed = is_open(network) if is_ipv6 else network["nat"]
        flows = [*_neighbours(network), *_to_outside(network, uplinks), *_allowed(network, networks)]
        return [*flows, *_answers(network)] if is_needed else []
    is_needed = network["host_access"] == "all" or bool(_services(network))
    return [_Flow(incoming=network["name"])] if is_needed and (network["ipv6"] is not None or not is_ipv6) else []


def _command(chain: DropChain, flow: _Flow) -> str:
    """Return the command that inserts a rule into a chain. Rules of nft(8) would hide those of iptables from it."""
    if chain.is_of_iptables:
        program = "ip6tables" if chain.table.startswith("ip6 ") else "iptables"
        return f"{program} -I {chain.name} {_iptables_match(flow)} -j ACCEPT"
    states = {"": "", "DNAT": "ct status dnat"}.get(flow.states, f"ct state {flow.states.lower()}")
    parts = [("iifname", flow.incoming), ("oifname", flow.outgoing)]
    words = [*(f"{word} {name}" for word, name in parts if name), *([states] if states else []), "accept"]
    return f"nft insert rule {chain.table} {chain.name} {' '.join(words)}"


def _neighbours(network: Network) -> List[_Flow]:
    """Return what guests send each other, which comes to other firewalls with br_netfilter or on routed networks."""
    if network["mode"] == ROUTED:
        return [_Flow(source=str(subnet(network)), target=str(subnet(network)))]
    return [_Flow(incoming=network["name"], outgoing=network["name"])]


def _to_outside(network: Network, uplinks: Sequence[str]) -> List[_Flow]:
    names = safe_names(network["uplinks"] or uplinks)
    if network["mode"] == ROUTED:
        # Taps have various names. Nobody gets from the outside to the outside by an address of a guest.
        return [_Flow(source=str(subnet(network)), outgoing=name, elsewhere=name) for name in names]
    return [_Flow(incoming=network["name"], outgoing=name) for name in names]


def _answers(network: Network) -> List[_Flow]:
    """Return what comes to guests: answers, and what is for forwarded ports."""
    states = ["RELATED,ESTABLISHED", *(["DNAT"] if network["forward_ports"] else [])]
    if network["mode"] == ROUTED:
        return [_Flow(target=str(subnet(network)), states=state) for state in states]
    return [_Flow(outgoing=network["name"], states=state) for state in states]


def _allowed(network: Network, networks: Sequence[Network]) -> List[_Flow]:
    origins = [origin_of(allowed, split_lans(networks)[0]) for allowed in network["allow"]]
    names = dict.fromkeys(origin[0]["name"] for origin in origins if origin is not None and origin[0]["nat"])
    return [_Flow(incoming=name, outgoing=network["name"]) for name in names]


def _forwarded(network: Network) -> List[_Flow]:
    flows = []
    for forward in network["forward_ports"]:
        guest = forward["guest"]
        port = f"{forward['proto']}/{guest['port']}"
        flows.append(_Flow(outgoing=network["name"], target=guest["address"], port=port))
    return flows


def _chain(flows: Sequence[_Flow]) -> str:
    return one_per_line(dict.fromkeys(f"-A {CHAIN} {_iptables_match(flow)} {_COMMENTED} -j ACCEPT" for flow in flows))


def _iptables_match(flow: _Flow) -> str:
    parts = [
        ("-s", flow.source),
        ("-d", flow.target),
        ("! -i", flow.elsewhere),
        ("-i", flow.incoming),
        ("-o", flow.outgoing),
        ("-m conntrack --ctstate", flow.states),
    ]
    return " ".join(f"{option} {value}" for option, value in parts if value)


def _ufw_route(flow: _Flow) -> str:
    protocol, _slash, port = flow.port.partition("/")
    parts = [
        ("in on", flow.incoming),
        ("out on", flow.outgoing),
        ("from", flow.source),
        ("to", flow.target),
        ("port", port),
        ("proto", protocol),
    ]
    return "route allow " + " ".join(f"{word} {value}" for word, value in parts if value)


def _services(network: Network) -> List[str]:
    """Return the ports of the host that guests reach, with the protocol after a slash if it matters."""
    ports = ["53"] if network["host_access"] == DNS_DHCP else []
    if network["host_access"] == DNS_DHCP and network["dhcp_server"] is not None:
        ports.append("67/udp")
    return [*ports, *("/".join(reversed(text.split("/"))) for text in network["host_ports"])]


def _ufw_services(network: Network) -> Iterator[str]:
    origin, host = f"in on {network['name']}", "any"
    if network["mode"] == ROUTED:
        origin, host = f"from {subnet(network)}", str(ipaddress.IPv4Interface(network["address"]).ip)
    if network["host_access"] == "all":
        yield f"allow {origin}"
        return
    for service in _services(network):
        port, _slash, protocol = service.partition("/")
        yield f"allow {origin} to {host} port {port}" + (f" proto {protocol}" if protocol else "")
