# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sockets of this host, and their owner."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import sockets
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.own_addresses import LISTENING
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.sockets import (
    Connection,
    connections_to_host,
    describe_owner,
    listening_sockets,
)

HAS_IPV6 = os.path.exists("/proc/net/tcp6")
ADDRESSES = [
    ("tcp", "127.0.0.1"),
    ("udp", "127.0.0.2"),
    ("tcp", "0.0.0.0"),
    pytest.param("tcp", "::1", marks=pytest.mark.skipif(not HAS_IPV6, reason="the kernel has no IPv6")),
    pytest.param("udp", "::", marks=pytest.mark.skipif(not HAS_IPV6, reason="the kernel has no IPv6")),
]


@pytest.mark.parametrize(("proto", "address"), ADDRESSES)
def test_a_socket_that_waits_is_found_with_its_process(proto: str, address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM) as own:
        own.bind((address, 0))
        if proto == "tcp":
            own.listen()
        inode = os.fstat(own.fileno()).st_ino
        (seen,) = [each for each in listening_sockets() if each.inode == inode]
        assert (seen.proto, seen.address, seen.port) == (proto, address, own.getsockname()[1])
        assert f"(process {os.getpid()}" in describe_owner(seen.inode)


def test_connected_sockets_do_not_wait_for_anybody() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as own:
        own.connect(("127.0.0.1", 9))
        inode = os.fstat(own.fileno()).st_ino
        assert inode not in [each.inode for each in listening_sockets()]


def test_a_socket_of_the_kernel_has_no_process() -> None:
    assert describe_owner(0) == "a program"


def own_port() -> int:
    """Return a free port that the kernel does not choose by itself."""
    lowest, highest = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    for port in range(1024, 65536):
        if not lowest <= port <= highest:
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
                return port
    pytest.skip("the kernel chooses all ports by itself")


def test_a_connection_is_found_though_nothing_listens_any_more() -> None:
    with socket.create_server(("127.0.0.1", own_port())) as server:
        client = socket.create_connection(server.getsockname())
        connected, _peer = server.accept()
        place = server.getsockname()
    with client, connected:
        assert place not in [(each.address, each.port) for each in listening_sockets()]
        (seen,) = [each for each in connections_to_host() if (each.address, each.port) == place]
        inode = os.fstat(connected.fileno()).st_ino
        assert seen == Connection(place[0], place[1], "127.0.0.1", client.getsockname()[1], inode)
        assert f"(process {os.getpid()}" in describe_owner(seen.inode)
        # Its other end is a connection of this host to somebody.
        assert client.getsockname()[1] not in [each.port for each in connections_to_host()]


@pytest.mark.parametrize(
    ("port", "peer_port", "listens", "is_found"),
    [
        (22, 50000, False, True),
        # Of the host to a service of another, from a reserved port.
        (800, 2049, False, False),
        (1023, 514, False, False),
        # At a port of a service of the host.
        (22, 800, True, True),
    ],
)
def test_connections_of_the_host_to_others_are_not_somebodys(
    port: int, peer_port: int, listens: bool, is_found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = f" 0: 00000000:{port:04X} 00000000:0000 {LISTENING} 0:0 0:0 0 0 0 5\n" if listens else ""
    connected = f" 1: 050200C0:{port:04X} 076433C6:{peer_port:04X} 01 0:0 0:0 0 0 0 7\n"
    table = tmp_path / "net" / "tcp"
    table.parent.mkdir()
    table.write_text(f"  sl  local_address\n{waiting}{connected}")
    monkeypatch.setattr(sockets, "PROC", str(tmp_path))
    found = connections_to_host()
    assert found == ([Connection("192.0.2.5", port, "198.51.100.7", peer_port, 7)] if is_found else [])


@pytest.mark.skipif(not HAS_IPV6, reason="the kernel has no IPv6")
def test_a_connection_by_ipv4_to_a_server_of_both_families_has_addresses_of_ipv4() -> None:
    port = own_port()
    with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        client = socket.create_connection(("127.0.0.1", port))
        connected, _peer = server.accept()
    with client, connected:
        (seen,) = [each for each in connections_to_host() if each.port == port]
        assert (seen.address, seen.peer) == ("127.0.0.1", "127.0.0.1")
