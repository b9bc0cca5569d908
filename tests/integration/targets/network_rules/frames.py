# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Frames of Ethernet as bytes."""

from __future__ import annotations

import socket
import struct

BROADCAST = "ff:ff:ff:ff:ff:ff"
ARP, IPV4, IPV6, VLAN = 0x0806, 0x0800, 0x86DD, 0x8100
REQUEST, REPLY = 1, 2
SYN, SYN_ACK = 0x02, 0x12


def mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def ethernet(destination: str, source: str, kind: int, payload: bytes) -> bytes:
    return mac_bytes(destination) + mac_bytes(source) + struct.pack("!H", kind) + payload


def arp(sender: tuple[str, str], target: tuple[str, str], operation: int = REQUEST, source: str | None = None) -> bytes:
    """Return a message of ARP; ``sender`` and ``target`` are MAC and IP addresses, ``source`` is that of the frame."""
    payload = struct.pack("!HHBBH", 1, IPV4, 6, 4, operation)
    payload += mac_bytes(sender[0]) + socket.inet_aton(sender[1])
    payload += (bytes(6) if operation == REQUEST else mac_bytes(target[0])) + socket.inet_aton(target[1])
    return ethernet(BROADCAST if operation == REQUEST else target[0], source or sender[0], ARP, payload)


def checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(macs: tuple[str, str], addresses: tuple[str, str], protocol: int, payload: bytes) -> bytes:
    """Return a packet of IPv4 in a frame; of each pair, the source comes first."""
    source, destination = (socket.inet_aton(address) for address in addresses)
    start = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol)
    header = start + struct.pack("!H", checksum(start + b"\0\0" + source + destination)) + source + destination
    return ethernet(macs[1], macs[0], IPV4, header + payload)


def _transport(macs: tuple[str, str], addresses: tuple[str, str], protocol: int, segment: bytes, place: int) -> bytes:
    pseudo = b"".join(map(socket.inet_aton, addresses)) + struct.pack("!BBH", 0, protocol, len(segment))
    summed = segment[:place] + struct.pack("!H", checksum(pseudo + segment)) + segment[place + 2 :]
    return ipv4(macs, addresses, protocol, summed)


def udp(macs: tuple[str, str], addresses: tuple[str, str], ports: tuple[int, int], data: bytes = b"") -> bytes:
    return _transport(macs, addresses, 17, struct.pack("!HHHH", *ports, 8 + len(data), 0) + data, 6)


def tcp_syn(macs: tuple[str, str], addresses: tuple[str, str], ports: tuple[int, int]) -> bytes:
    return _transport(macs, addresses, 6, struct.pack("!HHIIBBHHH", *ports, 1, 0, 0x50, SYN, 8192, 0, 0), 16)


def echo_request(macs: tuple[str, str], addresses: tuple[str, str], identifier: int = 7) -> bytes:
    message = struct.pack("!BBHHH", 8, 0, 0, identifier, 1)
    return ipv4(macs, addresses, 1, message[:2] + struct.pack("!H", checksum(message)) + message[4:])


def ipv6(macs: tuple[str, str], addresses: tuple[str, str], protocol: int, payload: bytes, hops: int = 255) -> bytes:
    """Return a packet of IPv6 in a frame, with the checksum of ICMPv6 or of UDP where it is that."""
    source, destination = (socket.inet_pton(socket.AF_INET6, address) for address in addresses)
    if protocol in (17, 58):
        place = 2 if protocol == 58 else 6
        pseudo = source + destination + struct.pack("!IHBB", len(payload), 0, 0, protocol)
        payload = payload[:place] + struct.pack("!H", checksum(pseudo + payload)) + payload[place + 2 :]
    header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops) + source + destination
    return ethernet(macs[1], macs[0], IPV6, header + payload)


def router_advertisement(mac: str) -> bytes:
    return ipv6(
        (mac, "33:33:00:00:00:01"), ("fe80::1", "ff02::1"), 58, struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    )


def udp6(macs: tuple[str, str], addresses: tuple[str, str], ports: tuple[int, int], data: bytes = b"") -> bytes:
    return ipv6(macs, addresses, 17, struct.pack("!HHHH", *ports, 8 + len(data), 0) + data)


def neighbour(kind: int, macs: tuple[str, str], addresses: tuple[str, str], target: str) -> bytes:
    """Return a solicitation (135) or advertisement (136) of neighbours, with the MAC address of its sender."""
    message = struct.pack("!BBHI", kind, 0, 0, 0x60000000 if kind == 136 else 0)
    message += socket.inet_pton(socket.AF_INET6, target)
    if addresses[0] != "::":
        message += struct.pack("!BB", 2 if kind == 136 else 1, 1) + mac_bytes(macs[0])
    return ipv6(macs, addresses, 58, message)


def echo_request6(macs: tuple[str, str], addresses: tuple[str, str]) -> bytes:
    return ipv6(macs, addresses, 58, struct.pack("!BBHHH", 128, 0, 0, 7, 1))


def source_of6(frame: bytes) -> str:
    """Return the source of a packet of IPv6, or nothing; messages of neighbours and of routers answer nobody."""
    is_message = frame[20:21] == b"\x3a" and frame[54:55] and frame[54] in (130, 131, 133, 134, 135, 136, 143)
    is_answer = frame[12:14] == struct.pack("!H", IPV6) and frame[20] != 0 and not is_message
    return socket.inet_ntop(socket.AF_INET6, frame[22:38]) if is_answer else ""


def source_of(frame: bytes) -> str:
    """Return the source of a packet of IPv4, or nothing; IGMP is no answer to anybody."""
    return socket.inet_ntoa(frame[26:30]) if frame[12:14] == struct.pack("!H", IPV4) and frame[23] != 2 else ""
