# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Interfaces come and go with their MicroVM, as its package says. They are the kernel's own, hypervisors are fakes."""

from __future__ import annotations

import json

import pytest

from .host import Host
from .packages import STAY, fake
from .paths import STATE


def test_taps_are_made_by_a_list_of_the_package(host: Host) -> None:
    lists = {"share/microvm/tap-interfaces": "old-tap1\nold-tap2\n"}
    host.install_packages({"old": {**fake(STAY), **lists}})
    host.run("systemctl start microvm@old")
    shown = host.run("ip -d link show type tun")
    for word in ("old-tap1", "old-tap2", "vnet_hdr on", "user microvm"):
        assert word in shown
    host.run("systemctl stop microvm@old")
    host.wait_for("end of the taps", lambda: host.run("ip link show type tun"), lambda seen: seen == "")


@pytest.mark.parametrize("delay", [pytest.param(0, id="at once"), pytest.param(1, id="later")])
def test_a_macvtap_waits_for_its_device(host: Host, delay: float) -> None:
    lists = {"share/microvm/macvtap-interfaces": "old-mv 02:00:00:00:00:07 host0 bridge\n"}
    host.install_packages({"old": {**fake(STAY), **lists}})
    # udev does this on other hosts.
    link = "/sys/class/net/old-mv"
    device = f"/dev/tap$(cat {link}/ifindex) c $(cat {link}/macvtap/tap*/dev | tr : ' ')"
    make = f"until [ -e {link}/macvtap ]; do sleep 0.1; done; sleep {delay}; mknod {device}"
    host.run(f"({make}) >/dev/null 2>&1 & systemctl start microvm@old")
    shown = host.run("ip -d link show type macvtap; stat --format %U:%G:%a /dev/tap[0-9]*; rm /dev/tap[0-9]*")
    for word in ("02:00:00:00:00:07", "mode bridge", "microvm:microvm:600"):
        assert word in shown
    host.run("systemctl stop microvm@old")
    host.wait_for("end of the macvtap", lambda: host.run("ip link show type macvtap"), lambda seen: seen == "")


def test_scripts_of_the_package_make_interfaces_and_register_the_microvm(host: Host) -> None:
    scripts = {
        "tap_up": "ip tuntap add name new-tap mode tap user microvm\n",
        "tap_down": "ip link delete new-tap\n",
        "microvm_register": 'echo "$1" > registered\n',
        "microvm_unregister": "mv registered unregistered\n",
    }
    host.install_packages({"new": fake(STAY, **scripts)})
    host.run("systemctl start microvm@new")
    assert "new-tap" in host.run("ip -d link show type tun")
    process = host.run("systemctl show --property=MainPID --value microvm@new")
    assert host.run(f"cat {STATE}/new/work/registered") == process
    host.run("systemctl stop microvm@new")
    host.wait_for("end of the tap", lambda: host.run("ip link show type tun"), lambda seen: seen == "")
    assert host.run(f"ls {STATE}/new/work").split() == ["unregistered"]


def test_a_microvm_is_registered_over_the_bus_that_its_unit_hides(host: Host, fake_qemu: None) -> None:
    # Hosts of the test bed have no systemd-machined: the bus says so.
    host.send("/usr/local/bin", {"machinectl": "#!/bin/sh\n"})
    declared = {"name": "known", "kernel": "/etc/hostname", "ready": {"check": "none"}, "register_with_machined": True}
    host.send("/root", {"known.json": json.dumps({**declared, "socket": None, "accel": "tcg", "mem": 16})})
    host.microvm("apply /root/known.json")
    host.run("rm /usr/local/bin/machinectl")
    assert any("org.freedesktop.machine1" in line for line in host.messages("-t busctl"))
    visible = host.run("nsenter --mount -t $(systemctl show -P MainPID microvm@known) ls /run")
    assert "dbus" not in visible
