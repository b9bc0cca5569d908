# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A bridge onto an interface of the host, frame by frame. Runs in namespaces; 1 as argument is for br_netfilter."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration import names
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks import configuration as files
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.link_rules import link_warnings
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.observe_firewalls import (
    SERVICES,
    observe_firewalls,
)
from frames import (
    BROADCAST,
    IPV4,
    REPLY,
    VLAN,
    arp,
    echo_request,
    ethernet,
    ipv6,
    mac_bytes,
    neighbour,
    router_advertisement,
    tcp_syn,
    udp,
    udp6,
)
from probe import Guest, await_carrier, bash, closed_until_host_asks, elements, run

HOST, ROUTER = "192.0.2.1", "192.0.2.254"
BRIDGE_MAC = "02:00:00:00:07:01"
ALL_NODES = ("33:33:00:00:00:01", "ff02::1")
SOLICITATION, ADVERTISEMENT = 135, 136
NETWORKS = parse_networks(
    [
        {"name": "lan0", "link": "up0", "host_ports": ["tcp/8080"]},
        {"name": "apart0", "link": "up1", "isolate": True, "host_access": "none"},
    ]
)


class LanGuest(Guest):
    """A guest in the LAN, or, as ``lan``, everybody else there: the far end of the interface of the host."""

    def __init__(self, tap: str, number: int, address: str, *listed: str, bridge: str = "lan0") -> None:
        self.own = f"ff:fe00:7{number:02x}"
        super().__init__(tap, bridge, f"02:00:00:00:07:{number:02x}", address, *listed)

    @classmethod
    def lan(cls, interface: str, number: int, address: str) -> LanGuest:
        guest = cls.__new__(cls)
        guest.tap, guest.mac, guest.address = interface, f"02:00:00:00:07:{number:02x}", address
        guest.bridge_mac, guest.own = BRIDGE_MAC, f"ff:fe00:7{number:02x}"
        guest.file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(guest.file, 0x400454CA, struct.pack("16sH22x", interface.encode(), 0x1002))
        await_carrier(interface)
        return guest


def set_up_host() -> None:
    """Create the bridges with their interfaces, whose far ends the test has, and what role ``network`` writes."""
    script = f"""
ip link set lo up
for number in 0 1 2; do
    ip tuntap add up$number mode tap
    ip link set up$number up
done
ip link add lan0 address {BRIDGE_MAC} type bridge
ip link add apart0 type bridge
ip link set up0 master lan0
ip link set up1 master apart0
ip addr add {HOST}/24 dev lan0; ip -6 addr add 2001:db8:7::1/64 dev lan0 nodad
for bridge in lan0 apart0; do ip link set $bridge up; done
sysctl -q net.ipv4.ip_forward=1
"""
    subprocess.run(["bash", "-euc", script], check=True)
    for path in Path("/proc/sys/net/bridge").glob("bridge-nf-call-*"):
        path.write_text(sys.argv[1])
    netdev = {"/run/systemd/network/50-microvm-lan0.netdev": f"[NetDev]\nMACAddress={BRIDGE_MAC}\n"}
    texts = files.configuration(NETWORKS, ["lan0"], lan_files=netdev, host_addresses=[HOST, ROUTER])
    names.NETWORK_LIST = "/run/networks.list"
    Path(names.NETWORK_LIST).write_text(texts[files.NETWORK_LIST])
    Path("/run/network.nft").write_text(texts[files.RULES])
    run("nft", "-f", "/run/network.nft")


def marker(guest: Guest) -> bytes:
    """Return a broadcast that is allowed."""
    return arp(guest.identity, (BROADCAST, "192.0.2.99"))


def expect_none(what: str, sender: Guest, receiver: Guest, *frames: bytes) -> None:
    sender.send(*frames, marker(sender))
    seen = [frame for frame in receiver.received_until(marker(sender)) if frame in frames]
    print(f"{what}: {len(frames)} sent, {len(seen)} received, then the allowed one")
    assert seen == [], what


def expect_all(what: str, sender: Guest, receiver: Guest, *frames: bytes) -> None:
    for frame in frames:
        sender.send(frame)
        receiver.received_until(frame)
    print(f"{what}: {len(frames)} sent, {len(frames)} received")


def forged(a: LanGuest, declared: LanGuest, lan: LanGuest) -> None:
    """Forge what a guest can forge: nobody in the LAN, and no neighbour, gets it."""
    for receiver in (lan, declared):
        both = (a.mac, receiver.mac)
        expect_none("forged MAC", a, receiver, arp(("02:66:66:66:66:66", a.address), receiver.identity))
        for address in (HOST, ROUTER, declared.address):
            expect_none(f"ARP for {address}", a, receiver, arp((a.mac, address), receiver.identity, REPLY))
            expect_none(f"source {address}", a, receiver, udp(both, (address, receiver.address), (1, 1)))
        offer = udp((a.mac, BROADCAST), (a.address, "255.255.255.255"), (67, 68), bytes(240))
        advertisement = router_advertisement(a.mac)
        expect_none("DHCP offer, router advertisement", a, receiver, offer, advertisement)
        for source in ("2001:db8:7::1", "2001:db8:7::77", f"2001:db8:7::{lan.own}", "fe80::1"):
            expect_none(f"source {source}", a, receiver, udp6(both, (source, "2001:db8:7::2"), (1, 1)))
            everybody, sources = (a.mac, ALL_NODES[0]), (f"fe80::{a.own}", ALL_NODES[1])
            expect_none("advertisement", a, receiver, neighbour(ADVERTISEMENT, everybody, sources, source))
            expect_none("address in use", a, receiver, neighbour(SOLICITATION, everybody, ("::", ALL_NODES[1]), source))
        server = udp6((a.mac, ALL_NODES[0]), (f"fe80::{a.own}", ALL_NODES[1]), (547, 546))
        tagged = ethernet(receiver.mac, a.mac, VLAN, struct.pack("!HH", 1, IPV4) + bytes(46))
        expect_none("DHCPv6 server, VLAN tag", a, receiver, server, tagged)
    other = declared.address
    expect_none(
        "address beside the declared one", declared, lan, udp((declared.mac, lan.mac), (a.address, other), (1, 1))
    )


def permitted(a: LanGuest, declared: LanGuest, lan: LanGuest) -> None:
    """Let pass in both directions what guests of a LAN need."""
    everybody = (a.mac, ALL_NODES[0])
    request = udp((a.mac, BROADCAST), ("0.0.0.0", "255.255.255.255"), (68, 67), bytes(240))
    by_ipv4 = [marker(a), request, udp((a.mac, lan.mac), (a.address, lan.address), (1, 1))]
    expect_all("IPv4 to the LAN", a, lan, *by_ipv4, udp((a.mac, lan.mac), ("10.7.7.7", lan.address), (1, 1)))
    for source in (f"fe80::{a.own}", f"2001:db8:7::{a.own}", f"fd00:7:7:7:0:{a.own}"):
        expect_all(f"{source} to the LAN", a, lan, udp6((a.mac, lan.mac), (source, "2001:db8:7::2"), (1, 1)))
        expect_all("advertisement", a, lan, neighbour(ADVERTISEMENT, everybody, (source, ALL_NODES[1]), source))
        expect_all("is it free", a, lan, neighbour(SOLICITATION, everybody, ("::", ALL_NODES[1]), source))
    routers = ipv6(everybody, ("::", ALL_NODES[1]), 58, struct.pack("!BBHI", 133, 0, 0, 0))
    expect_all("router solicitation", a, lan, routers)
    own = "2001:db8:7::20"
    messages = (neighbour(ADVERTISEMENT, (declared.mac, ALL_NODES[0]), (own, ALL_NODES[1]), own),)
    expect_all("declared", declared, lan, *messages, udp6((declared.mac, lan.mac), (own, "2001:db8:7::2"), (1, 1)))
    offer = udp((lan.mac, BROADCAST), (lan.address, "255.255.255.255"), (67, 68), bytes(240))
    for guest in (a, declared):
        back = udp((lan.mac, guest.mac), (lan.address, guest.address), (1, 1))
        expect_all("LAN to guest", lan, guest, marker(lan), back, offer, router_advertisement(lan.mac))
    expect_all("neighbours", a, declared, udp((a.mac, declared.mac), (a.address, declared.address), (1, 1)))


def answers(guest: Guest, *frames: bytes, by: str = HOST) -> list[bytes]:
    """Send packets; return the answers before the one to a last ping, each by its protocol and port."""
    guest.send(*frames, echo_request((guest.mac, BRIDGE_MAC), (guest.address, by), identifier=99))
    received = guest.received_until(lambda frame: frame[23:24] == b"\x01" and frame[38:40] == struct.pack("!H", 99))
    is_answer = [
        frame for frame in received if frame[12:14] == struct.pack("!H", IPV4) and frame[6:12].hex(":") == BRIDGE_MAC
    ]
    return [frame[34:36] for frame in is_answer if frame[23] == 6]


def host_access(a: LanGuest, lan: LanGuest) -> None:
    """Ask the host: guests reach what is declared of it, who else is in the LAN reaches it as before."""
    listeners = [socket.create_server(("0.0.0.0", number)) for number in (22, 8080)]
    ports = [struct.pack("!H", number) for number in (22, 8080)]

    def requests(guest: Guest) -> list[bytes]:
        return [tcp_syn((guest.mac, BRIDGE_MAC), (guest.address, HOST), (4000 + to, to)) for to in (22, 8080)]

    assert set(answers(a, *requests(a))) == {ports[1]}
    assert set(answers(lan, *requests(lan))) == set(ports)
    print("host: of 2 ports a guest reaches the declared one, the LAN both")
    for listener in listeners:
        listener.close()
    beyond = "203.0.113.1"
    run("ip", "route", "add", f"{beyond}/32", "dev", "up2")
    run("ip", "neigh", "add", beyond, "lladdr", "02:00:00:00:07:40", "dev", "up2")
    outside = LanGuest.lan("up2", 0x40, beyond)
    packets = [udp((guest.mac, BRIDGE_MAC), (guest.address, beyond), (1, 1), guest.mac.encode()) for guest in (a, lan)]
    a.send(packets[0])
    answers(a)
    lan.send(packets[1])
    seen = outside.received_until(lambda frame: frame.endswith(lan.mac.encode()))
    assert not [frame for frame in seen if frame.endswith(a.mac.encode())]
    print("by way of the host: a guest does not get beyond it, the LAN does")
    closed_until_host_asks(a)
    print("host: 1 packet to a guest, received")


def rules_of_others(lan: LanGuest) -> None:
    """Rules that name the interface match nothing of the LAN any more; a run says so until they name the bridge."""
    listener = socket.create_server(("0.0.0.0", 23))
    request = tcp_syn((lan.mac, BRIDGE_MAC), (lan.address, HOST), (4001, 23))
    run("nft", "add table inet o; add chain inet o i { type filter hook input priority 0; }")
    run("nft", "add rule inet o i iifname up0 tcp dport 23 drop")
    assert said() == ["chain i of table inet o (see nft -a list chain inet o i)"]
    assert answers(lan, request) == [struct.pack("!H", 23)]
    run("nft", "add rule inet o i iifname lan0 tcp dport 23 drop")
    assert said() == [] and answers(lan, request) == []
    run("nft", "delete", "table", "inet", "o")
    listener.close()
    for program in filter(has_rules, ("iptables-legacy", "ip6tables-legacy")):
        run(program, "-A", "INPUT", "-i", "up+", "-p", "tcp", "-j", "DROP")
        assert said() == [f"chain INPUT of table filter of {program} (see {program} -t filter -S INPUT)"]
        run(program, "-D", "INPUT", "1")
    print("rules of others: those that name the interface alone drop nothing, and are named")


def has_rules(program: str) -> bool:
    """Return whether the kernel has the rules of a program, which distributions have as well as nftables or not."""
    command = [program, "-S"]
    return bool(shutil.which(program)) and subprocess.run(command, check=False, capture_output=True).returncode == 0


def said() -> list[str]:
    """Return where a run says that rules of others miss packets of the interface of the first network."""
    others = observe_firewalls(
        {name: Unit() for name in SERVICES}, ("inet microvm_fleet", "bridge microvm_fleet"), True
    )
    messages = [*link_warnings(others, NETWORKS[:1], [], frozenset())]
    return [message.partition("has its rules: ")[2] for message in messages]


def by_way_of_the_host(a: LanGuest, declared: LanGuest) -> None:
    """The host forwards packets, but carries none from a guest to a neighbour, which isolation may keep it from."""
    run("ip", "neighbour", "replace", declared.address, "lladdr", declared.mac, "dev", "lan0")
    a.send(udp((a.mac, BRIDGE_MAC), (a.address, declared.address), (1, 1), b"routed"), marker(a))
    seen = [frame for frame in declared.received_until(marker(a)) if frame.endswith(b"routed")]
    assert seen == []
    run("ip", "neighbour", "delete", declared.address, "dev", "lan0")
    print("by way of the host: 1 sent, 0 received")


def unknown_mac(unknown: LanGuest, lan: LanGuest) -> None:
    """A guest whose MAC address is not known reaches the LAN and nothing of the host."""
    expect_all(
        "unknown MAC to the LAN", unknown, lan, udp((unknown.mac, lan.mac), (unknown.address, lan.address), (1, 1))
    )
    asks = arp(unknown.identity, (BROADCAST, HOST))
    unknown.send(asks)
    lan.received_until(asks)
    back = marker(lan)
    lan.send(back)
    # What it sends to all, such as its own questions, is no answer.
    answer = mac_bytes(unknown.mac) + mac_bytes(BRIDGE_MAC)
    seen = [frame for frame in unknown.received_until(back) if frame.startswith(answer)]
    assert seen == [], "the host answers"
    print("unknown MAC: the host does not answer")


def isolated(lan: LanGuest, x: LanGuest, y: LanGuest) -> None:
    """Guests that are kept from each other reach the LAN, and are reached from there."""
    x.send(udp((x.mac, y.mac), (x.address, y.address), (1, 1), b"neighbour"))
    expect_all("isolated, to the LAN", x, lan, marker(x), udp((x.mac, lan.mac), (x.address, lan.address), (1, 1)))
    last = udp((lan.mac, y.mac), (lan.address, y.address), (1, 1))
    lan.send(last)
    assert not [frame for frame in y.received_until(last) if frame.endswith(b"neighbour") or frame == marker(x)]
    print("isolated: 2 sent to the neighbour, 0 received")


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    set_up_host()
    lan = LanGuest.lan("up0", 2, "192.0.2.2")
    a = LanGuest("tap-a", 0x10, "192.0.2.10", "02:00:00:00:07:10", "dhcp")
    declared = LanGuest("tap-d", 0x20, "192.0.2.20", "02:00:00:00:07:20", "192.0.2.20", "2001:db8:7::20")
    unknown = LanGuest("tap-u", 0x30, "192.0.2.30")
    forged(a, declared, lan)
    permitted(a, declared, lan)
    host_access(a, lan)
    rules_of_others(lan)
    by_way_of_the_host(a, declared)
    unknown_mac(unknown, lan)
    apart = [(f"tap-{number}", number, f"192.0.2.{number}", f"02:00:00:00:07:{number:02x}") for number in (0x50, 0x51)]
    x, y = (LanGuest(tap, number, address, mac, address, bridge="apart0") for tap, number, address, mac in apart)
    isolated(LanGuest.lan("up1", 3, "192.0.2.3"), x, y)
    bash("ip link delete dev tap-a; unbind_missing_taps")
    assert "tap-a" not in elements("lan_taps") + elements("lan_identifiers") + run("nft", "list", "ruleset")
    print("all is well")


if __name__ == "__main__":
    main()
