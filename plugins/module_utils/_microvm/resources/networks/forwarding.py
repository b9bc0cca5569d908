# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files by which others let a host forward packets of IPv4. Pure."""

from __future__ import annotations

import re
from typing import Pattern, Tuple

_DIRECTORIES = ("/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib")
_COMMAND = r"[^#\n]*(\bip_forward\b|/forwarding\b|\.forwarding\b)"


def _anywhere(*names: str) -> Tuple[str, ...]:
    return tuple(f"{directory}/{name}" for directory in _DIRECTORIES for name in names)


SWITCHES: Tuple[Tuple[Tuple[str, ...], Pattern[str]], ...] = (
    (
        ("/etc/sysctl.conf", "/etc/ufw/sysctl.conf", *_anywhere("sysctl.d/*.conf")),
        re.compile(r"^\s*-?net[./]ipv4[./](ip_forward|conf[./][^\s=]+[./]forwarding)\s*=\s*1", re.MULTILINE),
    ),
    (
        _anywhere(
            *("systemd/network/*.network", "systemd/network/*.network.d/*.conf"),
            *("systemd/networkd.conf", "systemd/networkd.conf.d/*.conf"),
        ),
        re.compile(
            r"^\s*(IPForward|IPv4Forwarding|IPMasquerade)\s*=\s*(yes|true|1|on|ipv4|both)",
            re.MULTILINE | re.IGNORECASE,
        ),
    ),
    (("/etc/wireguard/*.conf",), re.compile(rf"^\s*(PreUp|PostUp)\s*={_COMMAND}", re.MULTILINE | re.IGNORECASE)),
    (
        ("/etc/network/interfaces", "/etc/network/interfaces.d/*"),
        re.compile(rf"^\s*(pre-up|up|post-up)\s{_COMMAND}", re.MULTILINE),
    ),
    (("/etc/rc.local",), re.compile(rf"^{_COMMAND}", re.MULTILINE)),
)
"""Patterns of paths, with the expression for the lines there that switch it on."""

_OF_SYSTEMD = re.compile(r"(/usr)?/lib/systemd/network/80-(container|vm)-[^/]*\.network")


def is_of_systemd(path: str) -> bool:
    """Return whether systemd brings a file to each host, for its containers: where one runs, a table says so."""
    return _OF_SYSTEMD.fullmatch(path) is not None
