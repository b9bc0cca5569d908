# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A machine with a real IP stack, in a network namespace: answers others, and asks them on command.

Argument: the file descriptor of the host's end of a tap, whose frames become those of ``eth0``, and the MAC address of
``eth0``; without arguments the machine has what is put into its namespace. Reads orders from standard input, one in
a line as JSON, and prints what follows from each.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from frames import checksum

IFF_TAP_NO_PI = 0x1002
TUNSETIFF = 0x400454CA
ANSWERING = (7001, 7002)
"""Ports at which each machine answers, by TCP and by UDP."""
ECHO = {4: (socket.IPPROTO_ICMP, 8, 0), 6: (socket.IPPROTO_ICMPV6, 128, 129)}
"""Protocol, request and reply of ICMP by version of IP."""
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}

received: set[str] = set()
"""Words that have come to this machine, whether or not its answer comes back."""


def relay(host: int, mac: str) -> None:
    """Create ``eth0``, and copy frames between it and the host's tap for ever."""
    guest = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(guest, TUNSETIFF, struct.pack("16sH22x", b"eth0", IFF_TAP_NO_PI))
    subprocess.run(["ip", "link", "set", "eth0", "address", mac, "up"], check=True)

    def copy() -> None:
        while True:
            for source in select.select([host, guest], [], [])[0]:
                try:
                    os.write(guest if source == host else host, os.read(source, 65536))
                except OSError:  # One end is down.
                    continue

    threading.Thread(target=copy, daemon=True).start()


def answer(port: int) -> None:
    """Answer at a port with the word that came, and the address of who sent it."""
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    datagrams.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_PKTINFO", 8), 1)
    datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    datagrams.bind(("::", port))

    def by_datagram() -> None:
        while True:
            word, ancillary, _flags, sender = datagrams.recvmsg(100, 200)
            received.add(word.decode())
            # From the address that was asked, which may not be the one that the route back leads to choose.
            datagrams.sendmsg([reply(word, sender)], ancillary, 0, sender)

    def by_connection() -> None:
        while True:
            connection, sender = listener.accept()
            word = connection.recv(100)
            received.add(word.decode())
            connection.sendall(reply(word, sender))
            connection.close()

    for work in (by_datagram, by_connection):
        threading.Thread(target=work, daemon=True).start()


def reply(word: bytes, sender: Any) -> bytes:
    return json.dumps({"word": word.decode(), "seen": sender[0].replace("::ffff:", "")}).encode()


def ask(question: dict[str, Any]) -> str:
    """Return which address the one that is asked has seen, or nothing if no answer comes in time."""
    version, seconds = question["version"], question["seconds"]
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ask_once(question, FAMILY[version], max(0.05, min(1.0, deadline - time.monotonic())))
        except OSError:
            if time.monotonic() > deadline or seconds < 1:
                return ""
            time.sleep(0.05)


def ask_once(question: dict[str, Any], family: int, seconds: float) -> str:
    word, target = question["word"], (question["address"], question["port"])
    if question["protocol"] == "icmp":
        return echo(question["version"], question["address"], word, seconds)
    kind = socket.SOCK_STREAM if question["protocol"] == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as asking:
        asking.settimeout(seconds)
        asking.connect(target)
        asking.sendall(word.encode())
        answered = json.loads(asking.recv(200))
    return str(answered["seen"]) if answered["word"] == word else ""


def echo(version: int, address: str, word: str, seconds: float) -> str:
    """Return the address of who answers an echo request."""
    protocol, request, answered = ECHO[version]
    data = struct.pack("!BBHHH", request, 0, 0, 7, 1) + word.encode()
    with socket.socket(FAMILY[version], socket.SOCK_RAW, protocol) as asking:
        # The kernel writes the checksum of ICMPv6 itself.
        asking.sendto(data[:2] + struct.pack("!H", checksum(data)) + data[4:], (address, 0))
        deadline = time.monotonic() + seconds
        while True:
            if not select.select([asking], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            packet, sender = asking.recvfrom(2000)
            message = packet[20:] if version == 4 else packet
            if message[0] == answered and message.endswith(word.encode()):
                return str(sender[0])


def obey(order: dict[str, Any]) -> object:
    """Run a command, tell which words have come, or ask questions, all at once."""
    if "run" in order:
        return subprocess.run(["bash", "-euc", order["run"]], check=True, stdout=subprocess.PIPE, text=True).stdout
    if "ask" not in order:
        return sorted(received)
    with ThreadPoolExecutor(max_workers=len(order["ask"])) as pool:
        return list(pool.map(ask, order["ask"]))


def main() -> None:
    if sys.argv[1:]:
        relay(int(sys.argv[1]), sys.argv[2])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for port in ANSWERING:
        answer(port)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
