# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses that the host knows without having given them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import dhcp, files
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError

MAC = [2, 0, 0, 0, 0, 171]
CLIENT = [255, 159, 66, 65, 71, 0, 2, 0, 0, 171, 17, 209, 235, 62, 250, 137, 4, 50, 39]
LEASE = [2, CLIENT, [10, 9, 1, 140], [0, 0, 0, 0], MAC + [0] * 10, 33078644104]
"""As systemd 257 answers for a client that names itself by a DUID."""
LEASES = {"type": "v", "data": [{"type": "a(uayayayayt)", "data": [LEASE, [*LEASE[:2], [10, 9, 1, 7], *LEASE[3:]]]}]}
NEIGHBOURS = [
    {"dst": "10.9.1.140", "dev": "br5", "lladdr": "02:00:00:00:00:AB", "state": ["STALE"]},
    {"dst": "10.9.1.200", "dev": "br5", "lladdr": "02:00:00:00:00:cd", "state": ["REACHABLE"]},
    {"dst": "fe80::1", "dev": "br5", "lladdr": "02:00:00:00:00:cd", "state": ["STALE"]},
    {"dst": "10.9.1.201", "dev": "br5", "state": ["FAILED"]},
]


def install(monkeypatch: pytest.MonkeyPatch, index: str | None, leases: object, neighbours: object) -> list[str]:
    """Let a host answer; the result has the objects that are asked for."""
    asked: list[str] = []

    def run(words: Sequence[str], _seconds: float) -> str:
        asked.append(next((word for word in words if word.startswith("/org/")), words[0]))
        answer = leases if words[0] == "busctl" else neighbours
        if isinstance(answer, HostError):
            raise answer
        return answer if isinstance(answer, str) else json.dumps(answer)

    monkeypatch.setattr(dhcp, "run", run)
    monkeypatch.setattr(files, "read_text", lambda _path: index)
    return asked


def test_leases_and_neighbours_are_found_by_mac_address(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = install(monkeypatch, "12\n", LEASES, NEIGHBOURS)
    assert dhcp.addresses_behind("br5") == {
        "02:00:00:00:00:ab": ["10.9.1.140", "10.9.1.7"],
        "02:00:00:00:00:cd": ["10.9.1.200"],
    }
    assert asked == ["/org/freedesktop/network1/link/_312", "ip"]


@pytest.mark.parametrize(
    ("index", "leases", "neighbours"),
    [
        (None, LEASES, []),
        ("3", HostError("busctl is not installed"), HostError("no such device")),
        ("3", {"type": "v", "data": [{"type": "as", "data": ["x"]}]}, ""),
        ("3", "", "no JSON"),
        ("3", {"data": []}, {}),
    ],
)
def test_a_host_that_knows_nothing_has_no_addresses(
    monkeypatch: pytest.MonkeyPatch, index: str | None, leases: object, neighbours: object
) -> None:
    install(monkeypatch, index, leases, neighbours)
    assert dhcp.addresses_behind("br5") == {}
