# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans networks: from those of the host and the declared ones to steps. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Iterator, Mapping, Sequence, Set, Tuple

from ...declaration.names import NETWORK_DOCKER_UNIT, NETWORK_UNIT, NETWORK_WATCH_UNIT, names_unit
from ...declaration.networks.ipv6 import is_open
from ...declaration.networks.lan import RETURN_SECONDS, lan_link, split_lans
from ...declaration.networks.macvtap import is_macvtap, with_bridges
from ...declaration.networks.options import ROUTED
from ...declaration.networks.parse import refuse_clash
from ...declaration.networks.renaming import renamed_networks
from ...declaration.types import Network
from ...host.systemd import Unit
from ...schema.errors import DeclarationError
from ..steps import BaseAction, Step, in_order
from .configuration import (
    DOCKER,
    DOCKER_UNIT,
    FORMER_FORWARDING_MARK,
    FORWARDING_RECORDS,
    IPV6_FORWARDING_RECORDS,
    NETWORKD_DIRECTORY,
    RULES,
    SYSCTLS,
    UNIT,
    WATCH,
    WATCH_UNIT,
    bridge_of,
    configuration,
    forwarding_of,
    ipv6_forwarding_of,
    parsed_settings,
    recorded_networks,
)
from .firewall_commands import permissions, withdrawals, zone_records
from .firewalls import DOCKER_CHAIN, ZONE_RECORDS, chains_differ, docker_rules, hindrances
from .guest_names import NAMES_UNITS, STUB, names_settings_path, names_unit_path, network_of_settings
from .kept_leases import forgotten_leases
from .lan_files import DROP_IN, RETURN_SCRIPT, RETURN_UNIT, RETURNED, RUNTIME, lan_name, lan_of
from .lan_plan import LanPlan, confirmable, host_addresses, lan_pairs, plan_lans
from .link_rules import link_warnings
from .macvtaps import (
    down_links,
    former_macvtaps,
    missing_links,
    refuse_missing_link,
    refuse_other_link,
    unloaded_macvtaps,
)
from .routed_taps import is_routed, members, running_guests
from .routes import refuse_overlaps
from .rules import rules_digest
from .running_names import wanted_names
from .state import ALL_IPV6_FORWARDING, NETWORKD, Link, Observed, has_address
from .taps import bound_mac
from .uplinks import default_uplinks, missing_uplinks

RETURN_TIMER = f"{RETURN_UNIT}.timer"

EVERYTHING = "net/ipv4/ip_forward"
"""Parameter of the kernel, as a path below /proc/sys, that switches forwarding on or off for all interfaces."""


class Action(BaseAction):
    """Actions on networks, in the order in which they are carried out."""

    # Before anything becomes permanent: who confirms first, the run or the timer, decides.
    CONFIRM = "confirm, and stop"
    RECORD_FORWARDING = "record that forwarding was off, in"
    # While our rules are in force.
    LEAVE_DOCKER = "take our rules out of Docker's chain, and disable"
    WITHDRAW = "withdraw from another firewall by"
    # Before the rules, whose directory has the names of guests.
    STOP_NAMES = "stop and disable"
    UNLOAD_RULES = "systemctl disable --now"
    # Before the rules are loaded, which let nobody but known taps reach each other.
    ADMIT = "filter, though its guest is not known, tap"
    IGNORE_LINK_LOCAL = "learn no MAC address of frames that rules do not see, on bridge"
    BIND_AGAIN = "load again the rules of tap"
    FORGET_TAP = "delete the rules of the former tap"
    # Before its files: they tell the next run that the bridge is ours.
    DELETE_BRIDGE = "delete bridge"
    WRITE = "write"
    REMOVE = "remove"
    RELOAD_SYSTEMD = "systemctl daemon-reload for"
    ENABLE = "systemctl enable"
    # Rules name interfaces, which need not exist yet.
    LOAD_RULES = "load nftables rules of"
    WATCH = "systemctl restart"
    # Before anything may cut the host off.
    ARM = "start, which takes back what nobody confirms in time,"
    RELEASE = "delete, which releases its interface, bridge"
    WRITE_VOLATILE = "write for this start of the host"
    REMOVE_VOLATILE = "remove for this start of the host"
    # Before systemd-networkd begins anew with what it has kept.
    FORGET_LEASES = "forget former leases of the DHCP server on"
    START_NETWORKD = "systemctl start"
    RELOAD_NETWORKD = "reload configuration of"
    RECONFIGURE = "configure bridge"
    # A run that is killed before it has gone back to what is permanent leaves the rest to the timer and its script.
    DISARM = "stop, since what is permanent is back,"
    REMOVE_LAST = "remove, since no timer needs it,"
    FORGET_RETURN = "forget that a change was taken back, by deleting"
    ISOLATE = "keep from its neighbours port"
    JOIN = "let reach its neighbours port"
    PIN = "set the MAC address of port"
    STOP_FORWARDING = "switch off"
    FORGET_FORWARDING = "delete"
    ROUTE = "route to the guest of tap"
    APPLY_SETTINGS = "apply"
    # When our rules are in force, and all else is done.
    FOLLOW_DOCKER = "start with Docker"
    INSERT = "insert our rules into Docker's chain"
    RECORD_ZONE = "record an interface that is put into a zone of firewalld, in"
    PERMIT = "permit in another firewall by"
    FORGET_ZONE = "delete the record"
    NAME_GUEST = "write the names of the guest"
    FORGET_GUEST = "delete the names of the former guest"
    # A server listens when its bridge has its address, and reads names as they come and go.
    SERVE_NAMES = "start with its settings"


@dataclass(frozen=True)
class Plan:
    """Steps for the networks of a host."""

    steps: Tuple[Step[Action], ...]
    files: Mapping[str, str]
    """Content of every file when it is done."""
    kept: Mapping[str, Tuple[str, ...]]
    """Networks that are no longer declared and stay for now, with the ports that still need each."""
    still_forwarding: str = ""
    """Reason why forwarding, which was switched on for networks that go, stays on."""
    down: Tuple[Tuple[str, str], ...] = ()
    """Networks whose guests reach nobody since their link is down, each with its link."""
    missing_uplinks: Tuple[Tuple[str, Tuple[str, ...]], ...] = ()
    """Networks that name uplinks which the host does not have, each with those."""
    missing_links: Tuple[Tuple[str, str], ...] = ()
    """Networks that stay although the host no longer has their link, each with that link."""
    hindrances: Tuple[str, ...] = ()
    """What other firewalls drop and is not ours to permit, with what to do."""
    link_rules: Tuple[str, ...] = ()
    """What rules of other firewalls miss since a bridge takes over an interface, or gives it back; with what to do."""
    unconfirmed: Tuple[str, ...] = ()
    """Networks whose change waits for its confirmation when the steps are done."""
    waiting: Tuple[str, ...] = ()
    """Those of them whose change was made by an earlier run."""
    return_seconds: int = RETURN_SECONDS
    """Time after which a change that nobody confirms is taken back."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of running guests, by their files' paths ``NETWORK/TAP``."""
    unread_leases: Tuple[str, ...] = ()
    """Networks whose servers should forget leases, and keep them in files that are not understood."""

    @property
    def changed(self) -> bool:
        """Return whether there is anything to do."""
        return bool(self.steps)

    def targets(self, *actions: Action) -> Tuple[str, ...]:
        """Return the targets of the steps of some actions."""
        return tuple(step.target for step in self.steps if step.action in actions)


def plan(
    observed: Observed,
    networks: Sequence[Network],
    path: str = "networks",
    confirm: bool = False,
    return_seconds: int = RETURN_SECONDS,
) -> Plan:
    """Return the plan. Raises DeclarationError, with a path below ``path``, for a clash with what the host has.

    ``confirm`` makes permanent what an earlier run has changed that might have cut the host off.
    """
    recorded = recorded_networks(observed.files)
    staying = {network["name"]: network for network in recorded if _stays(observed, network, networks)}
    _refuse(observed, networks, staying, recorded, path)
    lan = plan_lans(observed, [*networks, *staying.values()], recorded, path, confirm)
    staying.update({network["name"]: network for network in lan.leaving})
    pairs = lan_pairs([*networks, *staying.values()])
    _refuse_overlaps(observed, networks, path)
    uplinks, ipv6_uplinks = default_uplinks(observed, pairs)
    all_networks = [*networks, *staying.values()]
    forgotten = [*forgotten_leases(observed.kept_leases, recorded, all_networks, observed.interrupted)]
    all_uplinks = tuple(dict.fromkeys([*uplinks, *ipv6_uplinks]))
    follows_docker, addresses = not observed.firewalls.is_ufw_enabled, host_addresses(observed, pairs)
    files = configuration(all_networks, uplinks, ipv6_uplinks, follows_docker, lan.files, addresses, observed.resolver)
    names = wanted_names(observed, all_networks)
    rules = tuple(_rules(observed, files))
    is_loaded = all(step.action is not Action.LOAD_RULES for step in rules)
    steps = (
        *_lans(observed, lan),
        *_files(observed, files),
        *(Step(Action.FORGET_LEASES, each.network) for each in forgotten if each.is_readable),
        *_networkd(observed, files, with_bridges(networks)),
        *rules,
        *(step for network in all_networks for step in _taps(observed, network, is_loaded)),
        *_former_taps(observed, files),
        *_forwarding(observed, files),
        *_ipv6_forwarding(observed, files),
        *_docker(observed, files, docker_rules(all_networks, uplinks, ipv6_uplinks)),
        *_other_firewalls(observed, all_networks, all_uplinks),
        *_names(observed, files, names),
    )
    ports = {name: members(observed, network) for name, network in staying.items() if name not in lan.unconfirmed}
    ends = observed.forwards_everything or observed.switched_on - _forwarding_interfaces(observed, files, forwarding_of)
    return Plan(
        in_order(steps),
        files,
        ports,
        observed.other_forwarding if ends else "",
        tuple(down_links(observed, networks)),
        tuple(missing_uplinks(observed, networks)),
        tuple(missing_links(observed, networks)),
        tuple(hindrances(observed.firewalls, all_networks, all_uplinks)),
        tuple(link_warnings(observed.firewalls, all_networks, lan.leaving, lan.changing)),
        lan.unconfirmed,
        tuple(confirmable(lan)),
        return_seconds,
        names,
        tuple(each.network for each in forgotten if not each.is_readable),
    )


def _refuse(
    observed: Observed,
    networks: Sequence[Network],
    staying: Mapping[str, Network],
    recorded: Sequence[Network],
    path: str,
) -> None:
    """Refuse clashes with what the host has, other than with its routes. Raises DeclarationError."""
    for index, network in enumerate(networks):
        place = f"{path}[{index}]"
        _refuse_foreign(observed, network["name"], f"{place}.name")
        _refuse_without_ipv6(observed, network, place)
        _refuse_without_resolver(observed, network, f"{place}.dns_names.host")
        for other in staying.values():
            _refuse_renaming(observed, network, other, renamed_networks(recorded, networks), f"{place}.name")
            refuse_clash(network, other, place)
        _refuse_other_mode(observed, network, f"{place}.mode")
        refuse_missing_link(observed, recorded, network, place)
        refuse_other_link(observed, recorded, network, place)


def _refuse_overlaps(observed: Observed, networks: Sequence[Network], path: str) -> None:
    """Refuse clashes with routes of the host."""
    own = {bridge_of(file) for file in observed.files} | {*observed.tap_rules}
    routes = [*observed.routes, *observed.ipv6_routes]
    refuse_overlaps(split_lans(networks)[0], routes, {name for name in own if name}, path)


def _lans(observed: Observed, lan: LanPlan) -> Iterator[Step[Action]]:
    """Yield the steps that arm and disarm the return to the old state, and those that delete bridges."""
    if observed.unconfirmed and not lan.unconfirmed:
        yield Step(Action.CONFIRM if lan.confirmed else Action.DISARM, RETURN_TIMER)
    if observed.returned and not lan.unconfirmed:
        yield Step(Action.FORGET_RETURN, RETURNED)
    if lan.changing:
        yield Step(Action.ARM, RETURN_TIMER)
    staying = {lan_of(path) for path in lan.files}
    for name in sorted({lan_name(path) for path in observed.files} - staying - {None}, key=str):
        if name in observed.links:
            yield Step(Action.RELEASE, str(name))


def _stays(observed: Observed, network: Network, declared: Sequence[Network]) -> bool:
    """Return whether a network that is no longer declared stays, since MicroVMs are on it."""
    return bool(members(observed, network)) and network["name"] not in [other["name"] for other in declared]


def _refuse_renaming(
    observed: Observed, network: Network, former: Network, renamed: Mapping[str, str], path: str
) -> None:
    """Refuse to rename a network on which MicroVMs run: the new one would need its bridge and its subnet at once."""
    if renamed.get(former["name"]) == network["name"]:
        guests = sorted(running_guests(observed, former))
        raise DeclarationError(
            path,
            f"this is the network {former['name']!r} under a new name, and a network is not renamed while MicroVMs run "
            f"on it ({', '.join(guests)}); stop them and run this again, with the new name in their interfaces too, or "
            "keep the old name",
        )


def _refuse_other_mode(observed: Observed, network: Network, path: str) -> None:
    """Refuse to change what the taps of running MicroVMs are connected by."""
    for former in recorded_networks(observed.files):
        taps = members(observed, former)
        if former["name"] == network["name"] and former["mode"] != network["mode"] and taps:
            raise DeclarationError(
                path,
                f"the mode of {network['name']!r} cannot change from {former['mode']} to {network['mode']} while "
                f"MicroVMs are on it ({', '.join(taps)}); stop them first, or declare another network",
            )


def _refuse_foreign(observed: Observed, name: str, path: str) -> None:
    ours = any(name in (bridge_of(file), lan_name(file)) for file in observed.files)
    if name in observed.links and not (ours and observed.links[name].is_bridge):
        raise DeclarationError(
            path,
            f"the host has an interface {name!r} that this collection has not created; "
            "choose another name, or remove the interface",
        )


def _refuse_without_ipv6(observed: Observed, network: Network, path: str) -> None:
    """Refuse what the kernel cannot do, or only by making a router of the host for everybody."""
    if network["ipv6"] is None:
        return
    if ALL_IPV6_FORWARDING not in observed.settings:
        raise DeclarationError(
            f"{path}.ipv6",
            "the kernel of this host has no IPv6; leave ipv6 out, or start the host without ipv6.disable",
        )
    by_interface = ipv6_forwarding_of("default") in observed.settings
    if is_open(network) and not by_interface and observed.settings[ALL_IPV6_FORWARDING] == "0":
        raise DeclarationError(
            f"{path}.ipv6.outside",
            "Linux before 6.17, which this host runs, forwards IPv6 from all interfaces or from none, and the host "
            "forwards none. Set outside to none; or, if it may be a router for all of its networks, write "
            "net.ipv6.conf.all.forwarding = 1 into /etc/sysctl.d, after net.ipv6.conf.INTERFACE.accept_ra = 2 for each "
            "interface whose routes the kernel gets from routers",
        )


def _refuse_without_resolver(observed: Observed, network: Network, path: str) -> None:
    """Refuse to let the host resolve names of guests where another program resolves names for it."""
    options = network["dns_names"]
    if options is not None and options["host"] and observed.resolver is None:
        raise DeclarationError(
            path,
            "systemd-resolved does not resolve names for the programs of this host (/etc/resolv.conf does not name "
            f"{STUB}); leave it out, or install systemd-resolved and link /etc/resolv.conf to "
            "/run/systemd/resolve/stub-resolv.conf",
        )


def _files(observed: Observed, files: Mapping[str, str]) -> Iterator[Step[Action]]:
    for path, text in files.items():
        if observed.files.get(path) != text:
            yield Step(Action.WRITE if lan_of(path) is None else Action.WRITE_VOLATILE, path)
    for path in observed.files:
        if path not in files:
            yield Step(_removal(path), path)


def _removal(path: str) -> Action:
    if path == RETURN_SCRIPT:
        return Action.REMOVE_LAST
    return Action.REMOVE if lan_of(path) is None else Action.REMOVE_VOLATILE


def _networkd(observed: Observed, files: Mapping[str, str], networks: Sequence[Network]) -> Iterator[Step[Action]]:
    names = {bridge_of(path) for path in files}
    for name in sorted({bridge_of(path) for path in observed.files} - names - {None}, key=str):
        if name in observed.links:
            yield Step(Action.DELETE_BRIDGE, str(name))
    if networks and not observed.networkd.enabled:
        yield Step(Action.ENABLE, NETWORKD)
    if observed.networkd.running:
        absent = any(network["name"] not in observed.links for network in networks)
        if absent or any(_differs(observed, files, directory) for directory in (NETWORKD_DIRECTORY, RUNTIME)):
            yield Step(Action.RELOAD_NETWORKD, NETWORKD)
    elif networks:
        yield Step(Action.START_NETWORKD, NETWORKD)
    for network in networks:
        link = observed.links.get(network["name"])
        interface = lan_link(network) or network["name"]
        if link is not None and not has_address(link, network) and interface in observed.links:
            yield Step(Action.RECONFIGURE, interface)


def _differs(observed: Observed, files: Mapping[str, str], beginning: str) -> bool:
    """Return whether files below a path differ, or may differ, from those that their reader has read."""
    paths = [path for path in (*observed.files, *files) if path.startswith(beginning)]
    return observed.interrupted or any(observed.files.get(path) != files.get(path) for path in paths)


def _rules(observed: Observed, files: Mapping[str, str]) -> Iterator[Step[Action]]:
    if UNIT in observed.files and UNIT not in files:
        yield Step(Action.UNLOAD_RULES, NETWORK_UNIT)
    units = (observed.unit, observed.watch, observed.docker_unit, *observed.names_units.values())
    paths = (UNIT, WATCH_UNIT, DOCKER_UNIT, DROP_IN, NAMES_UNITS)
    if any(unit.stale for unit in units) or any(_differs(observed, files, path) for path in paths):
        yield Step(Action.RELOAD_SYSTEMD, NETWORK_UNIT)
    if RULES not in files:
        return
    if not observed.unit.enabled:
        yield Step(Action.ENABLE, NETWORK_UNIT)
    is_changed = observed.fingerprint != observed.recorded_fingerprint
    if not observed.unit.running or observed.rules != rules_digest(files[RULES]) or is_changed:
        yield Step(Action.LOAD_RULES, NETWORK_UNIT)
    if not observed.watch.running or any(_differs(observed, files, path) for path in (WATCH, WATCH_UNIT)):
        yield Step(Action.WATCH, NETWORK_WATCH_UNIT)


def _docker(observed: Observed, files: Mapping[str, str], rules: Mapping[str, str]) -> Iterator[Step[Action]]:
    """Yield the steps that keep our rules in Docker's chain as long as it is there, whether or not Docker runs."""
    if DOCKER not in files:
        if DOCKER in observed.files:
            yield Step(Action.LEAVE_DOCKER, NETWORK_DOCKER_UNIT)
        return
    if not observed.docker_unit.enabled:
        yield Step(Action.FOLLOW_DOCKER, NETWORK_DOCKER_UNIT)
    if chains_differ(observed.firewalls.docker, rules):
        yield Step(Action.INSERT, DOCKER_CHAIN)
    is_changed = any(_differs(observed, files, path) for path in (DOCKER, DOCKER_UNIT))
    if observed.firewalls.is_docker_running and (is_changed or not observed.docker_unit.running):
        yield Step(Action.WATCH, NETWORK_DOCKER_UNIT)


def _other_firewalls(observed: Observed, networks: Sequence[Network], uplinks: Sequence[str]) -> Iterator[Step[Action]]:
    for command in withdrawals(observed.firewalls, networks, uplinks):
        yield Step(Action.WITHDRAW, command)
    for command in permissions(observed.firewalls, networks, uplinks):
        yield Step(Action.PERMIT, command)
    new, former = zone_records(observed.firewalls, networks)
    for name in new:
        yield Step(Action.RECORD_ZONE, f"{ZONE_RECORDS}/{name}")
    for name in former:
        yield Step(Action.FORGET_ZONE, f"{ZONE_RECORDS}/{name}")


def _names(observed: Observed, files: Mapping[str, str], names: Mapping[str, str]) -> Iterator[Step[Action]]:
    """Yield the steps after which a server of each network with names knows the guests that run."""
    for path in observed.files:
        former = network_of_settings(path)
        if former is not None and path not in files:
            yield Step(Action.STOP_NAMES, names_unit(former))
    for path in {**observed.guest_names, **names}:
        if path not in names and names_settings_path(path.partition("/")[0]) in files:
            yield Step(Action.FORGET_GUEST, path)
        elif path in names and names[path] != observed.guest_names.get(path):
            yield Step(Action.NAME_GUEST, path)
    for path in files:
        network = network_of_settings(path)
        if network is None:
            continue
        unit = observed.names_units.get(network, Unit())
        if not unit.enabled:
            yield Step(Action.ENABLE, names_unit(network))
        # One that cannot listen is tried again by systemd all the time.
        is_up = unit.active_state == "active"
        if not is_up or any(_differs(observed, files, file) for file in (path, names_unit_path(network))):
            yield Step(Action.SERVE_NAMES, names_unit(network))


def _taps(observed: Observed, network: Network, is_loaded: bool) -> Iterator[Step[Action]]:
    """Yield what the taps of a network need; ``is_loaded`` if the rules are, and stay, loaded."""
    if is_macvtap(network):
        yield from (Step(Action.BIND_AGAIN, macvtap) for macvtap in unloaded_macvtaps(observed, network))
        return
    if network["mode"] == ROUTED:
        yield from _routed_taps(observed, network, is_loaded)
        return
    link = observed.links.get(network["name"], Link(True))
    # Units do it when they bind a tap, but one of an earlier version has not.
    if link.taps and link.learns_link_local:
        yield Step(Action.IGNORE_LINK_LOCAL, network["name"])
    for port in link.ports:
        if port == lan_link(network):
            continue
        rules = observed.tap_rules.get(port)
        if port in link.taps and rules is None:
            yield Step(Action.ADMIT, port)
        elif rules is not None and is_loaded and port not in observed.loaded_taps:
            yield Step(Action.BIND_AGAIN, port)
        if network["isolate"] and port not in link.isolated:
            yield Step(Action.ISOLATE, port)
        mac = bound_mac(rules)
        # Module microvm_tap may keep taps that are bound to no guest from their neighbours.
        if mac is not None and port in link.isolated and not network["isolate"]:
            yield Step(Action.JOIN, port)
        # Who may open a tap may give it a neighbour's MAC address, for which the bridge then forgets the neighbour.
        if mac is not None and (port, mac) not in observed.pinned:
            yield Step(Action.PIN, port)


def _routed_taps(observed: Observed, network: Network, is_loaded: bool) -> Iterator[Step[Action]]:
    for tap in members(observed, network):
        if is_loaded and tap not in observed.loaded_taps:
            yield Step(Action.BIND_AGAIN, tap)
        if not is_routed(observed, network, tap):
            yield Step(Action.ROUTE, tap)


def _former_taps(observed: Observed, files: Mapping[str, str]) -> Iterator[Step[Action]]:
    """Yield the steps that give free the addresses of taps that have gone without their units."""
    if RULES in files:
        for tap in observed.tap_rules:
            if tap not in observed.links:
                yield Step(Action.FORGET_TAP, tap)
        yield from (Step(Action.FORGET_TAP, macvtap) for macvtap in former_macvtaps(observed))


def _forwarding_interfaces(
    observed: Observed, files: Mapping[str, str], parameter_of: Callable[[str], str]
) -> Set[str]:
    """Return the interfaces of others whose packets are forwarded for our networks, be they there or not."""
    wanted = parsed_settings(files.get(SYSCTLS, ""))
    others = {*observed.links, *observed.switched_on, *map(_interface_of, wanted)} - {bridge_of(path) for path in files}
    return {name for name in others if wanted.get(parameter_of(name)) == "1"}


def _interface_of(parameter: str) -> str:
    return parameter.rpartition("/")[0].rpartition("/")[2]


def _forwarding(observed: Observed, files: Mapping[str, str]) -> Iterator[Step[Action]]:
    """Yield the steps after which packets are forwarded where networks need it, and elsewhere only if others do."""
    needed, is_ours = _forwarding_interfaces(observed, files, forwarding_of), not observed.other_forwarding
    if observed.forwards_everything:
        if is_ours:
            yield Step(Action.STOP_FORWARDING, EVERYTHING)
        yield Step(Action.FORGET_FORWARDING, FORMER_FORWARDING_MARK)
    stops = observed.forwards_everything and is_ours
    new_interface = observed.settings.get(forwarding_of("default"))
    for uplink in sorted(needed - observed.switched_on):
        if stops or observed.settings.get(forwarding_of(uplink), new_interface) == "0":
            yield Step(Action.RECORD_FORWARDING, f"{FORWARDING_RECORDS}/{uplink}")
    for uplink in sorted(observed.switched_on - needed):
        if is_ours:
            yield Step(Action.STOP_FORWARDING, forwarding_of(uplink))
        yield Step(Action.FORGET_FORWARDING, f"{FORWARDING_RECORDS}/{uplink}")
    if SYSCTLS in files and (stops or _differs(observed, files, SYSCTLS) or not _are_applied(observed, files)):
        yield Step(Action.APPLY_SETTINGS, SYSCTLS)


def _ipv6_forwarding(observed: Observed, files: Mapping[str, str]) -> Iterator[Step[Action]]:
    """Yield the steps that remember and switch off forwarding of IPv6 by interface, of a kernel that has it."""
    needed = _forwarding_interfaces(observed, files, ipv6_forwarding_of)
    new_interface = observed.settings.get(ipv6_forwarding_of("default"))
    for uplink in sorted(needed - observed.ipv6_switched_on):
        if observed.settings.get(ipv6_forwarding_of(uplink), new_interface) == "0":
            yield Step(Action.RECORD_FORWARDING, f"{IPV6_FORWARDING_RECORDS}/{uplink}")
    for uplink in sorted(observed.ipv6_switched_on - needed):
        yield Step(Action.STOP_FORWARDING, ipv6_forwarding_of(uplink))
        yield Step(Action.FORGET_FORWARDING, f"{IPV6_FORWARDING_RECORDS}/{uplink}")


def _are_applied(observed: Observed, files: Mapping[str, str]) -> bool:
    """Return whether the kernel has the parameters, as far as it has them at all: it may have no IPv6."""
    wanted = parsed_settings(files[SYSCTLS])
    bridges = {bridge_of(path) for path in files} - {None}
    return bridges <= {*observed.links} and all(
        observed.settings.get(parameter, value) == value for parameter, value in wanted.items()
    )
