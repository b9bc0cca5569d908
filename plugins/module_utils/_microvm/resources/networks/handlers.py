# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out the steps of networks."""

from __future__ import annotations

import fcntl
import glob
import ipaddress
import os
import shlex
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Iterator, List, Optional, Tuple

from ...declaration.names import (
    CONFIGURATION_DIRECTORY,
    GUEST_NAMES_DIRECTORY,
    NAMES_SETTINGS_DIRECTORY,
    NETWORK_WATCH_UNIT,
    PARTIAL_SUFFIX,
    TAP_RULES_DIRECTORY,
    named_network,
)
from ...host import files, systemd
from ...host.bus import ask
from ...host.commands import HostError, run
from ..executor import Handler, Handlers
from ..steps import Step
from .configuration import (
    DOCKER,
    FINGERPRINT_RECORD,
    FORWARDING_RECORDS,
    IPV6_FORWARDING_RECORDS,
    bridge_of,
    forwarding_of,
    forwards_taps,
    parsed_settings,
    recorded_networks,
)
from .firewalls import ZONE_RECORDS
from .kept_leases import remaining_leases
from .lan_files import DROP_IN, PERMANENT, RETURN_SCRIPT, RETURN_UNIT, RETURNED, UNCONFIRMED, lan_of
from .lan_rules import unbound_lan_tap
from .macvtaps import FILE_SUFFIX, table_of
from .observe import (
    LEASES,
    MARK,
    PARAMETERS,
    observe_leases,
    observe_macvtap_rules,
    observe_rules,
    observe_tap_rules,
)
from .plan import Action, Plan
from .routed_taps import network_of, routed_addresses
from .rules import TABLE, unbound_tap
from .state import NETWORKD
from .taps import bound_mac, deletions

WAIT_SECONDS = 30
_INTERFACES = "/sys/class/net"


@dataclass(frozen=True)
class NetworksJob:
    """The plan of a host's networks, for the executor."""

    plan: Plan
    name: str = "networks"

    @property
    def steps(self) -> Tuple[Step[Action], ...]:
        """Steps of the plan."""
        return self.plan.steps


def _write(job: NetworksJob, path: str) -> None:
    _mark()
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        os.makedirs(directory)
        # systemd-networkd, which is not root, reads it whatever the umask is.
        os.chmod(directory, 0o755)
    files.replace_file(path, job.plan.files[path].encode())


def _remove(_job: NetworksJob, path: str) -> None:
    _mark()
    files.remove(path)
    if os.path.dirname(path) in (CONFIGURATION_DIRECTORY, PERMANENT, os.path.dirname(DROP_IN)):
        files.remove_if_empty(os.path.dirname(path))
    if os.path.dirname(path) == NAMES_SETTINGS_DIRECTORY:
        files.remove_if_empty(NAMES_SETTINGS_DIRECTORY)
        files.remove_if_empty(CONFIGURATION_DIRECTORY)


def _mark() -> None:
    """Let the next run know, should this one be killed, that not everything that is written has been read."""
    _touch(MARK)


def _touch(path: str) -> None:
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        files.replace_file(path, b"")


def _load_rules(_job: NetworksJob, unit: str) -> None:
    os.makedirs(TAP_RULES_DIRECTORY, exist_ok=True)
    ask(["systemctl", "reload-or-restart", unit])
    _digest, fingerprint = observe_rules()
    files.replace_file(FINGERPRINT_RECORD, fingerprint.encode())


def _disable(unit: str, *parts: str) -> None:
    """Stop a unit, which stops its parts too, so that none of them is left when their files are gone.

    systemd keeps those that have failed. One that it does not know is no error, since the argument is a pattern.
    """
    ask(["systemctl", "disable", "--now", "--quiet", unit])
    ask(["systemctl", "reset-failed", "--", *(f"{name}*" for name in (unit, *parts))])


def _unload_rules(_job: NetworksJob, unit: str) -> None:
    _disable(unit, NETWORK_WATCH_UNIT)
    with _locked_taps():
        for tap in [*observe_tap_rules(), *observe_macvtap_rules()]:
            _remove_rules(tap)
    files.remove_if_empty(TAP_RULES_DIRECTORY)
    files.remove(FINGERPRINT_RECORD)


@contextmanager
def _locked_taps() -> Iterator[None]:
    """Keep the units of MicroVMs, which bind taps, from changing and loading the rules of taps."""
    os.makedirs(TAP_RULES_DIRECTORY, exist_ok=True)
    directory = os.open(TAP_RULES_DIRECTORY, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _rules_of(tap: str) -> str:
    return f"{TAP_RULES_DIRECTORY}/{tap}.nft"


def _macvtap_rules_of(macvtap: str) -> str:
    return f"{TAP_RULES_DIRECTORY}/{macvtap}{FILE_SUFFIX}"


def _ipv6_rules_of(tap: str) -> List[str]:
    """Return the files with the elements of IPv6 of a tap: one, by the network that it is on, or none."""
    return glob.glob(f"{TAP_RULES_DIRECTORY}/*:{glob.escape(tap)}.nft6")


def _remove_rules(tap: str) -> None:
    names = glob.glob(f"{GUEST_NAMES_DIRECTORY}/*/{glob.escape(tap)}")
    for path in [_rules_of(tap), *_ipv6_rules_of(tap), _macvtap_rules_of(tap), *names]:
        files.remove(path)


def _is_there(interface: str) -> bool:
    return os.path.exists(f"{_INTERFACES}/{interface}")


def _stop_names(_job: NetworksJob, unit: str) -> None:
    _disable(unit)
    files.remove(f"{GUEST_NAMES_DIRECTORY}/{named_network(unit)}")
    files.remove_if_empty(GUEST_NAMES_DIRECTORY)


def _name_guest(job: NetworksJob, path: str) -> None:
    """Write the names of a guest that runs. A server does not read a file that begins with a dot."""
    network, _slash, tap = path.partition("/")
    directory = f"{GUEST_NAMES_DIRECTORY}/{network}"
    aside = f"{directory}/.{tap}{PARTIAL_SUFFIX}"
    with _locked_taps():
        if _is_there(tap):
            os.makedirs(directory, exist_ok=True)
            files.remove(aside)
            files.write_synced(aside, job.plan.names[path].encode(), 0o644)
            os.replace(aside, f"{directory}/{tap}")


def _forget_guest(_job: NetworksJob, path: str) -> None:
    with _locked_taps():
        files.remove(f"{GUEST_NAMES_DIRECTORY}/{path}")


def _admit(job: NetworksJob, tap: str) -> None:
    """Filter the frames of a tap that no unit has bound since the plan was made."""
    with _locked_taps():
        if _is_there(tap) and not os.path.exists(_rules_of(tap)):
            _ignore_link_local(_bridge_of_port(tap))
            _admit_to_lan(job, tap)
            files.replace_file(_rules_of(tap), unbound_tap(tap).encode())
            # Those that are loaded later have it.
            if not job.plan.targets(Action.LOAD_RULES):
                run(["nft", "-f", _rules_of(tap)])


def _bridge_of_port(port: str) -> str:
    return os.path.basename(files.link_target(f"{_INTERFACES}/{port}/master") or "")


def _ignore_link_local(bridge: str) -> None:
    """Keep a bridge from learning MAC addresses of frames, such as those of LLDP, that rules do not see."""
    if bridge:
        run(["ip", "link", "set", "dev", bridge, "type", "bridge", "no_linklocal_learn", "1"])


def _admit_to_lan(job: NetworksJob, tap: str) -> None:
    """Keep a tap on a bridge onto an interface of the host from the host itself, which cannot tell its guest."""
    bridge = _bridge_of_port(tap)
    if bridge in map(lan_of, job.plan.files):
        path = f"{TAP_RULES_DIRECTORY}/{bridge}:{tap}.nft6"
        files.replace_file(path, unbound_lan_tap(tap, TABLE).encode())
        if not job.plan.targets(Action.LOAD_RULES):
            run(["nft", "-f", path])


def _bind_again(job: NetworksJob, tap: str) -> None:
    lans = set(map(lan_of, job.plan.files))
    with _locked_taps():
        further = [path for path in _ipv6_rules_of(tap) if os.path.basename(path).partition(":")[0] in lans]
        for path in (_rules_of(tap), *further, _macvtap_rules_of(tap)):
            if os.path.exists(path):
                run(["nft", "-f", path])


def _forget_tap(_job: NetworksJob, tap: str) -> None:
    """Delete the rules of a tap that has not been made again since the plan was made."""
    with _locked_taps():
        tap_rules = observe_tap_rules()
        if tap in tap_rules and not _is_there(tap):
            rules = tap_rules.pop(tap)
            ipv6_rules = [files.read_text(path) or "" for path in _ipv6_rules_of(tap)]
            for command in deletions("".join([rules, *ipv6_rules]), tap_rules.values()):
                _delete(command)
            _remove_rules(tap)
        if tap in observe_macvtap_rules() and not _is_there(tap):
            # Before its table, which is loaded again as long as there is a file.
            _remove_rules(tap)
            _delete(f"delete table netdev {table_of(tap)}")


def _delete(command: str) -> None:
    try:
        run(["nft", command])
    except HostError:
        # Somebody else has deleted it, or all rules.
        return


def _pin(_job: NetworksJob, port: str) -> None:
    """Let the bridge know again that a MAC address is behind a port."""
    mac = bound_mac(observe_tap_rules().get(port))
    if mac is not None and _is_there(port):
        run(["bridge", "fdb", "replace", mac, "dev", port, "master", "static"])


def _route(job: NetworksJob, tap: str) -> None:
    """Let packets find the way again to the guest of a tap of a routed network, and no further than they may."""
    with _locked_taps():
        tap_rules = observe_tap_rules()
        networks = recorded_networks(job.plan.files)
        network = network_of(tap_rules, networks, tap)
        if network is None or not _is_there(tap):
            return
        gateway = str(ipaddress.ip_interface(network["address"]).ip)
        run(["ip", "link", "set", "dev", tap, "up"])
        run(["ip", "address", "replace", f"{gateway}/32", "dev", tap])
        for address in routed_addresses(tap_rules[tap]):
            route = ("dev", tap, "proto", "static", "src", gateway)
            run(["ip", "route", "replace", f"{address}/32", *route])
        _set_parameter(forwarding_of(tap), forwards_taps(network))


def _apply_settings(job: NetworksJob, path: str) -> None:
    """Set the parameters of the kernel, those of a new bridge as soon as it is there. Raises HostError.

    udev sets those of other interfaces that come later, and so does the next start of a MicroVM.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    bridges = {bridge_of(file) for file in job.plan.files}
    for parameter, value in parsed_settings(job.plan.files[path]).items():
        directory, interface, _name = parameter.rsplit("/", 2)
        # There is none of IPv6 where the kernel has no IPv6, and none that a later kernel has.
        if interface in bridges and os.path.isdir(f"{PARAMETERS}/{directory}"):
            _await_parameter(f"{directory}/{interface}", deadline)
        if os.path.exists(f"{PARAMETERS}/{parameter}"):
            _set_parameter(parameter, value)


def _await_parameter(parameter: str, deadline: float) -> None:
    while not os.path.exists(f"{PARAMETERS}/{parameter}"):
        if time.monotonic() > deadline:
            raise HostError(
                f"{PARAMETERS}/{parameter} does not exist after {WAIT_SECONDS} s: is the interface missing? "
                f"See systemctl status {NETWORKD}"
            )
        time.sleep(0.1)


def _set_parameter(parameter: str, value: str) -> None:
    with open(f"{PARAMETERS}/{parameter}", "w", encoding="ascii") as file:
        file.write(value)


def _stop_forwarding(_job: NetworksJob, parameter: str) -> None:
    """Switch forwarding off, unless the interface is gone."""
    if os.path.exists(f"{PARAMETERS}/{parameter}"):
        _set_parameter(parameter, "0")


def _forget(_job: NetworksJob, path: str) -> None:
    files.remove(path)
    files.remove_if_empty(FORWARDING_RECORDS)
    files.remove_if_empty(IPV6_FORWARDING_RECORDS)
    files.remove_if_empty(ZONE_RECORDS)


def _forget_leases(job: NetworksJob, name: str) -> None:
    """Let a DHCP server forget what it is to give otherwise, and all if it is to give nothing."""
    path, kept = f"{LEASES}/{name}", observe_leases([name]).get(name)
    remaining: Optional[str] = ""
    for network in recorded_networks(job.plan.files):
        if network["name"] == name and network["dhcp_server"] is not None and kept is not None:
            remaining = remaining_leases(kept, network)
    if remaining:
        files.replace_file(path, remaining.encode())
    elif remaining is not None:
        files.remove(path)


def _leave_docker(_job: NetworksJob, unit: str) -> None:
    """Take our rules out of Docker's chain, whether or not systemd knows the unit already."""
    _disable(unit)
    run(["bash", DOCKER, "remove"])


def _command(*words: str) -> Handler[NetworksJob]:
    """Return the handler that runs a command to which the target is added."""
    return lambda _job, target: run([*words, target])


def _systemctl(*words: str) -> Handler[NetworksJob]:
    """Return the handler that runs `systemctl` with the target added; all of these calls may be repeated."""
    return lambda _job, target: ask(["systemctl", *words, target])


def _arm(job: NetworksJob, timer: str) -> None:
    """Let systemd take back what follows, unless it is confirmed in time. Raises HostError."""
    _stop_timer(timer)
    files.remove(RETURNED)
    _touch(UNCONFIRMED)
    after = f"--on-active={job.plan.return_seconds}"
    words = ("--quiet", "--collect", f"--unit={RETURN_UNIT}", "--timer-property=AccuracySec=1s", after)
    run(["systemd-run", *words, "/bin/bash", RETURN_SCRIPT, "now"])


def _confirm(_job: NetworksJob, timer: str) -> None:
    """Keep a change. Raises HostError if it is being taken back, or was."""
    try:
        os.unlink(UNCONFIRMED)
    except FileNotFoundError:
        raise HostError("the change was taken back meanwhile, since nobody had confirmed it in time") from None
    _stop_timer(timer)


def _disarm(_job: NetworksJob, timer: str) -> None:
    """Stop the timer of a change that is gone, as it is if the timer has elapsed meanwhile."""
    files.remove(UNCONFIRMED)
    _stop_timer(timer)


def _stop_timer(timer: str) -> None:
    """Stop the timer, if there is one: it ends with the host, or once it has elapsed."""
    if systemd.show([timer])[timer].running:
        ask(["systemctl", "stop", timer])


HANDLERS: Handlers[NetworksJob, Action] = Handlers(
    Action,
    {
        Action.CONFIRM: _confirm,
        Action.ARM: _arm,
        Action.DISARM: _disarm,
        Action.REMOVE_LAST: _remove,
        Action.FORGET_RETURN: lambda _job, path: files.remove(path),
        Action.RELEASE: _command("ip", "link", "delete", "dev"),
        Action.WRITE_VOLATILE: _write,
        Action.REMOVE_VOLATILE: _remove,
        Action.UNLOAD_RULES: _unload_rules,
        Action.STOP_NAMES: _stop_names,
        Action.ADMIT: _admit,
        Action.BIND_AGAIN: _bind_again,
        Action.IGNORE_LINK_LOCAL: lambda _job, bridge: _ignore_link_local(bridge),
        Action.FORGET_TAP: _forget_tap,
        Action.DELETE_BRIDGE: _command("ip", "link", "delete", "dev"),
        Action.WRITE: _write,
        Action.REMOVE: _remove,
        Action.RELOAD_SYSTEMD: lambda _job, _target: systemd.daemon_reload(),
        # Without what its [Install] section also enables: on a host that had its network from elsewhere,
        # systemd-networkd-wait-online would hold up every start.
        Action.ENABLE: _systemctl("add-wants", "--quiet", "multi-user.target"),
        Action.FORGET_LEASES: _forget_leases,
        Action.START_NETWORKD: lambda _job, target: systemd.start(target),
        Action.RELOAD_NETWORKD: lambda _job, _target: run(["networkctl", "reload"]),
        Action.RECONFIGURE: _command("networkctl", "reconfigure"),
        Action.ISOLATE: lambda _job, port: run(["bridge", "link", "set", "dev", port, "isolated", "on"]),
        Action.JOIN: lambda _job, port: run(["bridge", "link", "set", "dev", port, "isolated", "off"]),
        Action.ROUTE: _route,
        Action.PIN: _pin,
        Action.RECORD_FORWARDING: lambda _job, path: _touch(path),
        Action.STOP_FORWARDING: _stop_forwarding,
        Action.FORGET_FORWARDING: _forget,
        Action.APPLY_SETTINGS: _apply_settings,
        Action.LOAD_RULES: _load_rules,
        Action.WATCH: _systemctl("restart"),
        Action.LEAVE_DOCKER: _leave_docker,
        Action.WITHDRAW: lambda _job, command: run(shlex.split(command)),
        Action.FOLLOW_DOCKER: _systemctl("enable", "--quiet"),
        Action.INSERT: lambda _job, _chain: run(["bash", DOCKER, "insert"]),
        Action.RECORD_ZONE: lambda _job, path: _touch(path),
        Action.PERMIT: lambda _job, command: run(shlex.split(command)),
        Action.FORGET_ZONE: _forget,
        Action.NAME_GUEST: _name_guest,
        Action.FORGET_GUEST: _forget_guest,
        Action.SERVE_NAMES: _systemctl("restart"),
    },
)
