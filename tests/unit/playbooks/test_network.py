# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of role network, with fake modules: who confirms a change of the host's own connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .fake_collection import HERE, Run, run

LAN = [{"name": "lan0", "link": "eth0"}]


def conduct(directory: Path, tasks: str, **variables: Any) -> Run:
    """Carry out tasks of role network on a host with a local connection."""
    playbook = directory / "tasks.yml"
    role = {"include_role": {"name": "microvm.fleet.network", "tasks_from": tasks}}
    playbook.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": [role]}]))
    return run(directory, {"here": {**HERE, "microvm_networks": LAN, **variables}}, str(playbook))


def test_a_local_connection_confirms_nothing_and_the_message_says_who_does(tmp_path: Path) -> None:
    changed = {"unconfirmed": ["lan0"]}
    outcome = conduct(tmp_path, "confirm", __microvm_network_changed=changed, __microvm_networks_to_confirm=LAN)
    assert (outcome.status, outcome.calls) == (2, []), outcome.output
    assert "The change of lan0 is made" in outcome.output
    assert "microvm_network_confirm=true" in outcome.output


def test_who_has_looked_confirms_by_a_variable(tmp_path: Path) -> None:
    for tasks, networks in (("main", LAN), ("remove", [])):
        outcome = conduct(tmp_path, tasks, microvm_network_confirm=True)
        calls = [(call["networks"], call["confirm"]) for call in outcome.calls]
        assert (outcome.status, calls) == (0, [(networks, True)]), outcome.output
    outcome = conduct(tmp_path, "main")
    assert [call["confirm"] for call in outcome.calls] == [False], outcome.output
