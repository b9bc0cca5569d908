# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests of routed networks: what comes through, and what does not, counted frame by frame."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from frames import REPLY, arp, echo_request, router_advertisement, source_of, udp

NETWORKS: list[dict[str, Any]] = [
    {"name": "route0", "address": "10.66.5.1/24", "mode": "routed", "nat": True},
    {"name": "route1", "address": "10.66.6.1/24", "mode": "routed", "isolate": True, "host_access": "none"},
    {
        "name": "route2",
        "address": "10.66.7.1/24",
        "mode": "routed",
        "limits": {"connections": 10, "new_connections": 0},
    },
]
ROUTES = "ip -4 route show dev {}"


def output(command: str) -> str:
    return subprocess.run(command.split(), check=True, stdout=subprocess.PIPE, text=True).stdout


def packet(guest: Any, address: str, word: bytes, source: str = "") -> bytes:
    """Return a datagram by way of the host."""
    macs = (guest.mac, guest.bridge_mac)
    return udp(macs, (source or guest.address, address), (4000, 4242), word)


def knock(guest: Any) -> list[bytes]:
    """Let the host send to a guest; return what the guest has received before."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        host.sendto(b"knock", (guest.address, 4242))
        return list(guest.received_until(lambda frame: frame.endswith(b"knock")))


def received(attacker: Any, victim: Any, *frames: bytes) -> int:
    """Return how many datagrams that end with a word come to a guest before one of the host."""
    attacker.send(*frames)
    return sum(frame.endswith(b"word") for frame in knock(victim))


def check(
    known: Callable[..., Any], bash: Callable[[str], None], repair: Callable[[str], None], neighbour: Any
) -> None:
    """Let guests of each network send what they may and what they may not."""
    a, b = (routed(known, f"tap-r{n}", "route0", f"02:0{n}", f"10.66.5.1{n}") for n in (1, 2))
    x, y = (routed(known, f"tap-x{n}", "route1", f"03:0{n}", f"10.66.6.1{n}") for n in (1, 2))
    u, v = (routed(known, f"tap-u{n}", "route2", f"04:0{n}", f"10.66.7.1{n}") for n in (1, 2))
    assert output("ls /sys/class/net/route0/brif") == ""
    assert output(ROUTES.format("tap-r1")).split()[:1] == ["10.66.5.11"]
    reaches(a, x, u)
    assert received(a, b, packet(a, b.address, b"word")) == 1
    assert received(u, v, packet(u, v.address, b"word")) == 1
    assert received(x, y, packet(x, y.address, b"word")) == 0, "isolate"
    for victim in (u, x, neighbour):
        assert received(a, victim, packet(a, victim.address, b"word")) == 0, "another network"
    for sender, forged in ((a, b.address), (u, a.address), (neighbour, a.address)):
        assert received(sender, b, packet(sender, b.address, b"word", forged)) == 0, "forged source"
    a.send(arp((a.mac, b.address), (a.bridge_mac, "10.66.5.1"), REPLY), router_advertisement(a.mac))
    knock(b)
    for guest in (a, u):
        script = f"import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'word', ('{guest.address}', 4242))"
        subprocess.run(["ip", "netns", "exec", "outside", "python3", "-c", script], check=True)
        assert not [frame for frame in knock(guest) if frame.endswith(b"word")], "from outside"
    subprocess.run(["ip", "link", "set", "tap-r1", "down"], check=True)
    repair("tap-r1")
    knock(a)
    forged = [
        udp((f"02:66:66:66:66:{n:02x}", u.bridge_mac), (u.address, v.address), (5000 + n, 4242), b"word")
        for n in range(20)
    ]
    assert 0 < received(u, v, *forged) <= 10, "limits count a guest once, whichever MAC address it sends from"
    refused_and_removed(bash)
    print("routed networks: what may pass does, 10 that may not do not")


def routed(known: Callable[..., Any], tap: str, network: str, number: str, address: str) -> Any:
    guest = known(tap, network, number, address)
    guest.bridge_mac = Path(f"/sys/class/net/{tap}/address").read_text().strip()
    return guest


def reaches(a: Any, x: Any, u: Any) -> None:
    """Ask the host, and who is beyond it."""

    def answers(guest: Any, *addresses: str, by: str) -> list[str]:
        guest.send(*[echo_request((guest.mac, guest.bridge_mac), (guest.address, to)) for to in addresses])
        frames = guest.received_until(lambda frame: source_of(frame) == by)
        return [source for source in map(source_of, frames) if source]

    elsewhere = ("10.99.0.1", "198.51.100.1", "169.254.169.254", "10.66.7.1", "10.66.1.1")
    assert answers(a, *elsewhere, "10.66.5.1", by="10.66.5.1") == []
    assert answers(a, "198.51.100.2", by="198.51.100.2") == []
    assert answers(u, "198.51.100.2", "10.66.7.1", by="10.66.7.1") == [], "a closed network"
    x.send(echo_request((x.mac, x.bridge_mac), (x.address, "10.66.6.1")))
    assert not [frame for frame in knock(x) if source_of(frame) == "10.66.6.1" and frame[23] == 1], "host_access: none"


def refused_and_removed(bash: Callable[[str], None]) -> None:
    """Taps that cannot be routed are refused, and nothing of one that has gone is left."""
    for words in ("", "dhcp", "10.66.5.12", "10.66.6.12", "10.66.5.1", "198.51.100.9", "010.66.5.20", "10.66.5.300"):
        bash(f"make_tap tap-z root route0; if bind_tap tap-z 02:00:00:00:05:01 {words} 2> /dev/null; then exit 1; fi")
        assert output(ROUTES.format("tap-z")) == "" and "tap-z" not in output("nft list ruleset"), words
    subprocess.run(["ip", "link", "delete", "dev", "tap-x1"], check=True)
    bash("unbind_missing_taps")
    # The counts of its connections go with these.
    sets = [f"nft list set inet microvm_fleet {name}" for name in ("routed", "routed_addresses")]
    assert "tap-x1" not in "".join(map(output, [*sets, "nft list table bridge microvm_fleet", "ip route"]))
