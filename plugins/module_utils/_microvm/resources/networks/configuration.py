# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that make networks: for systemd-networkd, for nftables, for systemd, for the kernel. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Dict, Iterator, List, Mapping, Optional, Sequence

from ...declaration.identity import TAP_PREFIX
from ...declaration.names import CONFIGURATION_DIRECTORY, FLEET_DIRECTORY, NETWORK_UNIT, UNIT_DIRECTORY
from ...declaration.networks.options import NETWORK_OPTIONS
from ...declaration.networks.parse import subnet
from ...declaration.types import DhcpServer, Lease, Network
from ...host.commands import HostError
from ...runner.package import DIGEST_LENGTH
from ...schema.compaction import check_record
from ...schema.quoting import network_value, nft_string, nft_value, plain, section, setting

NETWORKD_DIRECTORY = "/etc/systemd/network"
RECORD = f"{CONFIGURATION_DIRECTORY}/networks.json"
"""File with the declared networks: tells the next run what a network was that is no longer declared."""
RULES = f"{CONFIGURATION_DIRECTORY}/network.nft"
SYSCTLS = "/etc/sysctl.d/50-microvm-fleet.conf"
FORWARDING = "net.ipv4.ip_forward"
"""Parameter of the kernel that lets packets pass from one interface to another (sysctl(8))."""
FORWARDING_MARK = f"{FLEET_DIRECTORY}/forwarding.switched-on"
"""File that exists if forwarding was off before our networks needed it."""
UNIT = f"{UNIT_DIRECTORY}/{NETWORK_UNIT}"
TABLE = "microvm_fleet"
"""Table of nftables with all our filters and our NAT."""

_TAPS = f"{NETWORKD_DIRECTORY}/49-microvm-taps.network"
_BRIDGE = f"{NETWORKD_DIRECTORY}/50-microvm-%s.%s"
_BRIDGE_FILE = re.compile(rf"{NETWORKD_DIRECTORY}/50-microvm-(.+)\.(netdev|network)")

_HEADER = "# Written by microvm.fleet; changes here are lost.\n"

_TAPS_TEXT = """\
# Taps are made and removed with their MicroVMs.
[Match]
Name={prefix}*

[Link]
Unmanaged=yes
"""

_UNIT_TEXT = """\
[Unit]
Description=Rules of the networks of MicroVMs
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target
# nftables.service flushes all rules, these too, whenever it loads its own.
After=nftables.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {rules}
ExecReload=/usr/sbin/nft -f {rules}
# Somebody may have flushed all rules.
ExecStop=-/usr/sbin/nft delete table ip {table}
# Without PrivateTmp=, which would make it wait for file systems.
CapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
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
RestrictAddressFamilies=AF_NETLINK
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077

[Install]
WantedBy=multi-user.target
"""

# One transaction: the old rules are in force until the new ones are. Guests behind NAT are answered,
# and not reached from elsewhere; what leaves their bridge has an address of its subnet. Without NAT nothing
# goes in or out, whether or not the host forwards packets for other reasons.
_RULES_TEXT = """\
table ip {table}
delete table ip {table}
table ip {table} {{
    comment "{digest}"
{rules}}}
"""

_CHAIN = """\
    chain {name} {{
        type {type}; policy accept;
{lines}    }}
"""

_CLOSED = """\
        iifname {bridge} oifname != {bridge} drop
        oifname {bridge} iifname != {bridge} drop
"""

_TRANSLATED = """\
        iifname {bridge} ip saddr != {subnet} drop
        oifname {bridge} iifname != {bridge} ct state != {{ established, related }} drop
"""

_POSTROUTING = """\
        ip saddr {subnet} oifname != {bridge} masquerade
"""


def configuration(networks: Sequence[Network]) -> Dict[str, str]:
    """Content of every file, by path; empty where there is no network."""
    texts: Dict[str, str] = {}
    for network in networks:
        bridge = [setting("Name", network_value(network["name"])), setting("Kind", plain("bridge"))]
        texts[_BRIDGE % (network["name"], "netdev")] = section("NetDev", bridge)
        texts[_BRIDGE % (network["name"], "network")] = _network(network)
    if networks:
        unit = _UNIT_TEXT.format(rules=plain(RULES), table=plain(TABLE))
        texts.update({_TAPS: _TAPS_TEXT.format(prefix=plain(TAP_PREFIX)), RULES: rules(networks), UNIT: unit})
    if any(network["nat"] for network in networks):
        texts[SYSCTLS] = "net.ipv4.ip_forward = 1\n"
    texts = {path: _HEADER + text for path, text in texts.items()}
    if networks:
        texts[RECORD] = json.dumps(list(networks), indent=2, sort_keys=True) + "\n"
    return dict(sorted(texts.items()))


def recorded_networks(files: Mapping[str, str]) -> List[Network]:
    """The networks that files were made of. Raises HostError for a record that is damaged."""
    if RECORD not in files:
        return []
    try:
        networks = json.loads(files[RECORD])
        for network in networks if isinstance(networks, list) else [None]:
            check_record(NETWORK_OPTIONS, network, "network")
    except (ValueError, RecursionError) as error:
        raise HostError(
            f"{RECORD} is damaged ({error}); restore it from a backup, or remove it and run again with all networks, "
            "those that are no longer declared but whose bridges MicroVMs use included"
        ) from None
    return list(networks)


def is_ours(path: str) -> bool:
    """Return whether a file is one of ``configuration``, of whatever networks."""
    return path in (_TAPS, RECORD, RULES, SYSCTLS, UNIT) or bridge_of(path) is not None


def bridge_of(path: str) -> Optional[str]:
    """The network that a file of systemd-networkd is about; ``None`` for every other file."""
    match = _BRIDGE_FILE.fullmatch(path)
    return match.group(1) if match else None


def rules_digest(text: str) -> Optional[str]:
    """Return the digest that tells sets of rules apart, from their file or from what `nft list table` prints."""
    match = re.search(r'^\s*comment "(.*)"$', text, re.MULTILINE)
    return match.group(1) if match else None


def rules(networks: Sequence[Network]) -> str:
    """The table of nftables (nft(8))."""
    forward = "".join(_filled(_TRANSLATED if network["nat"] else _CLOSED, network) for network in networks)
    postrouting = "".join(_filled(_POSTROUTING, network) for network in networks if network["nat"])
    text = _CHAIN.format(name="forward", type="filter hook forward priority filter", lines=forward)
    text += _CHAIN.format(name="postrouting", type="nat hook postrouting priority srcnat", lines=postrouting)
    return _RULES_TEXT.format(table=TABLE, digest=hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH], rules=text)


def _filled(template: str, network: Network) -> str:
    return template.format(bridge=nft_string(network["name"]), subnet=nft_value(subnet(network)))


def _network(network: Network) -> str:
    """A systemd.network(5) file."""
    server = network["dhcp_server"]
    own = [
        setting("Address", network_value(network["address"])),
        # A bridge has no carrier until its first MicroVM runs.
        *(setting("ConfigureWithoutCarrier", plain("yes")), setting("IPv6AcceptRA", plain("no"))),
        setting("DHCPServer", plain("yes" if server is not None else "no")),
    ]
    sections = [
        section("Match", [setting("Name", network_value(network["name"]))]),
        section("Network", own),
        section("Link", [setting("RequiredForOnline", plain("no"))]),
        *([section("DHCPServer", _dhcp_server(server))] if server is not None else []),
        *map(_lease, network["leases"]),
    ]
    return "\n".join(sections)


def _lease(lease: Lease) -> str:
    values = (setting("MACAddress", plain(lease["mac"])), setting("Address", network_value(lease["address"])))
    return section("DHCPServerStaticLease", values)


def _dhcp_server(server: DhcpServer) -> Iterator[str]:
    if server["pool_offset"] is not None:
        yield setting("PoolOffset", plain(server["pool_offset"]))
    if server["pool_size"] is not None:
        yield setting("PoolSize", plain(server["pool_size"]))
    if server["dns"]:
        yield setting("DNS", *map(network_value, server["dns"]))
