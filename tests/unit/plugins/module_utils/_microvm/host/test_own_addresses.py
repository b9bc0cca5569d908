# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses and ports of this machine, with real sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import own_addresses
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.own_addresses import OtherProgram

UNIT = "microvm@x.service"


@contextmanager
def listening(address: str) -> Iterator[int]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as server:
        server.bind((address, 0))
        server.listen()
        yield int(server.getsockname()[1])


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1", True), ("127.8.9.10", True), ("::1", True), ("0:0:0::1", True), ("192.0.2.7", False)],
)
def test_addresses_of_the_host_are_told_from_others(address: str, expected: bool) -> None:
    assert own_addresses.is_own(address) == expected


@pytest.mark.parametrize(
    ("bound", "asked", "is_heard"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.1", False),
        ("::", "127.0.0.1", True),
        ("::1", "::1", True),
        ("::", "::1", True),
        ("127.0.0.1", "::1", False),
    ],
)
def test_whoever_listens_at_a_port_of_an_address_is_found(bound: str, asked: str, is_heard: bool) -> None:
    with listening(bound) as port:
        assert bool(own_addresses.listening(asked, port)) == is_heard


def test_a_port_belongs_to_whoever_listens_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening("127.0.0.1") as port:
        monkeypatch.setattr(own_addresses, "processes", lambda _unit: [str(os.getpid())])
        own_addresses.check(UNIT, "127.0.0.1", port)
        monkeypatch.setattr(own_addresses, "processes", lambda _unit: [])
        with pytest.raises(OtherProgram, match=f"127.0.0.1 is an address of this host.*{UNIT} listens at its port"):
            own_addresses.check(UNIT, "127.0.0.1", port)
    with pytest.raises(ConnectionRefusedError, match="nothing listens"):
        own_addresses.check(UNIT, "127.0.0.1", port)
    own_addresses.check(UNIT, "192.0.2.7", port)


def test_processes_of_a_unit_are_those_of_its_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = {
        "7": f"0::/system.slice/system-microvm.slice/{UNIT}",
        "8": f"0::/system.slice/system-microvm.slice/{UNIT}/below",
        "9": f"0::/system.slice/system-microvm.slice/a-{UNIT}",
        "10": "0::/init.scope",
    }
    for number, group in groups.items():
        (tmp_path / number).mkdir()
        (tmp_path / number / "cgroup").write_text(f"{group}\n")
    (tmp_path / "11").mkdir()
    (tmp_path / "self").mkdir()
    monkeypatch.setattr(own_addresses, "PROC", str(tmp_path))
    assert sorted(own_addresses.processes(UNIT)) == ["7", "8"]
