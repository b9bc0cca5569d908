# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Forwarded ports, guests that are allowed, and limits of guests, counted packet by packet.

Runs in namespaces of its own; 1 as argument switches br_netfilter on.
"""

from __future__ import annotations

import ctypes
import os
import re
import select
import socket
import struct
from pathlib import Path

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from frames import source_of, udp
from probe import ELSEWHERE, OUTSIDE, PATIENCE, Guest, begin, known, run

PUBLIC = "198.51.100.1"
"""Address of the host to the world."""
UDP = 17


def forward(port: int, guest: str, guest_port: int, **more: object) -> dict[str, object]:
    """Return a forwarded port."""
    address = {"address": more.pop("address")} if "address" in more else {}
    ends = {"host": {"port": port, **address}, "guest": {"address": guest, "port": guest_port}}
    return {"proto": "udp", **ends, **more}


NETWORKS = parse_networks(
    [
        {
            "name": "nat0",
            "address": "10.66.1.1/24",
            "nat": True,
            "forward_ports": [
                forward(8080, "10.66.1.10", 80),
                forward(8081, "10.66.1.10", 81, sources=["203.0.113.0/24", "203.0.113.7"]),
                forward(8082, "10.66.1.10", 82, address=ELSEWHERE),
                forward(8083, "10.66.1.10", 83, sources=[OUTSIDE, "203.0.113.0/24"]),
            ],
        },
        {
            "name": "apart0",
            "address": "10.66.2.1/24",
            "nat": True,
            "isolate": True,
            "forward_ports": [forward(9000, "10.66.2.10", 90)],
            "allow": [{"from": "10.66.1.10", "to": "10.66.2.10", "ports": ["udp/5432", "tcp/22"]}],
        },
        {"name": "closed0", "address": "10.66.3.1/24"},
        {"name": "few0", "address": "10.66.4.1/24", "nat": True, "limits": {"connections": 20, "new_connections": 0}},
        {"name": "slow0", "address": "10.66.5.1/24", "nat": True, "limits": {"connections": 0, "new_connections": 1}},
    ]
)


def socket_in(namespace: str, family: int = socket.AF_INET) -> socket.socket:
    """Return a socket for datagrams in another namespace."""
    clone_newnet = 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    own, other = (os.open(path, os.O_RDONLY) for path in ("/proc/self/ns/net", f"/run/netns/{namespace}"))
    assert libc.setns(other, clone_newnet) == 0
    peer = socket.socket(family, socket.SOCK_DGRAM)
    assert libc.setns(own, clone_newnet) == 0
    return peer


def datagram(frame: bytes, payload: bytes) -> tuple[str, int, int] | None:
    """Return who sends a certain datagram: address, port, and the port that it is sent to."""
    if source_of(frame) is None or frame[23] != UDP or frame[42 : 42 + len(payload)] != payload:
        return None
    source, target = struct.unpack("!HH", frame[34:38])
    return socket.inet_ntoa(frame[26:30]), source, target


def received(guest: Guest, payload: bytes, *unwanted: bytes) -> tuple[str, int, int]:
    """Return who has sent a datagram that a guest receives; none of others have come before."""
    seen: list[tuple[str, int, int]] = []

    def is_last(frame: bytes) -> bool:
        seen.extend(filter(None, [datagram(frame, payload)]))
        return bool(seen)

    before = guest.received_until(is_last)
    assert not [frame for frame in before for other in unwanted if datagram(frame, other)], unwanted
    return seen[0]


def answer(guest: Guest, request: tuple[str, int, int], payload: bytes) -> None:
    """Send a datagram back to where a request came from, by way of the host."""
    address, port, own_port = request
    guest.send(udp(*guest.to_host(address), (own_port, port), payload))


def answered(peer: socket.socket, payload: bytes) -> tuple[str, int]:
    """Return where the answer to a peer comes from."""
    assert select.select([peer], [], [], PATIENCE)[0], f"no answer {payload!r}"
    data, sender = peer.recvfrom(100)
    assert data == payload
    return str(sender[0]), int(sender[1])


def from_outside(a: Guest) -> None:
    """Let a peer beyond the host send to what is forwarded, and to what is not."""
    of_others = f"ip daddr {PUBLIC} udp dport 8085 dnat to 10.66.1.10:80"
    run("nft", f"table ip o {{ chain c {{ type nat hook prerouting priority -101; {of_others}; }}; }}")
    targets = ((PUBLIC, 8081), (PUBLIC, 8082), ("10.66.1.1", 8080), (a.address, 80), (PUBLIC, 80), (PUBLIC, 8085))
    with socket_in("outside") as peer:
        for target in targets:
            peer.sendto(b"denied", target)
        for payload, port, guest_port in ((b"first", 8080, 80), (b"second", 8083, 83)):
            peer.sendto(payload, (PUBLIC, port))
            request = received(a, payload, b"denied")
            assert (request[0], request[2]) == (OUTSIDE, guest_port)
            answer(a, request, b"answer")
            assert answered(peer, b"answer") == (PUBLIC, port)
    run("nft", "delete", "table", "ip", "o")
    print(f"from outside: {len(targets)} denied, 0 received; 2 forwarded, 2 received and answered")


def from_another_interface(a: Guest, elsewhere: Guest) -> None:
    """An interface that is no uplink leads to no guest, even where the host forwards its packets."""
    Path("/proc/sys/net/ipv4/conf/else0/forwarding").write_text("1")
    elsewhere.send(udp(*elsewhere.to_host(PUBLIC), (4000, 8080), b"denied"))
    elsewhere.send(udp(*elsewhere.to_host(ELSEWHERE), (4000, 8082), b"denied"))
    from_host(a)
    print("from another interface: 2 sent, 0 received")


def from_host(a: Guest) -> None:
    """Processes of the host reach forwarded ports too, but for its services at addresses of bridges."""
    with socket.socket(type=socket.SOCK_DGRAM) as peer, socket.socket(type=socket.SOCK_DGRAM) as service:
        service.bind(("10.66.1.1", 8080))
        peer.sendto(b"own service", ("10.66.1.1", 8080))
        answered(service, b"own service")
        for target in ((PUBLIC, 8080), (ELSEWHERE, 8082)):
            peer.sendto(b"from the host", target)
            answer(a, received(a, b"from the host", b"denied"), b"answer")
            assert answered(peer, b"answer") == target


def hairpin(a: Guest, neighbour: Guest, other: Guest) -> None:
    """Guests of the same network and of another one reach a forwarded port at the host's address, and are answered."""
    for guest, payload in ((neighbour, b"of the neighbour"), (other, b"of another network")):
        for address, port in ((PUBLIC, 8081), (PUBLIC, 8083), ("10.66.1.1", 8080), ("10.66.2.1", 8080), (PUBLIC, 8084)):
            guest.send(udp(*guest.to_host(address), (5000, port), b"denied"))
        guest.send(udp(*guest.to_host(PUBLIC), (5001, 8080), payload))
        answer(a, received(a, payload, b"denied"), b"answer")
        assert received(guest, b"answer")[:2] == (PUBLIC, 8080)
    print("guests at the address of the host: 10 denied, 0 received; 2 forwarded, 2 received and answered")


def closed_and_isolated(a: Guest, closed: Guest, x: Guest, y: Guest) -> None:
    """A closed network stays closed, and neighbours that are kept from each other are."""
    closed.send(*[udp(*closed.to_host(PUBLIC), (6000, port), b"denied") for port in (8080, 9000)])
    y.send(udp(*y.to_host(PUBLIC), (6000, 9000), b"denied"))
    for guest in (a, x):
        expect_none_denied(guest)
    a.send(udp(*a.to_host(PUBLIC), (6000, 9000), b"of another network"))
    assert received(x, b"of another network")[2] == 90
    print("closed and isolated: 3 denied, 0 received; 1 of another network, 1 received")


def expect_none_denied(guest: Guest) -> None:
    """Let the host send to a guest, which has received nothing before that is denied."""
    with socket.socket(type=socket.SOCK_DGRAM) as host:
        host.sendto(b"last", (guest.address, 4242))
        received(guest, b"last", b"denied")


def allowed(a: Guest, b: Guest, x: Guest, y: Guest) -> None:
    """One guest reaches one port of another network's guest, which sees its address; nothing else passes."""
    a.send(*[udp(*a.to_host(x.address), (7000, port), b"denied") for port in (5433, 90, 22)])
    a.send(udp(*a.to_host(y.address), (7000, 5432), b"denied"))
    b.send(udp(*b.to_host(x.address), (7000, 5432), b"denied"))
    x.send(*[udp(*x.to_host(a.address), (7002, port), b"denied") for port in (5432, 80)])
    a.send(udp(*a.to_host(x.address), (7001, 5432), b"allowed"))
    request = received(x, b"allowed", b"denied")
    assert request == (a.address, 7001, 5432)
    answer(x, request, b"answer")
    assert received(a, b"answer", b"denied")[:2] == (x.address, 5432)
    expect_none_denied(y)
    print("allowed: 7 denied, 0 received; 1 allowed, received and answered")


def limits(few: Guest, neighbour: Guest, slow: Guest) -> None:
    """A guest has as many connections as it may, and begins them as fast as it may; its neighbour is not concerned."""
    run("nft", "table ip counts { chain c { type filter hook postrouting priority 300; }; }")
    for number in (40000, 41000, 42000):
        run("nft", f"add rule ip counts c udp dport {number} counter")
    for guest, number, sent in ((few, 40000, 40), (neighbour, 41000, 5), (slow, 42000, 40)):
        guest.send(*[udp(*guest.to_host(OUTSIDE), (10000 + port, number), b"x") for port in range(sent)])
    counts = [int(count) for count in re.findall(r"packets (\d+)", run("nft", "list", "table", "ip", "counts"))]
    assert counts[:2] == [20, 5] and 5 <= counts[2] < 40, counts
    with socket.socket(type=socket.SOCK_DGRAM) as resolver:
        resolver.bind(("10.66.5.1", 53))
        slow.send(*[udp(*slow.to_host("10.66.5.1"), (20000, 53), b"query") for _query in range(40)])
        queries = 0
        while select.select([resolver], [], [], 0)[0]:
            resolver.recv(100)
            queries += 1
    assert queries < 40
    print(f"limits: of 40 new connections {counts[0]} and {counts[2]} passed, of 40 DNS queries {queries}")


def listed_rules() -> str:
    return run("nft", "--terse", "--stateless", "list", "table", "inet", "microvm_fleet")


def main() -> None:
    begin(NETWORKS)
    rules = listed_rules()
    a, b = known("tap-a", "nat0", "00:0a", "10.66.1.10"), known("tap-b", "nat0", "00:0b", "10.66.1.11")
    x, y = known("tap-x", "apart0", "01:0a", "10.66.2.10"), known("tap-y", "apart0", "01:0b", "10.66.2.11")
    closed = known("tap-c", "closed0", "00:0c", "10.66.3.10")
    few, neighbour = known("tap-f", "few0", "02:0a", "10.66.4.10"), known("tap-g", "few0", "02:0b", "10.66.4.11")
    slow = known("tap-s", "slow0", "02:0c", "10.66.5.10")
    elsewhere = Guest("tap-e", "else0", "02:00:00:00:01:05", "10.99.0.10")
    from_outside(a)
    from_another_interface(a, elsewhere)
    hairpin(a, b, x)
    closed_and_isolated(a, closed, x, y)
    allowed(a, b, x, y)
    limits(few, neighbour, slow)
    assert listed_rules() == rules, "a run would take them for changed"
    print("all is well")


if __name__ == "__main__":
    main()
