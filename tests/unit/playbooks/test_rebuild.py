# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook ``rebuild`` with fake modules: which MicroVMs it brings to which state."""

from __future__ import annotations

import json
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
            {"name": "gone", "flake": "path:/f", "state": "absent"},
            {"name": "db", "flake": "path:/f", "state": "absent"},
        ],
    },
    "west": {
        **HERE,
        "microvm_vms": [
            {"name": "db", "runner": "/nix/store/x", "restart_policy": "window"},
            {"name": "up-idle", "runner": "/nix/store/x"},
            {"name": "web", "image": "base"},
            {"name": "wrong", "flake": "path:/f"},
        ],
    },
    "south": {
        **HERE,
        "microvm_defaults": {"flake": "path:/all", "manage": "once", "state": "stopped"},
        "microvm_vms": [{"name": "mail"}, {"name": "local", "flake": None, "image": "base"}],
    },
    "empty": {**HERE},
}
"""Hosts of whose MicroVMs those run whose names begin with ``up``, and those are refused whose names begin with
``wrong``; one host declares none, and one declares that it does not have what another one has."""


def rebuild(directory: Path, *words: str) -> Run:
    """Run the playbook with these extra variables."""
    options = [part for word in words for part in ("--extra-vars", word)]
    return run(directory, HOSTS, "microvm.fleet.rebuild", *options)


@pytest.mark.parametrize(
    ("words", "names", "action", "policy"),
    [
        (["microvm_rebuild=web"], ["web"], "switch", "if_changed"),
        (["microvm_rebuild=db", "microvm_rebuild_action=test"], ["db"], "test", "if_changed"),
        (['{"microvm_rebuild": ["db", "web"]}'], ["db", "web"], "switch", "if_changed"),
        (["microvm_rebuild=up-idle", "microvm_rebuild_action=boot"], ["up-idle"], "boot", "never"),
        (["microvm_rebuild=mail"], ["mail"], "switch", "if_changed"),
    ],
)
def test_the_named_microvms_are_switched_or_restarted_and_no_others(
    tmp_path: Path, words: list[str], names: list[str], action: str, policy: str
) -> None:
    outcome = rebuild(tmp_path, *words)
    assert outcome.status == 0, outcome.output
    vms = rebuilt(outcome)
    assert [vm["name"] for vm in vms] == names
    for vm in vms:
        assert (vm["state"], vm["ssh_switch"], vm["restart_policy"]) == ("started", action, policy)
        # A default `manage: once` would leave the packages as they are.
        assert vm["manage"] == "always"
    assert all(vm["flake"] == "path:/f" and vm["tags"] == ["blue"] for vm in vms if vm["name"] == "web")


def rebuilt(outcome: Run) -> list[dict[str, Any]]:
    """Return the MicroVMs that are brought to a state."""
    calls = [call for call in outcome.changing() if call["module"] == "microvm_vms"]
    assert {call["purge"] for call in calls} == {"report"}
    return sorted((vm for call in calls for vm in call["vms"]), key=lambda vm: str(vm["name"]))


@pytest.mark.parametrize("action", ["boot", "dry-activate"])
def test_what_is_down_is_only_installed_by_what_activates_nothing(tmp_path: Path, action: str) -> None:
    names = ["db", "mail", "up-idle", "web"]
    outcome = rebuild(tmp_path, json.dumps({"microvm_rebuild": names, "microvm_rebuild_action": action}))
    assert outcome.status == 0, outcome.output
    states = {vm["name"]: (vm["state"], vm["manage"], vm["ssh_switch"]) for vm in rebuilt(outcome)}
    # What is declared to be stopped does not start with the host either.
    wanted = {"db": "present", "mail": "stopped", "up-idle": "started", "web": "stopped"}
    assert states == {name: (state, "always", action) for name, state in wanted.items()}


@pytest.mark.parametrize("action", ["switch", "boot"])
def test_what_one_host_is_refused_for_keeps_all_hosts_as_they_are(tmp_path: Path, action: str) -> None:
    # The first host in the inventory has nothing against its own part.
    outcome = rebuild(tmp_path, json.dumps({"microvm_rebuild": ["web", "wrong"], "microvm_rebuild_action": action}))
    assert outcome.status == 2 and "wrong cannot be" in outcome.output, outcome.output
    assert "Nothing has been changed on any host, because west cannot be" in outcome.output
    verified = [call for call in outcome.calls if call["module"] == "microvm_vms"]
    assert sorted(vm["name"] for call in verified for vm in call["vms"]) == ["web", "wrong"]
    assert all(call["preflight"] for call in verified)


def test_what_was_verified_is_what_is_done(tmp_path: Path) -> None:
    outcome = rebuild(tmp_path, '{"microvm_rebuild": ["mail", "web", "up-idle"], "microvm_rebuild_action": "boot"}')
    assert outcome.status == 0, outcome.output
    calls = [call for call in outcome.calls if call["module"] == "microvm_vms"]
    verified, done = ([call for call in calls if bool(call.get("preflight")) is first] for first in (True, False))
    by_names = {call["vms"][0]["name"]: call for call in verified}
    assert [by_names[call["vms"][0]["name"]]["vms"] for call in done] == [call["vms"] for call in done]
    # What the flakes were evaluated to.
    known = {name: entry["path"] for call in done for name, entry in call["built"].items()}
    assert known == {"web": "/nix/store/web", "mail": "/nix/store/mail"}


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["microvm_rebuild="],
        ["microvm_rebuild=other"],
        ["microvm_rebuild=own"],
        ["microvm_rebuild=gone"],
        ["microvm_rebuild=local"],
        ["microvm_rebuild=web", "microvm_rebuild_action=reboot"],
    ],
)
def test_what_cannot_be_rebuilt_is_refused_before_anything_is_done(tmp_path: Path, words: list[str]) -> None:
    outcome = rebuild(tmp_path, *words)
    assert outcome.status == 2 and outcome.calls == [], outcome.output
    assert (
        "by packages of Nix (runner or flake), and not as absent, which are web, db, up-idle, wrong, mail, and "
        "microvm_rebuild_action to switch, test, boot or dry-activate" in " ".join(outcome.output.split())
    )
