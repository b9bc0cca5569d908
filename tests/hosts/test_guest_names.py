# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of guests under a real systemd: they come and go with guests and networks, and a removal leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .host import Files, Host
from .packages import STAY, fake
from .paths import CONFIGURATION, NAMES_UNIT, RUNTIME
from .test_networks import Networks

PLAIN: dict[str, object] = {"name": "mvnet0", "address": "10.99.0.1/24", "dhcp_server": {}}
NAMED: dict[str, object] = {**PLAIN, "dns_names": {}}
OTHER: dict[str, object] = {"name": "mvnet1", "address": "10.99.1.1/24", "dns_names": {"domain": "other.example"}}
EXPOSURE = 1.6
"""Highest exposure of the server's unit."""
UNIT = NAMES_UNIT.format("mvnet0")

PEER = """\
ip netns add {0}; ip link add {0} type veth peer name eth0 netns {0}
ip link set {0} master {1} up; ip -n {0} address add {2}/24 dev eth0; ip -n {0} link set eth0 up
"""
ASK = """\
import os, socket, struct, sys
server, name = sys.argv[1:]
labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
with socket.socket(type=socket.SOCK_DGRAM) as asker:
    asker.settimeout(5)
    for attempt in range(15):
        asker.sendto(struct.pack("!HHHHHH", 7, 256, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, 1, 1), (server, 53))
        try:
            answer = asker.recv(512)
            break
        except TimeoutError:
            pass
print(answer[3] & 15, *[socket.inet_ntoa(answer[-4:])] * answer[7])
"""
"""Prints the code of a server's answer, and the address if there is one."""


def package(tap: str, bridge: str, mac: str, address: str) -> Files:
    """Return the package of a MicroVM with a tap."""
    up = (f"tuntap add name {tap} mode tap user nobody", f"link set dev {tap} master {bridge} up")
    return {
        **fake(STAY, tap_up="".join(f"ip {words}\n" for words in up), tap_down=f"ip link delete dev {tap}\n"),
        "share/microvm/tap-interfaces": f"{tap}\n",
        "share/microvm/tap-guests": f"{tap} {mac} {address}\n",
    }


PACKAGES = {
    "web": package("t0", "mvnet0", "02:00:00:00:15:01", "10.99.0.7"),
    "db": package("t1", "mvnet0", "02:00:00:00:15:02", "10.99.0.8"),
    "secret": package("t2", "mvnet1", "02:00:00:00:15:03", "10.99.1.7"),
}


class Names:
    """Networks with names of guests, and peers of them."""

    def __init__(self, networks: Networks) -> None:
        self.networks, self.host = networks, networks.host

    def asked(self, name: str, server: str = "10.99.0.1", peer: str = "p0") -> str:
        """Return the answer to a peer."""
        return self.host.run(f"ip netns exec {peer} python3 /root/ask {server} {name}").strip()

    def await_answer(self, name: str, answer: str, server: str = "10.99.0.1", peer: str = "p0") -> None:
        """Wait until the server has read what has changed."""
        self.host.wait_for(f"answer {answer} for {name}", lambda: self.asked(name, server, peer), answer.__eq__)


@pytest.fixture
def names(host: Host, tmp_path: Path) -> Iterator[Names]:
    """A host without networks, before and after."""
    host.run("DEBIAN_FRONTEND=noninteractive apt-get -qq install -y nftables dnsmasq-base >/dev/null")
    host.send("/root", {"ask": ASK})
    networks = Networks(host, tmp_path)
    files = f"ls -d {CONFIGURATION}/names {RUNTIME}/taps 2>/dev/null"
    left = f"{files}; systemctl list-units --all | grep -F fleet-names; true"
    before = networks.traces() + host.run(left)
    yield Names(networks)
    host.run("for peer in p0 p1; do ip netns delete $peer; done 2>/dev/null; true")
    host.stop_microvms()
    networks.apply([])
    assert networks.traces() + host.run(left) == before


def test_names_of_guests_come_and_go_with_them(names: Names) -> None:
    host, networks = names.host, names.networks
    networks.apply([PLAIN])
    host.install_packages(PACKAGES)
    host.run("systemctl start microvm@web")
    # A guest runs already when its network gets names.
    predicted = networks.apply([NAMED, OTHER], "--check", "--diff")
    assert f"start with its settings {UNIT}" in predicted and "names of the guest mvnet0/t0" in predicted
    networks.apply([NAMED, OTHER])
    host.run(PEER.format("p0", "mvnet0", "10.99.0.90") + PEER.format("p1", "mvnet1", "10.99.1.90"))
    names.await_answer("web", "0 10.99.0.7")
    assert "changed=0" in networks.apply([NAMED, OTHER])
    level = float(host.run(f"systemd-analyze security --no-pager {UNIT} | tail -n 1").split()[-3])
    assert level <= EXPOSURE
    started = f"systemctl show --property=InvocationID --property=NRestarts {UNIT}"
    before = host.run(started)
    host.run("systemctl start microvm@db microvm@secret")
    names.await_answer("db.mvnet0.internal", "0 10.99.0.8")
    assert names.asked("host") == "0 10.99.0.1"
    names.await_answer("secret.other.example", "0 10.99.1.7", "10.99.1.1", "p1")
    for foreign in ("secret", "secret.other.example"):
        assert names.asked(foreign) == "3", "a name of another network"
    host.run("systemctl stop microvm@web")
    names.await_answer("web", "3")
    assert names.asked("db") == "0 10.99.0.8"
    assert host.run(started) == before
    assert "changed=0" in networks.apply([NAMED, OTHER])
    assert host.run("journalctl -b -u systemd-networkd | grep 50-microvm-mvnet | grep ignoring; true") == ""
    networks.apply([PLAIN])
    assert host.run(f"systemctl is-active {UNIT}; true") == "inactive\n"
