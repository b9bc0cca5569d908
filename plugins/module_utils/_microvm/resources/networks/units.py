# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Units of systemd that load the rules of networks, and load them again. Pure."""

from __future__ import annotations

from ...declaration.names import NETWORK_UNIT, NETWORK_WATCH_UNIT, TAP_RULES_DIRECTORY
from ...runner.scripts.shell import call
from ...schema.quoting import plain
from .firewalls import CHAIN, LEADING_RULE
from .rules import TABLE
from .scripts import sources

_TAPS = plain(TAP_RULES_DIRECTORY[len("/run/") :])

_SANDBOX = """\
CapabilityBoundingSet={capabilities}
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
RestrictAddressFamilies={families}
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077
"""
_NFT_SANDBOX = _SANDBOX.format(capabilities=plain("CAP_NET_ADMIN"), families=plain("AF_NETLINK"))

_NETWORK_UNIT = """\
[Unit]
Description=Rules of the networks of MicroVMs
DefaultDependencies=no
Wants=network-pre.target {watch}
Before=network-pre.target shutdown.target
Conflicts=shutdown.target
# nftables.service flushes all rules, these too, whenever it loads its own.
After=nftables.service
ReloadPropagatedFrom=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
RuntimeDirectory={taps}
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes
# Between reading the files of taps and replacing all elements, nobody binds a tap.
ExecStart=/usr/bin/flock /run/{taps} /usr/sbin/nft -f {rules}
ExecReload=/usr/bin/flock /run/{taps} /usr/sbin/nft -f {rules}
# Somebody may have flushed all rules.
ExecStop=-/usr/sbin/nft delete table inet {table}
ExecStop=-/usr/sbin/nft delete table bridge {table}
# Without PrivateTmp=, which would make it wait for file systems.
{sandbox}
[Install]
WantedBy=multi-user.target
"""

_WATCH_UNIT = """\
[Unit]
Description=Watch over the rules of the networks of MicroVMs
After={unit}
PartOf={unit}
# Rules that cannot be loaded are tried again.
StartLimitIntervalSec=0

[Service]
RuntimeDirectory={taps}
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes
ExecStart=/bin/bash {script}
Restart=always
RestartSec=1s
SyslogIdentifier=microvm-fleet-network
{sandbox}"""


# Stops with Docker, whose rules stay then. The lock of iptables is in /run, and with rules of its own in the kernel
# iptables needs sockets for all packets.
_DOCKER_UNIT = """\
[Unit]
Description=Permit the networks of MicroVMs in the rules of Docker
After={unit} docker.service snap.docker.dockerd.service
PartOf=docker.service snap.docker.dockerd.service
StartLimitIntervalSec=0

[Service]
ExecStart=/bin/bash {script}
Restart=always
RestartSec=1s
SyslogIdentifier=microvm-fleet-network
ReadWritePaths=/run
{sandbox}
[Install]
WantedBy=docker.service snap.docker.dockerd.service
"""

_IPTABLES_SANDBOX = _SANDBOX.format(
    capabilities="CAP_NET_ADMIN CAP_NET_RAW", families="AF_NETLINK AF_INET AF_INET6 AF_UNIX"
)


def network_unit(rules: str) -> str:
    """Return the unit that loads a file of rules."""
    values = {"rules": plain(rules), "watch": plain(NETWORK_WATCH_UNIT), "taps": _TAPS, "table": plain(TABLE)}
    return _NETWORK_UNIT.format(sandbox=_NFT_SANDBOX, **values)


def watch_unit(script: str) -> str:
    """Return the unit that runs the script which loads deleted rules again."""
    return _WATCH_UNIT.format(unit=plain(NETWORK_UNIT), script=plain(script), taps=_TAPS, sandbox=_NFT_SANDBOX)


def watch_script(rules: str) -> str:
    """Return the script that loads a file of rules whenever one of its tables is deleted."""
    return sources.AWAIT_REPORTS + sources.WATCH_RULES + "\n" + call("watch_rules", rules, TABLE, TAP_RULES_DIRECTORY)


def docker_unit(script: str) -> str:
    """Return the unit that runs the script which keeps rules in Docker's chain."""
    return _DOCKER_UNIT.format(unit=plain(NETWORK_UNIT), script=plain(script), sandbox=_IPTABLES_SANDBOX)


def docker_script(rules: str, ipv6_rules: str) -> str:
    """Return the script that keeps rules of iptables, and those of ip6tables, in Docker's chain."""
    texts = (rules.rstrip("\n"), ipv6_rules.rstrip("\n"))
    return sources.AWAIT_REPORTS + sources.FOLLOW_DOCKER + "\n" + call("docker_rules", CHAIN, LEADING_RULE, *texts)
