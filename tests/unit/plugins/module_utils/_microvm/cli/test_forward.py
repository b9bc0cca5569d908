# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm forward`` takes the first way to a guest that its host knows."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any, List, Optional, Tuple

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli import parser
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.commands import forward
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import peer
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError


def connection(kind: str, place: object, port: int, _deadline: object) -> Tuple[str, object, int]:
    """Return what a connection would be made to."""
    return kind, place, port


class FakePlaces:
    """Places of a host whose package names a socket of the hypervisor, or none."""

    def __init__(self, socket: str) -> None:
        self.store = self
        self.socket = socket

    def read(self, _package: str, _file: str) -> str:
        return f"{self.socket}\n" if self.socket else ""

    def work(self, name: str, file: str) -> str:
        return f"/vms/{name}/work/{file}"


@pytest.mark.parametrize(
    ("declared", "seen", "socket", "cid", "way"),
    [
        ("10.0.0.2", ["10.0.0.9"], "x.vsock", 7, ("tcp", "10.0.0.2")),
        (None, ["10.0.0.9", "10.0.0.8"], "x.vsock", 7, ("tcp", "10.0.0.9")),
        (None, [], "x.vsock", 7, ("multiplexer", "/vms/web/work/x.vsock")),
        (None, [], "", 7, ("vsock", 7)),
        (None, [], "", None, None),
    ],
    ids=["a declared address", "an address by DHCP", "a socket of the hypervisor", "a vsock", "nothing"],
)
def test_the_first_way_that_is_known_is_taken(
    monkeypatch: pytest.MonkeyPatch,
    declared: Optional[str],
    seen: List[str],
    socket: str,
    cid: Optional[int],
    way: Any,
) -> None:
    monkeypatch.setattr(forward, "declared_address", lambda _vm, _places: declared)
    for kind in ("tcp", "multiplexer", "vsock"):
        monkeypatch.setattr(peer, f"connect_{kind}", partial(connection, kind))
    vm: Any = {"name": "web", "booted": "0-web", "current": "0-web", "dhcp_addresses": seen, "vsock_cid": cid}
    places: Any = FakePlaces(socket)
    if way is None:
        with pytest.raises(HostError, match="no address of web is known"):
            forward._connect(vm, places, 22)
    else:
        taken: object = forward._connect(vm, places, 22)
        assert taken == (*way, 22)


@pytest.mark.parametrize(
    ("port", "is_port"), [("22", True), ("65535", True), ("65536", False), ("0", False), ("x", False)]
)
def test_a_port_is_one_of_tcp(port: str, is_port: bool) -> None:
    if is_port:
        assert parser._port(port) == int(port)
    else:
        with pytest.raises(argparse.ArgumentTypeError):
            parser._port(port)
