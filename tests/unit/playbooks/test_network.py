# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of role network, with fake modules: who confirms a change of the host's own connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .fake_collection import HERE, Run, run

LAN = [{"name": "lan0", "link": "eth0"}]


def conduct(directory: Path, tasks: str, *arguments: str, **variables: Any) -> Run:
    """Carry out tasks of role network on a host, by default with a local connection."""
    playbook = directory / "tasks.yml"
    role = {"include_role": {"name": "microvm.fleet.network", "tasks_from": tasks}}
    playbook.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": [role]}]))
    return run(directory, {"here": {**HERE, "microvm_networks": LAN, **variables}}, str(playbook), *arguments)


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


UNSURE = [{"name": "unsure0", "link": "eth0"}]


def test_check_mode_says_that_a_local_connection_would_confirm_nothing(tmp_path: Path) -> None:
    outcome = conduct(tmp_path, "main", microvm_networks=UNSURE)
    assert outcome.status == 2 and "The change of unsure0 is made" in outcome.output, outcome.output
    outcome = conduct(tmp_path, "main", "--check", microvm_networks=UNSURE)
    assert outcome.status == 0 and "is made" not in outcome.output, outcome.output
    assert (
        "A run would change the host's own connection (unsure0), with a timer that takes the change back after 60 s."
        in (outcome.output)
    )
    assert "A run would then fail, since Ansible runs on the host itself" in outcome.output
    # Nor does check mode say anything where nothing would be confirmed.
    assert "A run would" not in conduct(tmp_path, "main", "--check").output


def test_check_mode_says_that_a_new_connection_would_confirm(tmp_path: Path) -> None:
    said = "The change of lan0 by an earlier run waits for its confirmation. A run would then connect to the host anew"
    for waiting in (["lan0"], []):
        changed = {"unconfirmed": ["lan0"], "waiting": waiting}
        variables = {"__microvm_network_changed": changed, "ansible_connection": "ssh"}
        outcome = conduct(tmp_path, "confirm_check", "--check", **variables)
        assert (outcome.status, outcome.calls) == (0, []), outcome.output
        assert (said in outcome.output) == bool(waiting) and "A run would then connect" in outcome.output
