# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests' networks as their systemd reads them: here the host's own systemd is that of a guest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .host import Host
from .packages import rendered

MAC = "02:00:00:00:13:05"
DECLARED = {
    "name": "routed",
    "kernel": "/k",
    "accel": "tcg",
    "interfaces": [{"mac": MAC}],
    "guest": {
        "enable": True,
        "networks": [
            {
                "name": "wan7",
                "addresses": ["203.0.113.77/32", "2001:db8:77::5/128"],
                "gateway": ["198.51.100.1", "2001:db8:ffff::1"],
                "routes": [
                    {"destination": "172.20.0.0/16", "gateway": "198.51.100.9", "metric": 50},
                    {"destination": "192.0.2.0/24"},
                ],
            }
        ],
    },
}
EXPECTED = [
    {"dst": "default", "gateway": "198.51.100.1", "flags": ["onlink"]},
    {"dst": "172.20.0.0/16", "gateway": "198.51.100.9", "metric": 50, "flags": ["onlink"]},
    {"dst": "192.0.2.0/24", "scope": "link", "flags": []},
    {"dst": "default", "gateway": "2001:db8:ffff::1", "metric": 1024, "flags": ["onlink"], "pref": "medium"},
]


@pytest.fixture
def guest(host: Host, tmp_path: Path) -> Iterator[Host]:
    """Host with the interface of a guest, whose systemd has read the guest's credentials."""
    files = rendered(tmp_path, DECLARED)
    prefix = "share/microvm/credentials/"
    host.send("/root/credentials", {path[len(prefix) :]: text for path, text in files.items() if prefix in path})
    host.run("CREDENTIALS_DIRECTORY=/root/credentials /usr/lib/systemd/systemd-network-generator")
    host.run(f"ip link add probe address {MAC} type veth peer name cable")
    yield host
    host.run("ip link delete probe; rm -f /run/systemd/network/10-if0.*; networkctl reload")


def routes(host: Host) -> list[dict[str, Any]]:
    """Return the routes that networkd has made on the interface."""
    listed = [json.loads(host.run(f"ip -j -{version} route show dev probe proto static")) for version in (4, 6)]
    return [route for version in listed for route in version]


def test_systemd_reads_routes_and_the_name_of_a_guest(guest: Host) -> None:
    guest.run("networkctl reload && ip link set cable up")
    guest.wait_for("routes", lambda: len(routes(guest)), lambda count: count == len(EXPECTED))
    seen = routes(guest)
    assert [route for route in EXPECTED if route not in seen] == []
    # An interface that the guest makes itself may have the address of its network card.
    guest.run(f"ip link add own9 address {MAC} type bridge")
    built_in = "udevadm test-builtin net_setup_link /sys/class/net/{} 2>&1"
    assert "ID_NET_NAME=wan7" in guest.run(built_in.format("probe"))
    assert "wan7" not in guest.run(f"{built_in.format('own9')}; ip link delete own9")
