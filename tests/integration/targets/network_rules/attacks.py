# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attacks by unusual frames, counted: headers that are none, messages for bridges, errors about others' connections.

Runs in namespaces of its own; 1 as argument switches br_netfilter on.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from pathlib import Path

import probe_ipv6
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from frames import ARP, BROADCAST, IPV4, IPV6, VLAN, arp, checksum, ethernet, ipv4, ipv6, mac_bytes, udp, udp6
from passages import socket_in
from probe import OUTSIDE, PATIENCE, Guest, await_carrier, bash, begin, expect_none, known, marker, run
from probe_ipv6 import Guest6

PUBLIC = "198.51.100.1"
"""Address of the host to the world."""
PORT = 51820
ICMP, IGMP, UDP, ICMP6, PIM = 1, 2, 17, 58, 103
ALL_SNOOPERS6 = ("33:33:00:00:00:6a", "ff02::6a")
NETWORKS = parse_networks(
    [
        {
            "name": "nat0",
            "address": "10.66.1.1/24",
            "nat": True,
            "ipv6": {"address": "fd00:66:1::1/64", "outside": "routed"},
        },
        {
            "name": "other0",
            "address": "10.66.2.1/24",
            "nat": True,
            "ipv6": {"address": "fd00:66:2::1/64", "outside": "routed"},
        },
        {"name": "route0", "address": "10.66.5.1/24", "mode": "routed", "nat": True},
    ]
)


def header(a: Guest, b: Guest, protocol: int, payload: bytes, **fields: int | bytes) -> bytes:
    """Return a packet to a neighbour with what is unusual in its header."""
    options = bytes(fields.get("options", b""))
    length = 20 + len(options) + len(payload)
    first = (int(fields.get("version", 4)) << 4) | int(fields.get("words", 5 + len(options) // 4))
    start = struct.pack("!BBHHHBBH", first, 0, int(fields.get("length", length)), 7, 0, 64, protocol, 0)
    whole = start + socket.inet_aton(a.address) + socket.inet_aton(b.address) + options
    whole = whole[:10] + struct.pack("!H", checksum(whole)) + whole[12:]
    return ethernet(b.mac, a.mac, IPV4, whole + payload)


def headers(a: Guest, b: Guest) -> None:
    """Hide a DHCP server behind a header that is none, and name a way that packets should take."""
    offer = struct.pack("!HHHH", 67, 68, 248, 0) + bytes(240)
    for name, value in (("version", 5), ("words", 4), ("length", 1400), ("length", 10)):
        expect_none(f"{name} {value} of IPv4", a, b, header(a, b, UDP, offer, **{name: value}))
    expect_none("DHCP offer after an option", a, b, header(a, b, UDP, offer, options=b"\x94\x04\0\0"))
    datagram = struct.pack("!HHHH", 1, 1, 8, 0)
    for kind in (0x83, 0x89):
        route = bytes([kind, 7, 4]) + socket.inet_aton(b.address) + b"\0"
        expect_none(f"source route {kind:x}", a, b, header(a, b, UDP, datagram, options=route))
    redirect = struct.pack("!BBH", 5, 1, 0) + socket.inet_aton(a.address)
    expect_none("redirect", a, b, header(a, b, ICMP, redirect + header(b, a, UDP, datagram)[14:]))
    allowed = header(a, b, UDP, datagram, options=b"\x94\x04\0\0")
    a.send(allowed)
    b.received_until(allowed)
    print("router alert: 1 sent, 1 received")


def arp_messages(a: Guest, b: Guest) -> None:
    """Send ARP of other lengths than those that are looked at, and search for addresses that others have."""

    def message(*fields: int) -> bytes:
        ends = mac_bytes(a.mac) + socket.inet_aton(a.address) + bytes(6) + socket.inet_aton(b.address)
        return ethernet(BROADCAST, a.mac, ARP, struct.pack("!HHBBH", *fields) + ends)

    for fields in ((6, IPV4, 6, 4, 1), (1, IPV6, 6, 4, 1), (1, IPV4, 8, 4, 1), (1, IPV4, 6, 6, 1), (1, IPV4, 6, 4, 3)):
        expect_none(f"ARP with {fields}", a, b, message(*fields))
    for address in (b.address, "10.66.1.1", "10.66.1.77"):
        expect_none(f"search for {address}", a, b, arp((a.mac, "0.0.0.0"), ("", address)))
    own = arp((a.mac, "0.0.0.0"), ("", a.address))
    a.send(own)
    b.received_until(own)
    print("search for its own address: 1 sent, 1 received")


def tags(a: Guest, b: Guest) -> None:
    """Send tagged frames, those of no VLAN and those of two included, and frames of a length instead of a type."""
    inner = udp((a.mac, b.mac), (a.address, b.address), (1, 1))[14:]
    for kind in (VLAN, 0x88A8):
        for number in (0, 1, 4095):
            once, twice = struct.pack("!HH", number, IPV4), struct.pack("!HHHH", number, VLAN, 1, IPV4)
            tagged = [ethernet(b.mac, a.mac, kind, tag + inner) for tag in (once, twice)]
            expect_none(f"tag {kind:x} {number}", a, b, *tagged)
    expect_none("802.3", a, b, ethernet(b.mac, a.mac, 38, b"\xaa\xaa\x03" + bytes(35)))


def multicast_routers(a: Guest, b: Guest, six: Guest6) -> None:
    """Nobody gets the multicasts of all by telling the bridge that he routes them; members of groups tell it so."""

    def igmp(kind: int, group: str) -> bytes:
        message = struct.pack("!BBH4s", kind, 10, 0, socket.inet_aton(group))
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        return ipv4((a.mac, "01:00:5e:00:00:01"), (a.address, "224.0.0.1"), IGMP, message)

    hello = struct.pack("!BBHHHH", 0x20, 0, 0, 1, 2, 105)
    expect_none("query of members", a, b, igmp(0x11, "0.0.0.0"), igmp(0x30, "0.0.0.0"))
    expect_none("hello of PIM", a, b, ipv4((a.mac, "01:00:5e:00:00:0d"), (a.address, "224.0.0.13"), PIM, hello))
    everybody = (six.mac, ALL_SNOOPERS6[0])
    sources = (six.link_local, ALL_SNOOPERS6[1])
    advertisement = ipv6(everybody, sources, ICMP6, struct.pack("!BBHHH", 151, 20, 0, 125, 2))
    six.send(advertisement, ipv6(everybody, (six.link_local, "ff02::d"), PIM, hello), six.marker())
    b.received_until(six.marker())
    assert not is_router(a) and not is_router(six)
    report = igmp(0x16, "239.1.2.3")
    a.send(report, marker(a))
    b.received_until(marker(a))
    assert "239.1.2.3" in run("bridge", "mdb", "show")
    print("routers of multicasts: 5 sent, none believed; a member of a group is one")


def is_router(guest: Guest) -> bool:
    """Return whether the bridge sends all multicasts to a port."""
    listed = run("bridge", "-details", "mdb", "show", "dev", "nat0")
    return any(guest.tap in line for line in listed.splitlines() if "router ports" in line)


def link_local(a: Guest, unknown: Guest) -> None:
    """A tap whose MAC address is not known takes no neighbour's by frames that bridges keep to themselves."""
    before = run("bridge", "fdb", "show", "br", "nat0")
    assert f"{a.mac} dev {a.tap} master nat0 static" in before
    macs = [a.mac, *(f"02:ff:00:00:00:{number:02x}" for number in range(250))]
    # Few new addresses of such a tap pass, of which this one is its own.
    unknown.send(marker(unknown))
    a.received_until(marker(unknown))
    for last in (0x00, 0x02, 0x0E):
        unknown.send(*[ethernet(f"01:80:c2:00:00:{last:02x}", mac, 0x88CC, bytes(50)) for mac in macs])
    unknown.send(marker(unknown))
    a.received_until(marker(unknown))
    after = run("bridge", "fdb", "show", "br", "nat0")
    assert f"{a.mac} dev {a.tap} master nat0 static" in after, "the neighbour's frames go to the attacker"
    assert "02:ff" not in after
    print(f"frames of LLDP and the like: {3 * len(macs)} sent, 0 sources learned")


def unbound(a: Guest) -> None:
    """A tap that nobody has bound to anything yet takes no neighbour's MAC address either."""
    bash("make_tap tap-x root nat0")
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, 0x400454CA, struct.pack("16sH22x", b"tap-x", 0x1002))
    await_carrier("tap-x")
    own = "02:00:00:00:00:77"
    for mac in (a.mac, own):
        os.write(file, ethernet(BROADCAST, mac, 0x88B5, bytes(46)))
    deadline = time.monotonic() + PATIENCE
    while f"{own} dev tap-x" not in (learned := run("bridge", "fdb", "show", "br", "nat0")):
        assert time.monotonic() < deadline, "the last frame has not come"
    assert f"{a.mac} dev {a.tap} master nat0 static" in learned, "the neighbour's frames go to the attacker"
    os.close(file)
    run("ip", "link", "delete", "dev", "tap-x")
    print("a tap that is bound to nothing: 1 sent with a neighbour's MAC address, 0 learned")


def error(about: bytes, mtu: int = 552) -> bytes:
    """Return a message that a packet is too big."""
    message = struct.pack("!BBHHH", 3, 4, 0, 0, mtu) + about
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


def sent(source: str) -> bytes:
    """Return the beginning of a packet that somebody has sent to the world."""
    return udp((BROADCAST, BROADCAST), (source, OUTSIDE), (PORT, PORT))[14:42]


def errors(a: Guest, routed: Guest, victim: Guest) -> None:
    """Errors about connections of the host and of other networks come to nobody; about its own, a guest's do."""
    with socket_in("outside") as outside, socket.socket(type=socket.SOCK_DGRAM) as host:
        outside.bind((OUTSIDE, PORT))
        victim.send(udp(*victim.to_host(OUTSIDE), (PORT, PORT), b"of the victim"))
        outside.settimeout(PATIENCE)
        assert outside.recv(100) == b"of the victim"
        for guest in (a, routed):
            guest.send(ipv4(*guest.to_host(PUBLIC), ICMP, error(sent(PUBLIC))))
        assert not errors_before_host(victim), "an error about a connection of another network"
        # The world's own errors come through.
        outside_error(error(sent(PUBLIC), 1000))
        assert errors_before_host(victim)
        host.bind((PUBLIC, 4500))
        host.sendto(b"of the host", (OUTSIDE, PORT))
        assert outside.recv(100) == b"of the host"
    own = udp((BROADCAST, BROADCAST), (PUBLIC, OUTSIDE), (4500, PORT))[14:42]
    run("ip", "route", "flush", "cache")
    for guest in (a, routed):
        guest.send(ipv4(*guest.to_host(PUBLIC), ICMP, error(own, 600)))
    errors_before_host(victim)
    assert "mtu" not in run("ip", "route", "get", OUTSIDE), "an error about a connection of the host"
    with socket.socket(type=socket.SOCK_DGRAM) as host:
        # Of a port of its own that is closed.
        host.connect((a.address, 4343))
        host.send(b"closed")
        a.received_until(lambda frame: frame.endswith(b"closed"))
        about = udp((BROADCAST, BROADCAST), ("10.66.1.1", a.address), (host.getsockname()[1], 4343), b"closed")[14:]
        unreachable = struct.pack("!BBHI", 3, 3, 0, 0) + about
        unreachable = unreachable[:2] + struct.pack("!H", checksum(unreachable)) + unreachable[4:]
        a.send(ipv4(*a.to_host("10.66.1.1"), ICMP, unreachable))
        assert is_refused(host), "a guest's error about its own connection does not come to the host"
    print("errors: 4 about connections of others, 0 received; 1 of the world and 1 of the guest's own, 2 received")


def is_refused(asking: socket.socket) -> bool:
    deadline = time.monotonic() + PATIENCE
    asking.settimeout(0.1)
    while time.monotonic() < deadline:
        try:
            asking.recv(1)
        except ConnectionRefusedError:
            return True
        except OSError:  # None has come yet.
            continue
    return False


def outside_error(message: bytes) -> None:
    script = f"""import socket
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
s.sendto(bytes.fromhex('{message.hex()}'), ('{PUBLIC}', 0))"""
    run("ip", "netns", "exec", "outside", "python3", "-c", script)


def errors_before_host(guest: Guest) -> list[bytes]:
    """Let the host send to a guest; return the errors that have come before."""
    with socket.socket(type=socket.SOCK_DGRAM) as host:
        host.sendto(b"last", (guest.address, 4242))
        frames = guest.received_until(lambda frame: frame.endswith(b"last"))
    return [frame for frame in frames if frame[12:14] == struct.pack("!H", IPV4) and frame[23:24] == b"\x01"]


def errors6(a: Guest6, victim: Guest6) -> None:
    """The same by IPv6, where guests have addresses of their own to the world."""
    victim.send(udp6((victim.mac, victim.bridge_mac), (victim.address, probe_ipv6.OUTSIDE), (PORT, PORT), b"x"))
    about = udp6((BROADCAST, BROADCAST), (victim.address, probe_ipv6.OUTSIDE), (PORT, PORT), b"x")[14:]
    too_big = struct.pack("!BBHI", 2, 0, 0, 1280) + about
    a.send(ipv6((a.mac, a.bridge_mac), (a.address, victim.address), ICMP6, too_big))
    frames = probe_ipv6.until_host_asks(victim)
    assert not [frame for frame in frames if frame[20:21] == b"\x3a" and frame[54] == 2]
    print("errors by IPv6: 1 about a connection of another network, 0 received")


def main() -> None:
    begin(NETWORKS)
    if not probe_ipv6.BY_INTERFACE:
        probe_ipv6.OF_ALL.write_text("1")
    run("ip", "-6", "route", "add", "default", "via", probe_ipv6.OUTSIDE)
    a, b = known("tap-a", "nat0", "00:0a", "10.66.1.10"), known("tap-b", "nat0", "00:0b", "10.66.1.11")
    unknown = Guest("tap-u", "nat0", "02:00:00:00:00:0e", "10.66.1.14")
    victim = known("tap-v", "other0", "01:0a", "10.66.2.10")
    routed = known("tap-r", "route0", "02:0a", "10.66.5.10")
    routed.bridge_mac = Path("/sys/class/net/tap-r/address").read_text().strip()
    six, victim6 = Guest6("tap-s1", 0x51, "nat0", "fd00:66:1::51"), Guest6("tap-s2", 0x52, "other0", "fd00:66:2::52")
    headers(a, b)
    arp_messages(a, b)
    tags(a, b)
    link_local(a, unknown)
    unbound(a)
    errors(a, routed, victim)
    errors6(six, victim6)
    multicast_routers(a, b, six)
    print("all is well")


if __name__ == "__main__":
    main()
