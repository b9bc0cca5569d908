# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Content of the files by which a host hands devices over: their list, rules of udev, the unit and its script. Pure."""

from __future__ import annotations

from typing import Dict, Sequence

from ...declaration.names import CONFIGURATION_DIRECTORY, DEVICE_LIST, DEVICE_RULES, DEVICES_UNIT, UNIT_DIRECTORY
from ...declaration.types import HostDevice
from ...runner.scripts import sources as package_sources
from ...runner.scripts.shell import assignments
from ...schema.quoting import plain
from .device_list import DeviceRecord, list_of
from .rules import device_rules
from .scripts import sources
from .state import Observed

SCRIPT = f"{CONFIGURATION_DIRECTORY}/restore-devices"
UNIT = f"{UNIT_DIRECTORY}/{DEVICES_UNIT}"
OWN_FILES = (DEVICE_LIST, DEVICE_RULES, SCRIPT, UNIT)

_PATIENCE = 60
"""Seconds that the unit waits for a card and its driver, which the host finds while it starts."""

_UNIT = """\
# Written by microvm.fleet; changes here are lost.
[Unit]
Description=Devices that the host hands over to MicroVMs
# The script runs modprobe, which then has nothing to do.
Wants=modprobe@vfio_pci.service
After=modprobe@vfio_pci.service systemd-modules-load.service
ConditionPathExists={list}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/bash {script} restore_devices {list}
TimeoutStartSec=300
# Drivers are changed by files of sysfs that are root's, functions of cards are set by netlink.
CapabilityBoundingSet=CAP_NET_ADMIN CAP_DAC_OVERRIDE
ReadWritePaths=-/sys/bus/pci -/sys/devices -/proc/sys/net
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateIPC=yes
DevicePolicy=closed
ProtectKernelTunables=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
KeyringMode=private
RestrictNamespaces=yes
RestrictAddressFamilies=AF_NETLINK AF_UNIX
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


def device_files(observed: Observed, record: DeviceRecord, devices: Sequence[HostDevice]) -> Dict[str, str]:
    """Return every file by its path; none for a host that hands nothing over."""
    contents = {DEVICE_RULES: device_rules(observed, devices)}
    if not record.is_empty:
        contents[DEVICE_LIST] = list_of(record)
        contents[SCRIPT] = script()
        contents[UNIT] = _UNIT.format(list=plain(DEVICE_LIST), script=plain(SCRIPT))
    return {path: content for path, content in sorted(contents.items()) if content}


def script() -> str:
    """Return the script, whose arguments are a function and what that is given."""
    functions = package_sources.BIND_PCI_DEVICE + sources.RESTORE_DEVICES
    return "set -euo pipefail\n" + assignments(patience=str(_PATIENCE)) + functions + '\n"$@"\n'
