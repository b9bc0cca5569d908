# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of guests, asked of the real server by guests, by the host and from elsewhere.

Runs in namespaces of its own; 1 as argument switches br_netfilter on.
"""

from __future__ import annotations

import select
import socket
import struct
import subprocess
import threading
import time
from itertools import count
from pathlib import Path

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration import names
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import Network
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks import configuration as files
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.guest_names import (
    names_settings_path,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts import sources
from frames import udp
from passages import datagram, socket_in
from probe import OUTSIDE, PATIENCE, Guest, bash_command, begin, known, run

A, AAAA, PTR = 1, 28, 12
NO_ERROR, NO_NAME, REFUSED = 0, 3, 5
WORLD = "192.0.2.80"
"""Address that the world's server gives for every name."""
MAC = "02:00:00:00:00:0e"

NETWORKS = parse_networks(
    [
        {
            "name": "nat0",
            "address": "10.66.1.1/24",
            "nat": True,
            "ipv6": {"address": "fd00:66:1::1/64"},
            "dhcp_server": {},
            "leases": [{"mac": MAC, "address": "10.66.1.14"}],
            "dns_names": {"servers": [OUTSIDE]},
        },
        {"name": "closed0", "address": "10.66.2.1/24", "dns_names": {"domain": "Closed.example"}},
        {"name": "route0", "address": "10.66.5.1/24", "mode": "routed", "dns_names": {}},
        {"name": "plain0", "address": "10.66.4.1/24", "host_access": "all"},
    ]
)
_numbers = count(1)


def question(name: str, kind: int) -> bytes:
    """Return a message that asks for the records of a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", next(_numbers), 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def name_at(message: bytes, place: int) -> tuple[str, int]:
    """Return the name at a place of a message, and the place behind it."""
    labels: list[str] = []
    while message[place]:
        if message[place] >= 0xC0:
            elsewhere = int.from_bytes(message[place : place + 2], "big") & 0x3FFF
            return ".".join([*labels, name_at(message, elsewhere)[0]]), place + 2
        labels.append(message[place + 1 : place + 1 + message[place]].decode())
        place += 1 + message[place]
    return ".".join(labels), place + 1


def parsed(message: bytes) -> tuple[int, list[str]]:
    """Return the code of an answer and its addresses and names."""
    answers, place = int.from_bytes(message[6:8], "big"), name_at(message, 12)[1] + 4
    values = []
    for _answer in range(answers):
        place = name_at(message, place)[1]
        kind, length = struct.unpack("!H6xH", message[place : place + 10])
        data = message[place + 10 : place + 10 + length]
        family = {A: socket.AF_INET, AAAA: socket.AF_INET6}.get(kind)
        values.append(socket.inet_ntop(family, data) if family else name_at(message, place + 10)[0])
        place += 10 + length
    return message[3] & 15, sorted(values)


def is_from_server(frame: bytes) -> bool:
    """Return whether a frame is from a server of DNS, by UDP."""
    return frame[12:14] == b"\x08\0" and frame[23:24] == b"\x11" and frame[34:36] == b"\0\x35"


def asked(guest: Guest, server: str, name: str, kind: int = A, *before: bytes) -> tuple[int, list[str]]:
    """Return the answer to a guest, to whom nothing else that it has sent ``before`` is answered."""
    message = question(name, kind)
    guest.send(*before, udp((guest.mac, guest.bridge_mac), (guest.address, server), (5353, 53), message))

    answers: list[bytes] = []

    def is_answer(frame: bytes) -> bool:
        if is_from_server(frame):
            answers.append(frame)
        return bool(answers)

    guest.received_until(is_answer)
    assert answers[0][42:44] == message[:2], "the answer to a question that nobody may answer"
    return parsed(answers[0][42:])


def by_host(server: str, name: str, kind: int = A) -> tuple[int, list[str]]:
    """Return the answer to a program of the host."""
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(PATIENCE)
        asker.sendto(question(name, kind), (server, 53))
        return parsed(asker.recv(4096))


def by_tcp(server: str, name: str) -> tuple[int, list[str]]:
    """Return the answer to a program of the host, by TCP."""
    message = question(name, A)
    with socket.create_connection((server, 53), PATIENCE) as asker:
        asker.sendall(struct.pack("!H", len(message)) + message)
        return parsed(asker.recv(4096)[2:])


def wait_until(guest: Guest, server: str, name: str, answer: tuple[int, list[str]]) -> None:
    """Ask until a server has read what has changed."""
    deadline = time.monotonic() + PATIENCE
    while asked(guest, server, name) != answer:
        assert time.monotonic() < deadline, f"{server} does not answer {answer} for {name}"


def bash(script: str) -> None:
    """Run a script after our functions."""
    subprocess.run(bash_command(f"{sources.NAME_GUEST}\n{script}"), check=True)


def serve(network: Network, texts: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start the server of a network with the rights of its unit; it has answered when this returns."""
    settings = Path(f"/run/{network['name']}.conf")
    settings.write_text(texts[names_settings_path(network["name"])])
    Path(names.GUEST_NAMES_DIRECTORY, network["name"]).mkdir(parents=True, exist_ok=True)
    right = "net_bind_service"
    confined = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]
    confined += [f"--inh-caps=-all,+{right}", f"--ambient-caps=-all,+{right}", f"--bounding-set=-all,+{right}"]
    return subprocess.Popen([*confined, "dnsmasq", "--keep-in-foreground", f"--conf-file={settings}"])


def await_server(address: str) -> None:
    """Wait until a server listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((address, 53), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"no server listens at {address}"


def the_world() -> list[str]:
    """Answer all questions to a server beyond the host; return the list of the names that come."""
    server, seen = socket_in("outside"), list[str]()
    server.bind((OUTSIDE, 53))

    def answer() -> None:
        while True:
            message, asker = server.recvfrom(4096)
            name, end = name_at(message, 12)
            seen.append(name)
            record = b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 60, 4) + socket.inet_aton(WORLD)
            head = message[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
            server.sendto(head + message[12 : end + 4] + record, asker)

    threading.Thread(target=answer, daemon=True).start()
    return seen


def names_of_neighbours(a: Guest, b: Guest, v: Guest) -> None:
    """Ask for what the network has, in each way of writing."""
    nat0 = "10.66.1.1"
    wait_until(a, nat0, "web", (NO_ERROR, ["10.66.1.11"]))
    wait_until(a, nat0, "leased", (NO_ERROR, ["10.66.1.14"]))
    assert asked(a, nat0, "WEB.nat0.internal") == (NO_ERROR, ["10.66.1.11"])
    assert asked(a, nat0, "web.nat0.internal", AAAA) == (NO_ERROR, ["fd00:66:1::b"])
    assert asked(a, nat0, "11.1.66.10.in-addr.arpa", PTR) == (NO_ERROR, ["web.nat0.internal"])
    for name in ("host", "host.nat0.internal"):
        assert asked(b, nat0, name) == (NO_ERROR, [nat0])
    assert asked(b, nat0, "host.nat0.internal", AAAA) == (NO_ERROR, ["fd00:66:1::1"])
    for name in ("nobody", "nobody.nat0.internal", "x_y", "x_y.nat0.internal"):
        assert asked(v, nat0, name)[1] == [], name
    assert by_host(nat0, "web.nat0.internal") == by_tcp(nat0, "web") == (NO_ERROR, ["10.66.1.11"])
    assert by_host("fd00:66:1::1", "web") == (NO_ERROR, ["10.66.1.11"])


def names_of_others(a: Guest, closed: Guest, routed: Guest, plain: Guest, world: list[str]) -> None:
    """Ask for names of other networks and of the world, and other networks' servers."""
    wait_until(closed, "10.66.2.1", "db.closed.example", (NO_ERROR, ["10.66.2.10"]))
    wait_until(routed, "10.66.5.1", "api", (NO_ERROR, ["10.66.5.10"]))
    assert asked(routed, "10.66.5.1", "api.route0.internal") == (NO_ERROR, ["10.66.5.10"])
    for name in ("db", "db.closed.example", "api.route0.internal"):
        assert asked(a, "10.66.1.1", name) == (NO_NAME, []), name
    assert asked(closed, "10.66.2.1", "web.nat0.internal") == (NO_NAME, [])
    assert asked(a, "10.66.1.1", "www.example.com") == (NO_ERROR, [WORLD])
    assert set(world) == {"www.example.com"}
    for guest, server in ((closed, "10.66.2.1"), (routed, "10.66.5.1")):
        assert asked(guest, server, "www.example.com") == (REFUSED, [])
    servers = ["10.66.1.1", "10.66.2.1", "10.66.5.1"]
    for guest, own in zip((a, closed, routed), servers):
        foreign = [
            udp((guest.mac, guest.bridge_mac), (guest.address, server), (5353, 53), question("host", A))
            for server in servers
            if server != own
        ]
        assert asked(guest, own, "host", A, *foreign) == (NO_ERROR, [own])
    outside = socket_in("outside")
    for server in servers:
        outside.sendto(question("host", A), (server, 53))
        # Of a network whose guests reach the host on all of its addresses.
        plain.send(udp((plain.mac, plain.bridge_mac), (plain.address, server), (5353, 53), question("host", A)))
    # Servers answer in turn: who is not answered before these is not answered.
    for guest, own in zip((a, closed, routed), servers):
        assert asked(guest, own, "host") == (NO_ERROR, [own])
    assert not select.select([outside], [], [], 0)[0], "an answer to the world"
    answers = plain.received_until(lambda frame: datagram(frame, b"last") is not None) if knock(plain) else []
    assert not [frame for frame in answers if is_from_server(frame)], "an answer to a guest of another network"


def knock(guest: Guest) -> bool:
    """Let the host send the last packet to a guest."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        return host.sendto(b"last", (guest.address, 4242)) > 0


def changes(a: Guest, server: subprocess.Popen[bytes]) -> None:
    """Change a guest's name, and end a guest: the server goes on, and knows at once."""
    bash("name_guest web tap-b 02:00:00:00:00:0b 10.66.1.12")
    wait_until(a, "10.66.1.1", "web", (NO_ERROR, ["10.66.1.12"]))
    for microvm in ("Host", "localhost", "x_y", "x.y", "-x"):
        bash(f"delete_elements tap-b; name_guest {microvm} tap-b 02:00:00:00:00:0b 10.66.1.12")
        assert not Path(names.GUEST_NAMES_DIRECTORY, "nat0", "tap-b").exists(), microvm
    wait_until(a, "10.66.1.1", "web", (NO_NAME, []))
    assert asked(a, "10.66.1.1", "host") == (NO_ERROR, ["10.66.1.1"])
    bash("ip link delete dev tap-v; unbind_missing_taps")
    wait_until(a, "10.66.1.1", "leased.nat0.internal", (NO_NAME, []))
    assert server.poll() is None


def bridge_without_address(a: Guest) -> None:
    """Take the address from the bridge, and give it back: the server follows."""
    run("ip", "address", "delete", "10.66.1.1/24", "dev", "nat0")
    run("ip", "address", "add", "10.66.1.1/24", "dev", "nat0")
    await_server("10.66.1.1")
    assert asked(a, "10.66.1.1", "host") == (NO_ERROR, ["10.66.1.1"])


def main() -> None:
    begin(NETWORKS)
    world, texts = the_world(), files.configuration(NETWORKS, ["up0"])
    servers = {network["name"]: serve(network, texts) for network in NETWORKS if network["dns_names"] is not None}
    a = known("tap-a", "nat0", "00:0a", "10.66.1.10")
    b = known("tap-b", "nat0", "00:0b", "10.66.1.11")
    v = known("tap-v", "nat0", MAC[-5:], "10.66.1.14", "dhcp")
    closed = known("tap-c", "closed0", "00:0c", "10.66.2.10")
    plain = known("tap-p", "plain0", "00:0d", "10.66.4.10")
    routed = known("tap-r", "route0", "05:01", "10.66.5.10")
    routed.bridge_mac = Path("/sys/class/net/tap-r/address").read_text().strip()
    bash("name_guest web tap-b 02:00:00:00:00:0b 10.66.1.11 fd00:66:1::b 192.0.2.7 2001:db8::7 dhcp nonsense")
    bash(f"name_guest leased tap-v {MAC.upper()} dhcp; name_guest x_y tap-a 02:00:00:00:00:0a 10.66.1.10")
    bash("name_guest db tap-c '' 10.66.2.10; name_guest api tap-r 02:00:00:00:05:01 10.66.5.10")
    bash("name_guest plain tap-p 02:00:00:00:00:0d 10.66.4.10")
    assert not Path(names.GUEST_NAMES_DIRECTORY, "plain0").exists()
    for network in NETWORKS[:3]:
        await_server(network["address"].partition("/")[0])
    names_of_neighbours(a, b, v)
    names_of_others(a, closed, routed, plain, world)
    changes(a, servers["nat0"])
    bridge_without_address(a)
    for server in servers.values():
        assert server.poll() is None
        server.terminate()
    print("names of guests: asked by guests, by the host, from other networks and from the world")


if __name__ == "__main__":
    main()
