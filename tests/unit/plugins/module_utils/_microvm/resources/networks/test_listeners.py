# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Forwarded ports that would take a service from the host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.sockets import ListeningSocket
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.listeners import (
    hidden_message,
    hidden_socket,
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
        (NAT, forwarding(sources=["198.51.100.0/24"]), False),
        (NAT, forwarding(sources=["198.51.100.0/24", "0.0.0.0/0"]), True),
        (NAT, forwarding(sources=["0.0.0.0/1", "128.0.0.0/1"]), True),
        (forwarding(sources=["198.51.100.0/24"]), forwarding(), True),
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
