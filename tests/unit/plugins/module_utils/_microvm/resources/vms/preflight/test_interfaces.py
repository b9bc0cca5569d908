# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridges, names and ports that a host lacks are reported before anything is changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight import interfaces as module
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.interfaces import (
    check_interfaces,
    check_ports,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .placed import TAP, USER, placed


def test_bridges_must_be_there_or_awaited() -> None:
    with pytest.raises(DeclarationError, match="br-none") as refusal:
        check_interfaces(placed(TAP))
    assert refusal.value.path == "vms[0].interfaces[1].bridge"
    check_interfaces(placed(TAP), awaited=["br-none"])


@pytest.fixture
def eth0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The only interface of a host."""
    (tmp_path / "eth0").mkdir()
    monkeypatch.setattr(module, "_INTERFACES", str(tmp_path))
    return "eth0"


def test_links_must_be_there(eth0: str) -> None:
    macvtap = {"type": "macvtap", "macvtap": {"link": "eth-none", "mode": "bridge"}}
    with pytest.raises(DeclarationError, match="eth-none") as refusal:
        check_interfaces(placed({**TAP, "interfaces": [macvtap]}))
    assert refusal.value.path == "vms[0].interfaces[0].macvtap.link"
    check_interfaces(placed({**TAP, "interfaces": [{**macvtap, "macvtap": {"link": eth0, "mode": "bridge"}}]}))
    with pytest.raises(DeclarationError, match="not a macvtap") as refusal:
        check_interfaces(placed({**TAP, "interfaces": [{"type": "macvtap", "id": eth0, "bridge": "wire0"}]}))
    assert refusal.value.path == "vms[0].interfaces[0].id"


@pytest.mark.usefixtures("eth0")
@pytest.mark.parametrize(("identity", "awaited"), [("eth0", []), ("br-none", ["br-none"])])
def test_taps_have_names_of_their_own(identity: str, awaited: list[str]) -> None:
    declared = placed({**TAP, "interfaces": [{"id": identity}]})
    with pytest.raises(DeclarationError, match="not a tap") as refusal:
        check_interfaces(declared, awaited)
    assert refusal.value.path == "vms[0].interfaces[0].id"


@pytest.mark.parametrize(
    ("number", "first", "is_refused"),
    [(443, 1024, True), (1023, 1024, True), (1024, 1024, False), (53, 53, False), (52, 53, True), (8443, 9000, True)],
)
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_ports_of_root_alone_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, first: int, is_refused: bool, protocol: str
) -> None:
    start = tmp_path / "start"
    start.write_text(f"{first}\n")
    monkeypatch.setattr(module, "_PORT_START", str(start))
    ports = [{"host": {"port": port}, "guest": {"port": 22}, "proto": protocol} for port in (9999, number)]
    declared = placed({**USER, "forward_ports": ports})
    if not is_refused:
        check_ports(declared)
        return
    with pytest.raises(DeclarationError, match=f"use {first} or greater") as refusal:
        check_ports(declared)
    assert refusal.value.path == "vms[0].forward_ports[1].host.port"


def test_a_port_of_the_guest_s_network_may_lead_to_any_port_of_the_host() -> None:
    port = {"from": "guest", "host": {"address": "127.0.0.1", "port": 80}, "guest": {"address": "10.0.2.9", "port": 80}}
    check_ports(placed({**USER, "forward_ports": [port]}))
