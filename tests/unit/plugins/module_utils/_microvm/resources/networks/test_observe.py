# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is looked at of a host, and what is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import files, systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks import observe
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.configuration import (
    configuration,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.firewalls import Firewalls

NAT: dict[str, Any] = {"name": "microvm0", "address": "10.66.1.1/24", "nat": True}
LAN: dict[str, Any] = {"name": "lan0", "link": "eth0"}
LEFT: dict[str, Any] = {**LAN, "other_firewalls": "leave"}


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Files of a host that has nothing else."""
    contents: dict[str, str] = {}
    monkeypatch.setattr(observe, "_content", contents.get)
    monkeypatch.setattr(observe, "run", lambda argv: "[]" if "-json" in argv else "")
    monkeypatch.setattr(observe, "observe_lan_interfaces", lambda _links: {})
    monkeypatch.setattr(systemd, "show", lambda units: dict.fromkeys(units, Unit()))
    return contents


@pytest.mark.parametrize(("value", "learns"), [("0\n", True), ("1\n", False), (None, False)])
def test_a_bridge_that_learns_of_frames_that_rules_do_not_see_is_known(
    value: str | None, learns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [{"ifname": "nobridge0", "addr_info": [], "flags": ["UP"]}]
    monkeypatch.setattr(observe, "run", lambda _argv: json.dumps(listed))
    parameter = "/sys/class/net/nobridge0/bridge/no_linklocal_learn"
    monkeypatch.setattr(files, "read_text", lambda path: value if path == parameter else None)
    assert observe.observe_links()["nobridge0"].learns_link_local is learns


def test_leases_are_read_of_servers_of_networks(recorded: dict[str, str]) -> None:
    server = {**NAT, "dhcp_server": {}}
    recorded.update(configuration(parse_networks([server, {"name": "other0", "address": "10.66.2.1/24"}])))
    assert observe.observe().kept_leases == {}
    recorded.update({f"{observe.LEASES}/{name}": name for name in ("microvm0", "other0", "eth0")})
    assert observe.observe().kept_leases == {"microvm0": "microvm0"}


@pytest.mark.parametrize(
    ("before", "declared", "reads_rules"),
    [
        ([], [], False),
        ([NAT], [NAT], False),
        ([], [LAN], True),
        ([LAN], [], True),
        ([LEFT], [LAN], True),
        ([], [NAT, LEFT], False),
        ([LEFT], [LEFT], False),
        ([LEFT], [], False),
    ],
)
def test_rules_of_others_are_read_where_a_bridge_takes_an_interface_from_them(
    before: list[dict[str, Any]],
    declared: list[dict[str, Any]],
    reads_rules: bool,
    recorded: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []

    def observed(_units: object, _own_tables: object, is_read: bool) -> Firewalls:
        asked.append(is_read)
        return Firewalls()

    monkeypatch.setattr(observe, "observe_firewalls", observed)
    recorded.update(configuration(parse_networks(before)))
    assert observe.observe(parse_networks(declared)).files.keys() <= recorded.keys()
    assert asked == [reads_rules]
