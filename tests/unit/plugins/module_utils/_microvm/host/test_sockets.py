# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sockets of this host, and their owner."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import pytest
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
        assert seen == Connection(place[0], place[1], "127.0.0.1", os.fstat(connected.fileno()).st_ino)
        assert f"(process {os.getpid()}" in describe_owner(seen.inode)
        # Its other end is a connection of this host to somebody.
        assert client.getsockname()[1] not in [each.port for each in connections_to_host()]
