# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reasons why others than our networks need packets to be forwarded."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.forwarding import (
    SWITCHES,
    is_of_systemd,
)


def switches_on(path: str, line: str) -> bool:
    return not is_of_systemd(path) and any(
        expression.search(f"# a comment\n{line}\n")
        for patterns, expression in SWITCHES
        if any(fnmatch(path, pattern) for pattern in patterns)
    )


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/etc/sysctl.conf", "net.ipv4.ip_forward = 1"),
        ("/etc/ufw/sysctl.conf", "net/ipv4/ip_forward=1"),
        ("/usr/local/lib/sysctl.d/router.conf", "net.ipv4.ip_forward=1"),
        ("/usr/lib/sysctl.d/router.conf", "net/ipv4/conf/br-lan.7/forwarding = 1"),
        ("/etc/sysctl.d/router.conf", "-net.ipv4.conf.all.forwarding = 1"),
        ("/etc/systemd/network/10-lan.network", "IPForward=ipv4"),
        ("/etc/systemd/network/10-lan.network.d/forward.conf", "IPv4Forwarding=yes"),
        ("/usr/lib/systemd/network/10-lan.network", "IPMasquerade=both"),
        ("/etc/systemd/networkd.conf", "IPv4Forwarding=true"),
        ("/etc/systemd/networkd.conf.d/10-forward.conf", "IPv4Forwarding = yes"),
        ("/etc/wireguard/wg0.conf", "PostUp = sysctl -q -w net.ipv4.ip_forward=1"),
        ("/etc/network/interfaces", "    up echo 1 > /proc/sys/net/ipv4/ip_forward"),
        ("/etc/network/interfaces.d/lan", "post-up sysctl net.ipv4.conf.lan0.forwarding=1"),
        ("/etc/rc.local", "echo 1 >/proc/sys/net/ipv4/conf/lan0/forwarding"),
    ],
)
def test_places_where_others_switch_forwarding_on_are_seen(path: str, line: str) -> None:
    assert switches_on(path, line)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/etc/sysctl.conf", "#net.ipv4.ip_forward=1"),
        ("/etc/sysctl.d/router.conf", "net.ipv4.ip_forward=0"),
        ("/etc/sysctl.d/router.conf", "net.ipv6.conf.all.forwarding=1"),
        ("/etc/systemd/networkd.conf", "#IPv4Forwarding=yes"),
        ("/etc/systemd/network/10-lan.network", "IPMasquerade=no"),
        ("/usr/lib/systemd/network/80-container-ve.network", "IPMasquerade=both"),
        ("/lib/systemd/network/80-vm-vt.network", "IPMasquerade=both"),
        ("/etc/wireguard/wg0.conf", "PostUp = ip route add 192.0.2.0/24 dev wg0"),
        ("/etc/network/interfaces", "# up echo 1 > /proc/sys/net/ipv4/ip_forward"),
        ("/etc/rc.local", "# echo 1 > /proc/sys/net/ipv4/ip_forward"),
    ],
)
def test_what_leaves_forwarding_off_is_no_reason(path: str, line: str) -> None:
    assert not switches_on(path, line)
