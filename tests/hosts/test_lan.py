# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bridge onto the interface by which the host is managed: the run comes through, or the old state comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .host import Host
from .paths import CONFIGURATION, RUNTIME

LAN = [{"name": "lan0", "link": "host0"}]
DROP_IN = "/run/systemd/network/00-microvm-lan0.network.d"
CUT_OFF = "[Network]\nAddress=\nAddress=192.0.2.1/24\n"
"""Settings by which nobody reaches the host at the addresses that it had."""


class Lan:
    """The interface by which the host is managed."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host, self._directory = host, directory
        self.addresses = self._addresses("host0")

    def _addresses(self, interface: str) -> str:
        return self.host.run(
            f"ip -brief -4 address show dev {interface} | tr -s ' ' | cut -d ' ' -f 3;"
            " ip route show default | cut -d ' ' -f 1-3"
        )

    def role(self, networks: list[dict[str, str]], seconds: int = 60) -> str:
        """Run role ``network``; return the output of ansible-playbook."""
        variables = {"microvm_networks": networks, "microvm_network_return_seconds": seconds}
        play = [{"hosts": "all", "gather_facts": False, "vars": variables, "roles": ["microvm.fleet.network"]}]
        return self.host.play(self._directory, json.dumps(play))

    def module(self, networks: list[dict[str, str]], seconds: int) -> str:
        """Run the module alone, as a run does that is killed right after it."""
        task = {"microvm.fleet.microvm_network": {"networks": networks, "return_seconds": seconds}}
        return self.host.play(self._directory, json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}]))

    def wait_for(self, interface: str) -> None:
        """Wait until the host has its addresses by an interface, and no change waits for its confirmation."""
        waiting = f"; ls {RUNTIME}/network.unconfirmed 2>/dev/null"
        self.host.wait_for(
            f"addresses of {interface}",
            lambda: self._addresses(interface) + self.host.run(f"true{waiting} || true"),
            self.addresses.__eq__,
        )


@pytest.fixture
def lan(host: Host, tmp_path: Path) -> Iterator[Lan]:
    """A host that has no networks before and after."""
    host.run("command -v nft >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get -qq install -y nftables")
    lan = Lan(host, tmp_path)
    yield lan
    host.run(f"rm -rf {DROP_IN}")
    lan.role([])
    lan.wait_for("host0")
    left = f"ls -d {CONFIGURATION}/lan* /run/systemd/network/*microvm* /sys/class/net/lan0 2>/dev/null; true"
    assert host.run(left) == ""


def test_the_run_comes_through_and_the_bridge_stays_unless_its_removal_is_confirmed(lan: Lan) -> None:
    host = lan.host
    assert "failed=0" in lan.role(LAN)
    lan.wait_for("lan0")
    assert host.run("ls /sys/class/net/lan0/brif") == "host0\n"
    host.reboot()
    lan.wait_for("lan0")
    assert "changed=0" in lan.role(LAN)
    lan.module([], 3)
    lan.wait_for("lan0")


def test_a_change_that_cuts_the_host_off_is_taken_back(lan: Lan) -> None:
    lan.host.send(DROP_IN, {"50-cut-off.conf": CUT_OFF})
    with pytest.raises(AssertionError, match="taken back"):
        lan.role(LAN, seconds=3)
    lan.wait_for("host0")
    assert "was taken back, since nobody confirmed it in time" in lan.module([], 3)


def test_a_change_that_nobody_confirms_is_taken_back(lan: Lan) -> None:
    lan.module(LAN, seconds=3)
    lan.wait_for("host0")


def test_a_change_that_is_withdrawn_leaves_no_timer(lan: Lan) -> None:
    lan.module(LAN, seconds=60)
    lan.module([], seconds=60)
    lan.wait_for("host0")
    assert lan.host.run("systemctl list-timers --all --no-legend microvm-fleet-lan-return.timer") == ""


def test_a_bridge_stays_when_its_interface_goes_and_everything_else_is_done(lan: Lan) -> None:
    host, wired = lan.host, [{"name": "lan0", "link": "mvlink0"}]
    host.run("ip link add mvlink0 type veth peer name mvlink1")
    assert "failed=0" in lan.role(wired)
    host.run("ip link delete mvlink0")
    further = [*wired, {"name": "mvnet0", "address": "10.99.0.1/24"}]
    output = lan.role(further)
    assert "no interface mvlink0 any more, which is the link of network lan0" in " ".join(output.split())
    assert "failed=0" in output
    assert "10.99.0.1/24" in host.run("ip -brief address show dev mvnet0")
    assert "changed=0" in lan.role(further)
    with pytest.raises(AssertionError, match=r"networks\[1\].*link: the host has no interface 'mvlink2'"):
        lan.role([*wired, {"name": "lan1", "link": "mvlink2"}])
    host.run("ip link add mvlink0 type veth peer name mvlink1")
    host.wait_for("port", lambda: host.run("ls /sys/class/net/lan0/brif"), "mvlink0\n".__eq__)
    host.run("ip link delete mvlink0")


def test_the_bridge_keeps_the_lease_of_its_interface(lan: Lan) -> None:
    host = lan.host
    server = "[Match]\nName=dhcp0\n[Network]\nAddress=192.0.2.1/24\nDHCPServer=yes\n"
    client = "[Match]\nName=link0\n[Network]\nDHCP=ipv4\n[DHCPv4]\nUseRoutes=no\nUseDNS=no\n"
    host.send("/run/systemd/network", {"60-server.network": server, "60-client.network": client})
    show = "ip -brief -4 address show dev {} 2>/dev/null | grep -o '192[^ ]*' || true"
    try:
        host.run("ip link add dhcp0 type veth peer name link0 && networkctl reload")
        lease = host.wait_for("lease", lambda: host.run(show.format("link0")), bool)
        lan.role([{"name": "lan0", "link": "link0"}])
        assert host.run(show.format("lan0")) == lease
        lan.role([])
        host.wait_for("lease of the interface", lambda: host.run(show.format("link0")), lease.__eq__)
    finally:
        host.run("rm /run/systemd/network/60-*; ip link delete dev dhcp0; networkctl reload")
