# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook ``rebuild`` with fake modules: which MicroVMs it brings to which state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .fake_collection import HERE, Run, run

HOSTS: dict[str, Any] = {
    "east": {
        **HERE,
        "microvm_vms": [
            {"name": "web", "flake": "path:/f", "manage": "once", "state": "stopped", "tags": ["blue"]},
            {"name": "own", "image": "base"},
        ],
    },
    "west": {**HERE, "microvm_vms": [{"name": "db", "runner": "/nix/store/x", "restart_policy": "window"}]},
}


def rebuild(directory: Path, *words: str) -> Run:
    """Run the playbook with these extra variables."""
    options = [part for word in words for part in ("--extra-vars", word)]
    return run(directory, HOSTS, "microvm.fleet.rebuild", *options)


@pytest.mark.parametrize(
    ("words", "names", "action", "policy"),
    [
        (["microvm_rebuild=web"], ["web"], "switch", "if_changed"),
        (["microvm_rebuild=db", "microvm_rebuild_action=test"], ["db"], "test", "if_changed"),
        (['{"microvm_rebuild": ["db", "web"], "microvm_rebuild_action": "boot"}'], ["db", "web"], "boot", "never"),
    ],
)
def test_the_named_microvms_are_switched_or_restarted_and_no_others(
    tmp_path: Path, words: list[str], names: list[str], action: str, policy: str
) -> None:
    outcome = rebuild(tmp_path, *words)
    assert outcome.status == 0, outcome.output
    vms = sorted((vm for call in outcome.calls for vm in call["vms"]), key=lambda vm: str(vm["name"]))
    assert [vm["name"] for vm in vms] == names and {call["purge"] for call in outcome.calls} == {"report"}
    for vm in vms:
        assert (vm["state"], vm["ssh_switch"], vm["restart_policy"]) == ("started", action, policy)
    assert all(
        vm["flake"] == "path:/f" and vm["manage"] == "always" and vm["tags"] == ["blue"]
        for vm in vms
        if vm["name"] == "web"
    )


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["microvm_rebuild="],
        ["microvm_rebuild=other"],
        ["microvm_rebuild=own"],
        ["microvm_rebuild=web", "microvm_rebuild_action=reboot"],
    ],
)
def test_what_cannot_be_rebuilt_is_refused_before_anything_is_done(tmp_path: Path, words: list[str]) -> None:
    outcome = rebuild(tmp_path, *words)
    assert outcome.status == 2 and outcome.calls == [], outcome.output
    assert "which are db, web, and microvm_rebuild_action to switch, test, boot or dry-activate" in " ".join(
        outcome.output.split()
    )
