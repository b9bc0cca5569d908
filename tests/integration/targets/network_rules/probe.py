# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attacks of guests, counted frame by frame. Runs in namespaces of its own; 1 as argument switches br_netfilter on."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration import names
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks import configuration as files
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.units import watch_script
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts import sources
from frames import (
    ARP,
    BROADCAST,
    IPV4,
    REPLY,
    VLAN,
    arp,
    echo_request,
    ethernet,
    ipv6,
    router_advertisement,
    source_of,
    tcp_syn,
    udp,
)

PATIENCE = 10
NETWORKS = parse_networks(
    [
        {
            "name": "nat0",
            "address": "10.66.1.1/24",
            "nat": True,
            "host_ports": ["tcp/8080"],
            "dhcp_server": {},
            "leases": [{"mac": "02:00:00:00:00:0d", "address": "10.66.1.13"}],
        },
        {"name": "closed0", "address": "10.66.2.1/24", "host_access": "none"},
        {"name": "apart0", "address": "10.66.3.1/24", "isolate": True},
    ]
)
ELSEWHERE = "10.99.0.1"
"""Address of the host beside its bridges."""
OUTSIDE = "198.51.100.2"
METADATA = "169.254.169.254"
ECHO_REPLY = 0


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def bash(script: str) -> None:
    given = f"network_list={names.NETWORK_LIST!r} tap_rules={names.TAP_RULES_DIRECTORY!r}"
    given += " network_settings=/run/none network_unit=none"
    functions = sources.MAKE_TAP + sources.BIND_TAPS
    subprocess.run(["bash", "-c", f"set -euo pipefail\n{given}\n{functions}\n{script}"], check=True)


class Guest:
    """A guest at the far end of a tap."""

    def __init__(self, tap: str, bridge: str, mac: str, address: str, *listed: str) -> None:
        self.tap, self.mac, self.address = tap, mac, address
        self.bridge_mac = Path(f"/sys/class/net/{bridge}/address").read_text().strip()
        bash(f"make_tap {tap} root {bridge}; bind_tap {tap} {' '.join(listed)}")
        self.file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        # IFF_TAP and IFF_NO_PI.
        fcntl.ioctl(self.file, 0x400454CA, struct.pack("16sH22x", tap.encode(), 0x1002))

    @property
    def identity(self) -> tuple[str, str]:
        return self.mac, self.address

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            os.write(self.file, frame)

    def to_host(self, address: str) -> tuple[tuple[str, str], tuple[str, str]]:
        """Return the MAC and IP addresses of a packet by way of the host."""
        return (self.mac, self.bridge_mac), (self.address, address)

    def received_until(self, last: object) -> list[bytes]:
        """Return the frames before a certain one; answers meanwhile who asks for the guest by ARP."""
        deadline, frames = time.monotonic() + PATIENCE, []
        while True:
            ready, *_others = select.select([self.file], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"{self.tap} has not received the expected frame, but {[f.hex() for f in frames]}")
            frame = os.read(self.file, 4096)
            if last(frame) if callable(last) else frame == last:
                return frames
            if frame[12:14] == struct.pack("!H", ARP) and frame[38:42] == socket.inet_aton(self.address):
                self.send(arp(self.identity, (frame[6:12].hex(":"), socket.inet_ntoa(frame[28:32])), REPLY))
            frames.append(frame)


def marker(guest: Guest) -> bytes:
    """Return a broadcast that is allowed."""
    return arp(guest.identity, (BROADCAST, guest.address.rpartition(".")[0] + ".99"))


def expect_none(what: str, attacker: Guest, victim: Guest, *frames: bytes) -> None:
    """Send frames that must not come to the victim, then one that must."""
    attacker.send(*frames, marker(attacker))
    seen = [frame for frame in victim.received_until(marker(attacker)) if frame in frames]
    print(f"{what}: {len(frames)} sent, {len(seen)} received, then the allowed one")
    assert seen == [], what


def answered(guest: Guest, *frames: bytes, by: str) -> list[str]:
    """Send packets; return who answers before the last one's destination does."""
    guest.send(*frames)
    return [source for source in map(source_of, guest.received_until(lambda frame: source_of(frame) == by)) if source]


def set_up_host() -> None:
    """Create the host's interfaces, a peer beyond it, and what role ``network`` writes."""
    run("ip", "link", "set", "lo", "up")
    script = f"""
ip netns add outside
ip link add up0 type veth peer name eth0 netns outside
ip addr add 198.51.100.1/24 dev up0; ip link set up0 up
ip route add default via {OUTSIDE}
ip -n outside link set lo up; ip -n outside link set eth0 up
ip -n outside addr add {OUTSIDE}/24 dev eth0; ip -n outside addr add {METADATA}/32 dev lo
ip -n outside route add 10.66.0.0/16 via 198.51.100.1
ip -n outside -6 addr add 2001:db8::2/64 dev eth0 nodad; ip -6 addr add 2001:db8::1/64 dev up0 nodad
ip route add {METADATA}/32 via {OUTSIDE}
ip link add else0 type bridge; ip addr add {ELSEWHERE}/24 dev else0; ip link set else0 up
"""
    subprocess.run(["bash", "-euc", script], check=True)
    for network in NETWORKS:
        # With an address of its own, which ports do not change.
        mac = "02:00:00:01:00:0" + network["address"].split(".")[2]
        run("ip", "link", "add", network["name"], "address", mac, "type", "bridge")
        run("ip", "addr", "add", network["address"], "dev", network["name"])
        run("ip", "link", "set", network["name"], "up")


def write_configuration() -> None:
    """Apply the files, in a directory of the namespace."""
    texts = files.configuration(NETWORKS, ["up0"])
    names.NETWORK_LIST = "/run/networks.list"
    Path(names.NETWORK_LIST).write_text(texts[files.NETWORK_LIST])
    Path("/run/network.nft").write_text(texts[files.RULES])
    for parameter, value in files.parsed_settings(texts[files.SYSCTLS]).items():
        Path("/proc/sys", parameter).write_text(value)
    run("nft", "-f", "/run/network.nft")


def attacks_on_neighbours(a: Guest, b: Guest) -> None:
    """Forge what a guest can forge."""
    host, both = ("", "10.66.1.1"), (a.mac, b.mac)
    expect_none("forged MAC", a, b, arp(("02:66:66:66:66:66", a.address), b.identity))
    expect_none("neighbour's MAC", a, b, arp((b.mac, a.address), b.identity))
    expect_none("ARP for the neighbour's own address", a, b, arp((a.mac, b.address), b.identity))
    expect_none("ARP for the bridge", a, b, arp((a.mac, host[1]), b.identity, REPLY))
    expect_none("ARP with another MAC inside", a, b, arp(("02:66:66:66:66:66", a.address), b.identity, source=a.mac))
    expect_none("forged IPv4 source", a, b, udp(both, ("10.66.1.77", b.address), (1000, 1000)))
    expect_none("IPv4 source of the bridge", a, b, udp(both, (host[1], b.address), (1000, 1000)))
    expect_none("DHCP offer", a, b, udp(both, (a.address, "255.255.255.255"), (67, 68), bytes(240)))
    expect_none("DHCP offer from another port", a, b, udp(both, (a.address, b.address), (1067, 68), bytes(240)))
    expect_none("router advertisement", a, b, router_advertisement(a.mac))
    tagged = ethernet(b.mac, a.mac, VLAN, struct.pack("!HH", 1, IPV4) + udp(both, (a.address, b.address), (1, 2))[14:])
    expect_none("VLAN tag", a, b, tagged)
    expect_none("another protocol", a, b, ethernet(b.mac, a.mac, 0x88B5, b"hello" * 10))
    neighbour = ipv6(both, ("fe80::2", "fe80::3"), 17, struct.pack("!HHHH", 1, 1, 8, 0))
    expect_none("IPv6", a, b, neighbour)


def flood(attacker: Guest, bridge: str, limit: int) -> None:
    """Send frames of many MAC addresses; the bridge learns few."""
    macs = [f"02:ff:00:00:{number >> 8:02x}:{number & 255:02x}" for number in range(6000)]
    attacker.send(*[arp((mac, attacker.address), (BROADCAST, "10.66.1.99")) for mac in macs])
    learned = run("bridge", "fdb", "show", "br", bridge).count("02:ff:00:00")
    print(f"flood of {len(macs)} MAC addresses by {attacker.tap}: {learned} learned, at most {limit} may be")
    assert learned <= limit


def host_and_beyond(a: Guest, closed: Guest) -> None:
    """Try the host's services, and what is beyond it."""
    listeners = [socket.create_server(("0.0.0.0", port)) for port in (22, 8080)]

    def ports(guest: Guest, address: str, port: int) -> bytes:
        """Return a request to connect to a port."""
        return tcp_syn(*guest.to_host(address), (40000 + port, port))

    asked = [ports(a, ELSEWHERE, 8080), ports(a, "198.51.100.1", 8080), ports(a, "10.66.2.1", 8080)]
    asked += [echo_request(*a.to_host(ELSEWHERE)), ports(a, "10.66.1.1", 22)]
    assert answered(a, *asked, ports(a, "10.66.1.1", 8080), by="10.66.1.1") == []
    assert answered(a, echo_request(*a.to_host(METADATA)), echo_request(*a.to_host(OUTSIDE)), by=OUTSIDE) == []
    print("host: no answer of other addresses and ports, nor of the metadata service; the declared port and NAT answer")
    closed.send(*[echo_request(*closed.to_host(to)) for to in ("10.66.2.1", OUTSIDE, a.address, ELSEWHERE)])
    assert not [frame for frame in closed_until_host_asks(closed) if source_of(frame)]
    print("closed: 4 sent, 0 answered, then the host's own connection")
    for listener in listeners:
        listener.close()


def closed_until_host_asks(guest: Guest) -> list[bytes]:
    """Let the host connect to a guest; return what the guest has received before."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knock:
        knock.sendto(b"knock", (guest.address, 4242))
        return guest.received_until(lambda frame: frame.endswith(b"knock"))


def from_outside(a: Guest, closed: Guest) -> None:
    """Let a peer beyond the host, which has a route to the guests, send to them, then the host."""
    for guest in (a, closed):
        script = f"import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'outside', ('{guest.address}', 4242))"
        run("ip", "netns", "exec", "outside", sys.executable, "-c", script)
        assert not [frame for frame in closed_until_host_asks(guest) if frame.endswith(b"outside")]
    print("from outside: 2 sent, 0 received, then the host's own")


def isolated(x: Guest, y: Guest) -> None:
    """Neighbours that are kept from each other reach only the host."""
    x.send(marker(x), udp((x.mac, y.mac), (x.address, y.address), (1, 2)))
    x.send(udp(*x.to_host(y.address), (1, 2)))
    assert not [frame for frame in closed_until_host_asks(y) if source_of(frame) == x.address or marker(x) == frame]
    assert answered(x, echo_request(*x.to_host("10.66.3.1")), by="10.66.3.1") == []
    print("isolated: 3 sent, 0 received")


def no_ipv6(a: Guest) -> None:
    """Nothing of IPv6 comes to the host or through it, whatever it forwards."""
    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
    assert run("ip", "-6", "address", "show", "dev", "nat0") == ""
    for target in ("2001:db8::2", "2001:db8::1", "fe80::1"):
        a.send(ipv6((a.mac, a.bridge_mac), ("2001:db8:1::9", target), 58, struct.pack("!BBHHH", 128, 0, 0, 7, 1)))
    assert answered(a, echo_request(*a.to_host("10.66.1.1")), by="10.66.1.1") == []
    print("IPv6: 3 sent, 0 answered")


def flushed(a: Guest, b: Guest, closed: Guest) -> None:
    """Delete all rules: the watch loads them again, and until then closed networks and MAC addresses are bound."""
    run("nft", "flush", "ruleset")
    lock = ethernet(b.mac, "02:66:66:66:66:66", IPV4, bytes(46))
    expect_none("forged MAC without any rules", a, b, lock)
    closed.send(echo_request(*closed.to_host(OUTSIDE)))
    assert not [frame for frame in closed_until_host_asks(closed) if source_of(frame) == OUTSIDE]
    Path("/run/watch").write_text(watch_script("/run/network.nft"))
    with subprocess.Popen(["bash", "/run/watch"]) as watch:
        for _time in range(3):
            wait_for_rules()
            expect_none("ARP for the bridge, rules back", a, b, arp((a.mac, "10.66.1.1"), b.identity, REPLY))
            run("nft", "flush", "ruleset")
        wait_for_rules()
        run("nft", "add table inet other; delete table inet other")
        run("nft", "-f", "/run/network.nft")
        run("nft", "delete", "table", "bridge", "microvm_fleet")
        wait_for_rules()
        watch.terminate()
    print("rules were loaded again 5 times")


def wait_for_rules() -> None:
    """Wait until both tables are there."""
    deadline = time.monotonic() + PATIENCE
    listed = ("nft", "--terse", "list", "table")
    while any(
        subprocess.run([*listed, family, "microvm_fleet"], capture_output=True, check=False).returncode
        for family in ("inet", "bridge")
    ):
        assert time.monotonic() < deadline, "the rules are not loaded again"


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    set_up_host()
    for path in Path("/proc/sys/net/bridge").glob("bridge-nf-call-*"):
        path.write_text(sys.argv[1])
    write_configuration()
    a = Guest("tap-a", "nat0", "02:00:00:00:00:0a", "10.66.1.10", "02:00:00:00:00:0a", "10.66.1.10")
    b = Guest("tap-b", "nat0", "02:00:00:00:00:0b", "10.66.1.11", "02:00:00:00:00:0b", "dhcp")
    leased = Guest("tap-d", "nat0", "02:00:00:00:00:0d", "10.66.1.13", "02:00:00:00:00:0D", "dhcp")
    unknown = Guest("tap-u", "nat0", "02:00:00:00:00:0e", "10.66.1.14")
    closed = Guest("tap-c", "closed0", "02:00:00:00:00:0c", "10.66.2.10", "02:00:00:00:00:0c", "10.66.2.10")
    apart = [
        Guest(f"tap-{n}", "apart0", f"02:00:00:00:01:0{n}", f"10.66.3.1{n}", f"02:00:00:00:01:0{n}", f"10.66.3.1{n}")
        for n in (1, 2)
    ]
    attacks_on_neighbours(a, b)
    expect_none("address of another's lease", b, a, arp((b.mac, "10.66.1.13"), a.identity))
    expect_none("address beside the lease", leased, a, arp((leased.mac, "10.66.1.50"), a.identity))
    expect_none(
        "neighbour's MAC by a tap without one", unknown, a, udp((b.mac, a.mac), (unknown.address, a.address), (1, 1))
    )
    expect_none(
        "ARP for the bridge by a tap without MAC", unknown, a, arp((unknown.mac, "10.66.1.1"), a.identity, REPLY)
    )
    expect_none("RA by a tap without MAC", unknown, a, router_advertisement(unknown.mac))
    request = udp((b.mac, BROADCAST), ("0.0.0.0", "255.255.255.255"), (68, 67), bytes(240))
    b.send(request)
    a.received_until(request)
    print("DHCP request: 1 sent, 1 received")
    flood(a, "nat0", 0)
    host_and_beyond(a, closed)
    from_outside(a, closed)
    isolated(*apart)
    no_ipv6(a)
    flushed(a, b, closed)
    flood(unknown, "nat0", 4096)
    bash("unbind_tap tap-a")
    assert "tap-a" not in run("nft", "list", "table", "bridge", "microvm_fleet")
    assert "tap-b" in run("nft", "list", "table", "bridge", "microvm_fleet")
    print("all is well")


if __name__ == "__main__":
    main()
