# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The networks of a host as it has them. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import FrozenSet, Mapping, Optional, Tuple

from ...declaration.networks.lan import is_lan, lan_link
from ...declaration.types import Network
from ...host.systemd import Unit
from .firewalls import Firewalls
from .routes import Route

NETWORKD = "systemd-networkd.service"
ALL_IPV6_FORWARDING = "net/ipv6/conf/all/forwarding"
"""Parameter of the kernel, as a path below /proc/sys, that lets packets of IPv6 be forwarded from all interfaces."""


@dataclass(frozen=True)
class Link:
    """A network interface of the host."""

    is_bridge: bool
    addresses: Tuple[str, ...] = ()
    """Addresses with their prefix length."""
    ports: Tuple[str, ...] = ()
    isolated: FrozenSet[str] = frozenset()
    """Ports that are kept from each other."""
    taps: FrozenSet[str] = frozenset()
    """Ports that are taps."""
    is_up: bool = True
    """Whether it is switched on, with a cable or without."""
    learns_link_local: bool = False
    """Whether a bridge learns MAC addresses from frames that rules do not see, such as those of LLDP."""


@dataclass(frozen=True)
class LanInterface:
    """Interface of the host that is to be, or is, a port of a bridge of ours."""

    mac: str = ""
    text: str = ""
    """Content of the file by which systemd-networkd configures it, with its drop-ins; nothing if there is none."""
    file: str = ""
    """Path of that file."""
    iaid: Optional[int] = None
    """Identity of the interface to DHCP servers, of the lease that it has."""
    manager: str = ""
    """Program that manages the interface instead of systemd-networkd."""
    obstacle: str = ""
    """Reason why it cannot be a port, as a predicate."""
    master: str = ""
    """Interface that it belongs to, such as a bond or the datapath of Open vSwitch."""


@dataclass(frozen=True)
class TapGuest:
    """What a package says about the guest behind a tap."""

    microvm: str
    mac: str
    addresses: Tuple[str, ...]
    """Addresses without prefix length, and ``dhcp`` if the guest gets others."""


@dataclass(frozen=True)
class Observed:
    """The networks as the host has them."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Content of the files that are ours, by path."""
    interrupted: bool = False
    """True if a run has changed files and was ended before their readers had read them."""
    links: Mapping[str, Link] = field(default_factory=dict)
    routes: Tuple[Route, ...] = ()
    """Routes of IPv4, without the default one."""
    uplinks: Tuple[str, ...] = ()
    """Interfaces that default routes lead to, or all routes where there is none."""
    rules: Optional[str] = None
    """Digest of the rules that are loaded."""
    fingerprint: str = ""
    """Fingerprint of the tables as the kernel has them, of a host whose rules are loaded."""
    recorded_fingerprint: str = ""
    """The same right after a run had loaded the rules: others have changed the tables if it differs."""
    tap_rules: Mapping[str, str] = field(default_factory=dict)
    """Rules of taps, which are loaded with the others, by tap."""
    macvtap_rules: Mapping[str, str] = field(default_factory=dict)
    """Rules of macvtaps of networks, by macvtap."""
    loaded_macvtaps: FrozenSet[str] = frozenset()
    """Macvtaps whose rules are loaded."""
    loaded_taps: FrozenSet[str] = frozenset()
    """Taps that the rules know that are loaded."""
    pinned: FrozenSet[Tuple[str, str]] = frozenset()
    """Ports with the MAC addresses that their bridges know them by, whoever else uses these."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Parameters of the kernel by their paths below /proc/sys: those of our file, and forwarding by interface."""
    ipv6_routes: Tuple[Route, ...] = ()
    """Routes of IPv6, without the default one."""
    ipv6_uplinks: Tuple[str, ...] = ()
    """Interfaces that default routes of IPv6 lead to."""
    switched_on: FrozenSet[str] = frozenset()
    """Interfaces of others on which forwarding was off until networks with NAT came: it is ours to switch off."""
    ipv6_switched_on: FrozenSet[str] = frozenset()
    """The same for IPv6, which nobody else switches on by interface."""
    forwards_everything: bool = False
    """True if an earlier version has switched forwarding on for the whole host."""
    other_forwarding: str = ""
    """Reason why others than our networks need forwarding; only looked for where it is ours to switch off."""
    gateways: Tuple[Tuple[str, str], ...] = ()
    """Interfaces that default routes of IPv4 lead to, with the routers there."""
    lan_interfaces: Mapping[str, LanInterface] = field(default_factory=dict)
    """Interfaces that networks have as link, by name, as far as the host has them."""
    unconfirmed: bool = False
    """True while a change of the host's own connection waits for its confirmation."""
    returned: bool = False
    """True if the last such change was taken back, since nobody had confirmed it in time."""
    resolver: Optional[str] = None
    """Address at which systemd-resolved asks the host's servers; ``None`` where it does not serve the host."""
    tap_guests: Mapping[str, TapGuest] = field(default_factory=dict)
    """Guests that run, by tap."""
    guest_names: Mapping[str, str] = field(default_factory=dict)
    """Files with the names of guests, by their paths ``NETWORK/TAP``."""
    names_units: Mapping[str, Unit] = field(default_factory=dict)
    """Units that resolve names, by network."""
    networkd: Unit = field(default_factory=Unit)
    unit: Unit = field(default_factory=Unit)
    """Unit that loads the rules."""
    watch: Unit = field(default_factory=Unit)
    """Unit that loads them again when they have been deleted."""
    docker_unit: Unit = field(default_factory=Unit)
    """Unit that keeps the rules in Docker's chain."""
    firewalls: Firewalls = field(default_factory=Firewalls)
    kept_leases: Mapping[str, str] = field(default_factory=dict)
    """Files of leases that DHCP servers of networks have given, by network."""


def own_addresses(link: Optional[Link]) -> Tuple[str, ...]:
    """Return the addresses of an interface that lead anywhere: those that it has in any case are left out."""
    interfaces = [ipaddress.ip_interface(address) for address in (link.addresses if link is not None else ())]
    return tuple(str(interface) for interface in interfaces if not interface.is_link_local)


def has_families(link: Link, former: Optional[Link]) -> bool:
    """Return whether a bridge has addresses of the protocols of which its interface had some."""
    wanted, present = (
        {ipaddress.ip_interface(address).version for address in own_addresses(each)} for each in (former, link)
    )
    return wanted <= present


def has_address(link: Link, network: Network) -> bool:
    """Return whether a bridge has its network's addresses, or the interface that it is put on."""
    if is_lan(network):
        return lan_link(network) in link.ports
    wanted = {ipaddress.ip_interface(network["address"])}
    if network["ipv6"] is not None:
        wanted.add(ipaddress.ip_interface(network["ipv6"]["address"]))
    return wanted <= {ipaddress.ip_interface(address) for address in link.addresses}
