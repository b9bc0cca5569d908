# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Forwarded ports that would take a service from the host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.sockets import (
    Connection,
    ListeningSocket,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.listeners import (
    hidden_connection,
    hidden_message,
    hidden_socket,
    interrupted_message,
    new_forwards,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.state import Link

from .test_networks import FRESH, NAT, host_with

HOST = replace(FRESH, links={"eth0": Link(False, ("192.0.2.5/24", "192.0.2.6/24", "2001:db8::5/64"))})
SINGLE = replace(FRESH, links={"eth0": Link(False, ("192.0.2.5/24",)), "docker0": Link(True, ("172.17.0.1/16",))})
WIRE: dict[str, Any] = {"name": "wire0", "mode": "macvtap", "link": "eth0"}


def forwarding(port: int = 22, address: str | None = None, **options: Any) -> dict[str, Any]:
    """Return a network with a forwarded port."""
    forward = {"host": {"port": port, "address": address}, "guest": {"address": "10.66.1.7"}, **options}
    return {**NAT, "forward_ports": [forward]}


@pytest.mark.parametrize(
    ("bound", "forward", "observed", "is_hidden"),
    [
        ("0.0.0.0", forwarding(), HOST, True),
        ("::", forwarding(), HOST, True),
        ("192.0.2.5", forwarding(), HOST, True),
        ("::ffff:192.0.2.5", forwarding(), HOST, True),
        ("2001:db8::5", forwarding(), HOST, False),
        ("127.0.0.1", forwarding(), HOST, False),
        ("10.66.1.1", forwarding(), HOST, False),
        ("0.0.0.0", forwarding(2222), HOST, False),
        ("0.0.0.0", forwarding(proto="udp"), HOST, False),
        # By another address the service is still reached.
        ("0.0.0.0", forwarding(address="192.0.2.6"), HOST, False),
        ("192.0.2.5", forwarding(address="192.0.2.6"), HOST, False),
        ("192.0.2.6", forwarding(address="192.0.2.6"), HOST, True),
        ("0.0.0.0", forwarding(sources=["198.51.100.0/24"]), HOST, False),
        ("0.0.0.0", forwarding(address="192.0.2.5"), SINGLE, True),
        ("0.0.0.0", {**forwarding(address="192.0.2.5"), "uplinks": ["docker0"]}, SINGLE, False),
    ],
)
def test_a_service_that_would_no_longer_be_reached_is_found(
    bound: str, forward: dict[str, Any], observed: Any, is_hidden: bool
) -> None:
    networks = parse_networks([WIRE, forward])
    (new,) = new_forwards(observed, networks)
    sockets = [ListeningSocket("tcp", "127.0.0.1", 22), ListeningSocket("tcp", bound, 22)]
    assert hidden_socket(observed, new, networks, sockets) == (sockets[1] if is_hidden else None)


@pytest.mark.parametrize(
    ("before", "after", "is_new"),
    [
        (NAT, forwarding(), True),
        (forwarding(), forwarding(), False),
        (forwarding(), {**forwarding(), "isolate": True}, False),
        (forwarding(), forwarding(address="192.0.2.5"), True),
        (NAT, forwarding(sources=["198.51.100.0/24"]), True),
        (forwarding(), forwarding(sources=["198.51.100.0/24"]), False),
        (forwarding(sources=["0.0.0.0/1", "128.0.0.0/1"]), forwarding(), False),
        (forwarding(sources=["198.51.100.0/24"]), forwarding(sources=["198.51.100.7", "198.51.100.8/30"]), False),
        (forwarding(sources=["198.51.100.0/24"]), forwarding(sources=["198.51.0.0/16"]), True),
        (forwarding(sources=["198.51.100.0/24"]), forwarding(), True),
        ({**forwarding(), "uplinks": ["eth1"]}, {**forwarding(), "uplinks": ["eth1", "eth2"]}, True),
        ({**forwarding(), "uplinks": ["eth1", "eth2"]}, {**forwarding(), "uplinks": ["eth2"]}, False),
        # Without any, the default one is meant: eth0.
        ({**forwarding(), "uplinks": ["eth1"]}, forwarding(), True),
        (forwarding(), {**forwarding(), "uplinks": ["eth0", "eth1"]}, True),
        ({**forwarding(), "uplinks": ["eth0", "eth1"]}, forwarding(), False),
        (forwarding(), {**forwarding(), "uplinks": ["eth0"]}, False),
    ],
)
def test_ports_that_are_forwarded_already_are_not_looked_at(
    before: dict[str, Any], after: dict[str, Any], is_new: bool
) -> None:
    assert bool(new_forwards(host_with([before]).observed, parse_networks([after]))) == is_new


def test_the_message_names_the_port_and_who_listens() -> None:
    networks = parse_networks([NAT | {"name": "other", "address": "10.66.9.1/24"}, forwarding()])
    (new,) = new_forwards(FRESH, networks, "microvm_networks")
    assert new.path == "microvm_networks[1].forward_ports[0].host.port"
    message = hidden_message(new, "sshd (process 7 of ssh.service)")
    assert message.startswith("sshd (process 7 of ssh.service) listens at tcp/22 of this host")


@pytest.mark.parametrize("everybody", [[], ["0.0.0.0/0"], ["198.51.100.0/24", "0.0.0.0/1", "128.0.0.0/1"]])
def test_a_service_is_hidden_by_whatever_forwards_everybody(everybody: list[str]) -> None:
    networks = parse_networks([forwarding(sources=everybody)])
    (new,) = new_forwards(HOST, networks)
    assert hidden_socket(HOST, new, networks, [ListeningSocket("tcp", "0.0.0.0", 22)]) is not None


PEER = "198.51.100.7"
HOST_OF_TWO = replace(HOST, links={**HOST.links, "eth1": Link(False, ("10.0.0.5/24",))}, uplinks=("eth0",))


@pytest.mark.parametrize(
    ("connection", "forward", "is_hidden"),
    [
        (Connection("192.0.2.5", 22, PEER), forwarding(), True),
        (Connection("::ffff:192.0.2.5", 22, f"::ffff:{PEER}"), forwarding(), True),
        (Connection("2001:db8::5", 22, "2001:db8::7"), forwarding(), False),
        (Connection("192.0.2.5", 22, PEER), forwarding(2222), False),
        (Connection("192.0.2.5", 22, PEER), forwarding(proto="udp"), False),
        (Connection("127.0.0.1", 22, "127.0.0.1"), forwarding(), False),
        # Of a guest to the host's own port, and by an interface that is no uplink.
        (Connection("10.66.1.1", 22, "10.66.1.7"), forwarding(), False),
        (Connection("10.0.0.5", 22, "10.0.0.7"), forwarding(), False),
        (Connection("10.0.0.5", 22, "10.0.0.7"), {**forwarding(), "uplinks": ["eth1"]}, True),
        (Connection("192.0.2.5", 22, PEER), forwarding(address="192.0.2.5"), True),
        (Connection("192.0.2.5", 22, PEER), forwarding(address="192.0.2.6"), False),
        (Connection("192.0.2.5", 22, PEER), forwarding(sources=["198.51.100.0/24"]), True),
        (Connection("192.0.2.5", 22, PEER), forwarding(sources=["203.0.113.0/24"]), False),
    ],
)
def test_who_is_connected_now_and_could_not_connect_again_is_found(
    connection: Connection, forward: dict[str, Any], is_hidden: bool
) -> None:
    networks = parse_networks([WIRE, forward])
    (new,) = new_forwards(HOST_OF_TWO, networks)
    connections = [Connection("127.0.0.1", 22, "127.0.0.1"), connection]
    assert hidden_connection(HOST_OF_TWO, new, networks, connections) == (connection if is_hidden else None)


def test_the_message_names_the_port_and_who_is_connected() -> None:
    (new,) = new_forwards(FRESH, parse_networks([forwarding()]))
    connection = Connection("::ffff:192.0.2.5", 22, f"::ffff:{PEER}", 50007)
    message = interrupted_message(new, connection, "sshd (process 7 of ssh@1.service)")
    assert message.startswith(
        "198.51.100.7 is connected, from its port 50007, to tcp/22 of this host, at 192.0.2.5, by sshd (process 7 of "
        "ssh@1.service)"
    )
