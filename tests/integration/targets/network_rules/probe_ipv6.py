# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""IPv6 of networks, counted frame by frame. Runs in namespaces of its own; 1 as argument switches br_netfilter on."""

from __future__ import annotations

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
from frames import echo_request6, ipv6, neighbour, router_advertisement, source_of6, udp6
from probe import PATIENCE, Guest, bash, make_bridges, run, write_configuration

OUTSIDE, UPLINK = "2001:db8::2", "2001:db8::1"
ELSEWHERE = "2001:db8:e::1"
METADATA = "fd00:ec2::254"
ALL_NODES = ("33:33:00:00:00:01", "ff02::1")
ALL_ROUTERS = ("33:33:00:00:00:02", "ff02::2")
SOLICITATION, ADVERTISEMENT = 135, 136
BY_INTERFACE = Path("/proc/sys/net/ipv6/conf/default/force_forwarding").exists()
OF_ALL = Path("/proc/sys/net/ipv6/conf/all/forwarding")


def network(number: int, name: str, **options: object) -> dict[str, object]:
    subnet6 = {"address": f"fd00:66:{number}::1/64", **options.pop("ipv6", {})}  # type: ignore[dict-item]
    return {"name": name, "address": f"10.66.{number}.1/24", "ipv6": subnet6, **options}


NETWORKS = parse_networks(
    [
        network(1, "nat0", ipv6={"outside": "nat"}, host_ports=["udp/8080"]),
        network(2, "closed0", host_access="none"),
        network(3, "routed0", ipv6={"outside": "routed"}, nat=True, isolate=True, host_access="all", metadata=True),
        {"name": "plain0", "address": "10.66.4.1/24", "nat": True},
    ]
)


class Guest6(Guest):
    """A guest with IPv6 at the far end of a tap."""

    def __init__(self, tap: str, number: int, bridge: str, *listed: str) -> None:
        self.link_local = f"fe80::ff:fe00:{number:x}"
        self.subnet = f"fd00:66:{tap[-1]}::"
        self.own = f"{self.subnet}ff:fe00:{number:x}"
        mac = f"02:00:00:00:00:{number:02X}"
        super().__init__(tap, bridge, mac.lower(), listed[0] if listed else self.own, mac, *listed)

    def received_until(self, last: object) -> list[bytes]:
        """Return the frames before a certain one; answers meanwhile who asks for the guest as a neighbour."""
        deadline, frames = time.monotonic() + PATIENCE, []
        while True:
            ready, *_others = select.select([self.file], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"{self.tap} has not received the expected frame, but {[f.hex() for f in frames]}")
            frame = os.read(self.file, 4096)
            if last(frame) if callable(last) else frame == last:
                return frames
            target = frame[62:78]
            if frame[20:21] == b"\x3a" and frame[54] == SOLICITATION and target == packed(self.address):
                asker = (socket.inet_ntop(socket.AF_INET6, frame[22:38]), frame[6:12].hex(":"))
                self.send(neighbour(ADVERTISEMENT, (self.mac, asker[1]), (self.address, asker[0]), self.address))
            frames.append(frame)

    def toward(self, other: Guest6) -> tuple[str, str]:
        """Return the addresses of a packet to a neighbour."""
        return self.address, other.address

    def marker(self) -> bytes:
        """Return a multicast that is allowed: the guest asks for a neighbour that is not there."""
        return neighbour(SOLICITATION, (self.mac, ALL_NODES[0]), (self.link_local, ALL_NODES[1]), f"{self.subnet}99")


def packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, address)


def set_up_host() -> None:
    """Create the host's interfaces, a peer beyond it, and what role ``network`` writes."""
    script = f"""
ip link set lo up
ip netns add outside
ip link add up0 type veth peer name eth0 netns outside
ip -6 addr add {UPLINK}/64 dev up0 nodad; ip link set up0 up
ip -n outside link set lo up; ip -n outside link set eth0 up
ip -n outside -6 addr add {OUTSIDE}/64 dev eth0 nodad
ip -n outside -6 addr add {METADATA}/128 dev lo nodad
ip -6 route add default via {OUTSIDE}
ip -n outside -6 route add fd00:66::/32 via {UPLINK}
ip link add else0 type bridge; ip link set else0 up; ip -6 addr add {ELSEWHERE}/64 dev else0 nodad
nft 'table inet elsewhere {{ chain c {{
    type filter hook postrouting priority 0; oifname else0 udp dport 80 counter; }}; }}'
ip netns exec outside nft 'table inet seen {{ set sources {{ type ipv6_addr; flags dynamic; size 99; }}
    chain c {{ type filter hook input priority 0; icmpv6 type echo-request add @sources {{ ip6 saddr }}; }}; }}'
"""
    subprocess.run(["bash", "-euc", script], check=True)
    if not BY_INTERFACE:
        OF_ALL.write_text("1")
    make_bridges(NETWORKS)
    write_configuration(NETWORKS)


def expect_none(what: str, attacker: Guest6, victim: Guest6, *frames: bytes) -> None:
    """Send frames that must not come to the victim, then one that must."""
    attacker.send(*frames, attacker.marker())
    seen = [frame for frame in victim.received_until(attacker.marker()) if frame in frames]
    print(f"{what}: {len(frames)} sent, {len(seen)} received, then the allowed one")
    assert seen == [], what


def expect_all(what: str, sender: Guest6, receiver: Guest6, *frames: bytes) -> None:
    for frame in frames:
        sender.send(frame)
        receiver.received_until(frame)
    print(f"{what}: {len(frames)} sent, {len(frames)} received")


def neighbours(a: Guest6, b: Guest6) -> None:
    """Forge what a guest can forge; what it may send comes to its neighbour."""
    both, everybody = (a.mac, b.mac), (a.mac, ALL_NODES[0])
    for source in (b.address, "fd00:66:1::1", "fd00:66:1::77", b.link_local, "fe80::1"):
        expect_none(f"source {source}", a, b, udp6(both, (source, b.address), (1, 1)))
        expect_none("advertisement", a, b, neighbour(ADVERTISEMENT, everybody, (a.address, ALL_NODES[1]), source))
        expect_none("foreign sender", a, b, neighbour(ADVERTISEMENT, everybody, (source, ALL_NODES[1]), a.address))
        expect_none("solicitation", a, b, neighbour(SOLICITATION, both, (source, b.address), b.address))
        expect_none("search for duplicates", a, b, neighbour(SOLICITATION, everybody, ("::", ALL_NODES[1]), source))
        expect_none("without address", a, b, neighbour(ADVERTISEMENT, everybody, ("::", ALL_NODES[1]), source))
    expect_none("another MAC", a, b, neighbour(SOLICITATION, ("02:66:66:66:66:66", b.mac), a.toward(b), b.address))
    expect_none("router advertisement", a, b, router_advertisement(a.mac))
    for kind, name in ((134, "router advertisement"), (137, "redirect"), (130, "query of multicast listeners")):
        expect_none(
            f"{name} from its own address", a, b, ipv6(both, a.toward(b), 58, struct.pack("!BBHI32x", kind, 0, 0, 0))
        )
    expect_none("DHCPv6 server", a, b, udp6(both, a.toward(b), (547, 546)), udp6(both, a.toward(b), (1, 546)))
    hidden = struct.pack("!BBHI", 60, 0, 1, 7) + struct.pack("!BBHI", 58, 7, 0, 0)
    expect_none("protocol hidden in a fragment", a, b, ipv6(both, a.toward(b), 44, hidden))
    short = struct.pack("!BBHI", 58, 0, 1, 7) + struct.pack("!BBHI", ADVERTISEMENT, 0, 0, 0)
    expect_none("fragment without its target", a, b, ipv6(both, a.toward(b), 44, short))
    for source in (a.address, a.own, a.link_local):
        expect_all(
            f"own address {source}",
            a,
            b,
            neighbour(SOLICITATION, both, (source, b.address), b.address),
            neighbour(ADVERTISEMENT, both, (source, b.address), source),
            neighbour(SOLICITATION, everybody, ("::", ALL_NODES[1]), source),
            udp6(both, (source, b.address), (1, 1)),
        )
    solicitation = struct.pack("!BBHI", 133, 0, 0, 0)
    expect_all("router solicitation", a, b, ipv6((a.mac, ALL_ROUTERS[0]), ("::", ALL_ROUTERS[1]), 58, solicitation))


def answered(guest: Guest6, *frames: bytes, by: str) -> set[str]:
    """Send packets; return who answers before the last one's destination does."""
    guest.send(*frames)
    return {source_of6(frame) for frame in guest.received_until(lambda frame: source_of6(frame) == by)} - {""}


def echoes(guest: Guest6, *targets: str) -> list[bytes]:
    return [echo_request6((guest.mac, guest.bridge_mac), (guest.address, target)) for target in targets]


def datagram(guest: Guest6, target: str, port: int) -> bytes:
    return udp6((guest.mac, guest.bridge_mac), (guest.address, target), (4000, port))


def sources() -> str:
    """Return the sources of what came to the peer outside, and forget them."""
    listed = run("ip", "netns", "exec", "outside", "nft", "list", "set", "inet", "seen", "sources")
    run("ip", "netns", "exec", "outside", "nft", "flush", "set", "inet", "seen", "sources")
    return listed.partition("elements")[2]


def host_and_beyond(a: Guest6, closed: Guest6, routed: Guest6, plain: Guest6) -> None:
    """Try the host's addresses, and what is beyond it."""
    asked = [datagram(a, "fd00:66:1::1", 22), *echoes(a, UPLINK, "fd00:66:2::1", "fd00:66:1::", METADATA)]
    asked += [datagram(a, METADATA, 80), *echoes(a, closed.address, routed.address), *echoes(a, OUTSIDE)]
    assert answered(a, *asked, by=OUTSIDE) == set()
    assert UPLINK in sources(), "NAT has not taken place"
    for port in (53, 8080):
        assert answered(a, datagram(a, "fd00:66:1::1", port), by="fd00:66:1::1") == set()
    assert answered(a, *echoes(a, "fd00:66:1::1"), by="fd00:66:1::1") == set()
    forged = echo_request6((a.mac, a.bridge_mac), ("fd00:66:1::77", OUTSIDE))
    assert answered(a, forged, *echoes(a, OUTSIDE), by=OUTSIDE) == set()
    assert "fd00:66" not in sources()
    print("NAT: the world and what is permitted of the host answer, nothing else does")
    assert answered(routed, *echoes(routed, METADATA, UPLINK, OUTSIDE), by=OUTSIDE) == {METADATA, UPLINK}
    assert routed.address in sources()
    print("routed: the world sees the guest's own address")
    closed.send(*echoes(closed, "fd00:66:2::1", OUTSIDE, a.address), datagram(closed, "fd00:66:2::1", 53))
    plain.send(*echoes(plain, "fe80::1", OUTSIDE))
    assert not [frame for frame in until_host_asks(closed) if source_of6(frame)]
    assert sources() == ""
    assert run("ip", "-6", "address", "show", "dev", "plain0") == ""
    print("closed: 4 sent, 0 answered, then the host's own; without IPv6: 2 sent, 0 outside")


def beyond_uplinks(*guests: Guest6) -> None:
    """Nothing leaves by an interface that is no uplink."""
    for guest in guests:
        guest.send(datagram(guest, "2001:db8:e::9", 80))
        assert answered(guest, *echoes(guest, OUTSIDE), by=OUTSIDE) == set()
    assert "packets 0 bytes 0" in run("nft", "list", "table", "inet", "elsewhere")
    sources()
    print(f"beyond uplinks: {len(guests)} sent, 0 leave")


def until_host_asks(guest: Guest6) -> list[bytes]:
    """Let the host connect to a guest; return what the guest has received before."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as knock:
        knock.sendto(b"knock", (guest.address, 4242))
        return guest.received_until(lambda frame: frame.endswith(b"knock"))


def from_outside(*guests: Guest6) -> None:
    """Let a peer beyond the host, which has a route to the guests, send to them, then the host."""
    for guest in guests:
        script = f"import socket; s = socket.socket(10, 2); s.sendto(b'outside', ('{guest.address}', 4242))"
        run("ip", "netns", "exec", "outside", sys.executable, "-c", script)
        assert not [frame for frame in until_host_asks(guest) if frame.endswith(b"outside")]
    print(f"from outside: {len(guests)} sent, 0 received, then the host's own")


def others(a: Guest6, plain: Guest6, isolated: Guest6, routed: Guest6) -> None:
    """Taps without a MAC address, networks without IPv6 and isolated neighbours exchange nothing of it."""
    unknown = Guest("tap-u1", "nat0", "02:00:00:00:00:0e", "10.66.1.14")
    unknown.send(udp6((unknown.mac, a.mac), ("fe80::ff:fe00:e", a.address), (1, 1)))
    plain_message = udp6((plain.mac, ALL_NODES[0]), (plain.link_local, "ff02::1"), (1, 1))
    plain.send(plain_message)
    isolated.send(isolated.marker(), udp6((isolated.mac, routed.mac), (isolated.address, routed.address), (1, 1)))
    isolated.send(datagram(isolated, routed.address, 1))
    for guest in (a, routed):
        frames = until_host_asks(guest)
        assert not [
            frame
            for frame in frames
            if frame[6:12] in macs_of(unknown, plain, isolated) or b"\x00\x01\x00\x01" in frame[54:58]
        ]
    print("no MAC address, no IPv6, isolated: 5 sent, 0 received")


def macs_of(*guests: Guest) -> list[bytes]:
    return [bytes.fromhex(guest.mac.replace(":", "")) for guest in guests]


def without_rules(closed: Guest6) -> None:
    """Without any rules a closed network reaches the host at most, where packets are forwarded by interface."""
    run("nft", "flush", "ruleset")
    if BY_INTERFACE:
        assert OF_ALL.read_text() == "0\n"
        closed.send(*echoes(closed, OUTSIDE))
        assert answered(closed, *echoes(closed, "fd00:66:2::1"), by="fd00:66:2::1") == set()
        assert sources() == ""
        print("closed, without any rules: 1 sent, 0 outside")
    run("nft", "-f", "/run/network.nft")


def bindings(a: Guest6) -> None:
    """What a tap is bound to goes with it, and comes back with the rules."""
    table = ("nft", "list", "table", "bridge", "microvm_fleet")
    assert run(*table).count(f'"{a.tap}" .') == 1 + 3 + 3, run(*table)
    os.close(a.file)
    bash(f"ip link delete dev {a.tap}; unbind_missing_taps")
    assert a.tap not in run(*table)
    assert not list(Path(names.TAP_RULES_DIRECTORY).glob(f"*{a.tap}*"))
    print("a tap that has gone is bound to nothing")


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    set_up_host()
    for path in Path("/proc/sys/net/bridge").glob("bridge-nf-call-*"):
        path.write_text(sys.argv[1])
    a = Guest6("tap-a1", 0x0A, "nat0", "fd00:66:1::10")
    b = Guest6("tap-b1", 0x0B, "nat0")
    closed = Guest6("tap-c2", 0x0C, "closed0")
    routed = Guest6("tap-r3", 0x0D, "routed0", "fd00:66:3::10")
    isolated = Guest6("tap-i3", 0x10, "routed0")
    plain = Guest6("tap-p4", 0x0F, "plain0")
    neighbours(a, b)
    host_and_beyond(a, closed, routed, plain)
    beyond_uplinks(a, routed)
    from_outside(a, closed, routed)
    others(a, plain, isolated, routed)
    without_rules(closed)
    neighbours(a, b)
    bindings(a)
    print("all is well")


if __name__ == "__main__":
    main()
