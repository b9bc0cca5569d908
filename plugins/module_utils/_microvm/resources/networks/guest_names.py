# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of the guests of networks: settings of dnsmasq(8), its unit, and the names of running guests. Pure.

Each network has a server of its own, which knows its guests alone. Names of running guests are in files that the script
which creates a tap writes (``runner/scripts/name_guest.bash``), and that the server reads as they change.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Dict, Iterator, List, Optional, Sequence

from ...declaration.names import (
    GUEST_NAMES_DIRECTORY,
    NAMES_SETTINGS_DIRECTORY,
    NAMES_UNIT_PREFIX,
    NETWORK_UNIT,
    UNIT_DIRECTORY,
    names_unit,
)
from ...declaration.networks.guest_names import HOST_NAME, reaches_outside
from ...declaration.networks.options import ROUTED
from ...declaration.types import Network
from ...schema.quoting import network_value, one_per_line, plain, setting

NAMES_UNITS = f"{UNIT_DIRECTORY}/{NAMES_UNIT_PREFIX}"
"""Begins the paths of the units."""
_SETTINGS = re.compile(rf"{NAMES_SETTINGS_DIRECTORY}/(.+)\.conf")
_UNIT_FILE = re.compile(rf"{NAMES_UNITS}(.+)\.service")

STUB = "127.0.0.53"
"""Address of systemd-resolved for programs, for whom it resolves more than DNS does (systemd-resolved.service(8))."""
PROXY = "127.0.0.54"
"""Address where systemd-resolved asks the host's servers alone, and neither /etc/hosts nor multicast DNS."""

NAME_SERVER_PROGRAM = "/usr/sbin/dnsmasq"

_UNIT = """\
[Unit]
Description=Names of the guests of network {network} of MicroVMs
After={rules}
# A server that cannot start now, since somebody else has its port, is tried again.
StartLimitIntervalSec=0

[Service]
# The directory is root's.
ExecStartPre=+/usr/bin/mkdir -p {names}/{network}
ExecStart={program} --keep-in-foreground --conf-file={settings}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
RestartSec=1s
SyslogIdentifier=microvm-fleet-names
DynamicUser=yes
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProcSubset=pid
PrivateTmp=yes
PrivateDevices=yes
PrivateIPC=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
KeyringMode=private
RestrictNamespaces=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
# A process for each connection by TCP, of which the server permits 20.
TasksMax=64

[Install]
WantedBy=multi-user.target
"""


def names_settings_path(network: str) -> str:
    """Return the path of the settings of a network's server."""
    return f"{NAMES_SETTINGS_DIRECTORY}/{network}.conf"


def network_of_settings(path: str) -> Optional[str]:
    """Return the network whose server a file of settings is for; ``None`` for every other file."""
    match = _SETTINGS.fullmatch(path)
    return match.group(1) if match else None


def names_unit_path(network: str) -> str:
    """Return the path of the unit that runs a network's server."""
    return f"{UNIT_DIRECTORY}/{names_unit(network)}"


def is_of_names(path: str) -> bool:
    """Return whether a file is settings or the unit of a server, of whatever network."""
    return network_of_settings(path) is not None or _UNIT_FILE.fullmatch(path) is not None


def names_files(networks: Sequence[Network], resolver: Optional[str]) -> Dict[str, str]:
    """Return the files by path; none where no network has names.

    ``resolver`` is the server that is asked for the names of others, or ``None`` for those of resolv.conf(5).
    """
    named = [network for network in networks if network["dns_names"] is not None]
    settings = {names_settings_path(network["name"]): _settings(network, named, resolver) for network in named}
    return {**settings, **{names_unit_path(network["name"]): _unit(network) for network in named}}


def _unit(network: Network) -> str:
    return _UNIT.format(
        network=plain(network["name"]),
        program=plain(NAME_SERVER_PROGRAM),
        rules=plain(NETWORK_UNIT),
        names=plain(GUEST_NAMES_DIRECTORY),
        settings=plain(names_settings_path(network["name"])),
    )


def domain_of(network: Network) -> str:
    """Return the domain of a network with names."""
    options = network["dns_names"]
    return options["domain"] if options is not None else ""


def server_addresses(network: Network) -> List[str]:
    """Return the addresses of the host on a network."""
    interfaces = [network["address"], *([network["ipv6"]["address"]] if network["ipv6"] is not None else [])]
    return [str(ipaddress.ip_interface(interface).ip) for interface in interfaces]


def _settings(network: Network, named: Sequence[Network], resolver: Optional[str]) -> str:
    """Return the settings of a server.

    Names of other networks are asked of nobody, since the host may know them. The server listens as soon as the host
    has the address, whenever that is.
    """
    name, own = network_value(network["name"]), network_value(domain_of(network))
    addresses = [network_value(address) for address in server_addresses(network)]
    lines = ["bind-dynamic", "no-hosts", "expand-hosts", "domain-needed", "bogus-priv", "log-facility=-", "pid-file"]
    # A routed network's guests are behind taps of many names; rules keep everybody else from the address.
    lines += [f"listen-address={addresses[0]}"] if network["mode"] == ROUTED else [f"interface={name}"]
    lines += ["except-interface=lo"] if network["mode"] != ROUTED else []
    lines += [f"hostsdir={plain(GUEST_NAMES_DIRECTORY)}/{name}", f"domain={own}"]
    lines += [f"host-record={plain(HOST_NAME)}.{own},{plain(HOST_NAME)},{','.join(addresses)}"]
    lines += [f"local=/{network_value(domain_of(other))}/" for other in named]
    return one_per_line([*lines, *_servers(network, resolver)])


def _servers(network: Network, resolver: Optional[str]) -> Iterator[str]:
    options = network["dns_names"]
    declared = options["servers"] if options is not None else []
    servers = declared or ([resolver] if resolver is not None and reaches_outside(network) else [])
    if servers or not reaches_outside(network):
        yield "no-resolv"
    for server in servers:
        yield f"server={network_value(server)}"


def dhcp_names(network: Network) -> Iterator[str]:
    """Yield the settings of systemd-networkd's DHCP server that announce the server and the domain."""
    if network["dns_names"] is not None:
        yield setting("DNS", network_value(server_addresses(network)[0]))
        yield setting("SendOption", network_value(f"15:string:{domain_of(network)}"))


def host_names(network: Network) -> Iterator[str]:
    """Yield the settings by which the host resolves names of the domain, and no others, by the network's server."""
    if network["dns_names"] is not None and network["dns_names"]["host"]:
        yield setting("DNS", network_value(server_addresses(network)[0]))
        yield setting("Domains", plain(f"~{domain_of(network)}"))
        yield setting("DNSDefaultRoute", plain("no"))
