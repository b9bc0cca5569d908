# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of a move on two hosts, with fake modules: what is done when something fails, and in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment

from .fake_collection import HERE, ROOT, Run, run


def seen(access: Path, **changes: Any) -> dict[str, Any]:
    """Return what a host answers that is asked for the MicroVM."""
    quiet: dict[str, Any] = {
        "installed": True,
        "side": None,
        "peer": None,
        "received": False,
        "volumes": [],
        "incoming": [],
    }
    return {**quiet, "access_directory": str(access), **changes}


def conduct(directory: Path, tasks: str, name: str, **target: Any) -> Run:
    """Carry out tasks of role vms on host ``east``, to which host ``west`` gives a MicroVM that was named ``www``."""
    playbook, access = directory / "tasks.yml", directory / "access"
    playbook.write_text(
        "- hosts: east\n"
        "  gather_facts: false\n"
        "  tasks:\n"
        f"    - include_role: {{name: microvm.fleet.vms, tasks_from: {tasks}}}\n"
    )
    vms = [{"name": name, "renamed_from": "www", "state": "restarted"}, {"name": "own"}]
    hosts = {
        "east": {**HERE, "microvm_vms": vms, "__microvm_move_seen": seen(access, **target)},
        "west": {**HERE, "microvm_vms": [], "__microvm_move_seen": seen(access)},
    }
    common = {"microvm_move": name, "microvm_move_to": "east"}
    if tasks != "main":
        common["__microvm_move_from"] = "west"
    return run(directory, hosts, str(playbook), common=common)


def stages(outcome: Run) -> list[str]:
    """Return the stages that hosts were brought to, in order."""
    return [call["state"] for call in outcome.changing() if call["module"] == "microvm_move"]


def test_a_move_that_has_let_the_target_start_is_not_taken_back_by_a_later_failure(tmp_path: Path) -> None:
    outcome = conduct(tmp_path, "move", "broken", side="target", peer="west", received=True)
    assert outcome.status == 2 and stages(outcome) == [], outcome.output
    assert "broken has had its volumes on east since an earlier run, and stays there" in outcome.output


def test_a_move_that_goes_on_after_the_target_may_start_is_finished(tmp_path: Path) -> None:
    outcome = conduct(tmp_path, "move", "web", side="target", peer="west", received=True)
    assert outcome.status == 0 and stages(outcome) == ["finished", "finished"], outcome.output


def test_a_take_back_asks_the_source_before_it_touches_the_target(tmp_path: Path) -> None:
    # A run that was interrupted has left its key.
    (tmp_path / "access").mkdir()
    outcome = conduct(tmp_path, "move_back", "web", side="target", peer="west")
    calls = [(call["state"], call["peer"], call["_ansible_check_mode"]) for call in outcome.calls]
    expected = [("released", "east", True), ("incoming", "west", False), ("released", "east", False)]
    assert (outcome.status, calls) == (0, expected), outcome.output
    assert not (tmp_path / "access").exists()


def test_the_target_is_verified_with_all_of_its_declarations(tmp_path: Path) -> None:
    outcome = conduct(tmp_path, "move_verify", "web", side="target", peer="west")
    (preflight,) = [call for call in outcome.calls if call["module"] == "microvm_vms"]
    assert {vm["name"]: vm.get("state") for vm in preflight["vms"]} == {"own": None, "web": "present"}, outcome.output
    (incoming,) = [call for call in outcome.calls if call["module"] == "microvm_move"]
    assert (incoming["state"], incoming["renamed_from"]) == ("incoming", "www")


def test_a_move_says_nothing_of_other_microvms(tmp_path: Path) -> None:
    outcome = conduct(tmp_path, "move", "moved", side="target", peer="west", received=True)
    assert outcome.status == 0 and "moved changed" in outcome.output, outcome.output
    assert "not declared" not in outcome.output
    assert "not declared (microvm_purge: report): own" in conduct(tmp_path, "main", "moved").output


def load(path: str) -> Any:
    """Return the content of a YAML file of the collection."""
    return yaml.safe_load((ROOT / path).read_text())


def test_a_copy_that_a_killed_run_has_left_is_stopped_by_its_name() -> None:
    unit = "{{ __microvm_move_comment }}.service"
    (copy,) = [task for task in load("roles/vms/tasks/move_receive.yml") if task["name"] == "Copy the volumes"]
    assert "__microvm_move_unit + " in copy["ansible.builtin.command"]["argv"]
    assert f"--unit={unit}" in load("roles/vms/vars/main.yml")["__microvm_move_unit"]
    for file in ("move_open", "move_close"):
        commands = [task.get("ansible.builtin.command", {}).get("argv") for task in load(f"roles/vms/tasks/{file}.yml")]
        assert ["systemctl", "stop", unit] in commands
    assert load("roles/vms/tasks/move_open.yml")[0]["ansible.builtin.command"]["argv"] == ["systemctl", "stop", unit]


def test_the_networks_of_the_target_are_verified_before_its_microvms() -> None:
    prepare = load("playbooks/move.yml")[1]["tasks"]
    preflight = {"name": "microvm.fleet.network", "tasks_from": "preflight"}
    tasks = [next(value for key, value in task.items() if key.endswith("_role")) for task in prepare]
    assert tasks.index(preflight) < tasks.index({"name": "microvm.fleet.vms", "tasks_from": "move_verify"})


@pytest.mark.parametrize(
    ("address", "destination"),
    [("2001:db8::7", "root@[2001:db8::7]::"), ("[2001:db8::7]", "root@[2001:db8::7]::"), ("host7", "root@host7::")],
)
def test_an_ipv6_address_is_in_brackets(address: str, destination: str) -> None:
    values = load("roles/vms/vars/main.yml")
    rendered = Environment().from_string(values["__microvm_move_destination"]).render(__microvm_move_host=address)
    assert rendered.strip() == destination


def test_the_source_is_asked_again_directly_before_the_target_may_start() -> None:
    *_others, ask, judge, accept = load("roles/vms/tasks/move_receive.yml")
    asked, accepted = (task["microvm.fleet.microvm_move"]["state"] for task in (ask, accept))
    assert (asked, ask["check_mode"], accepted) == ("held", True, "accepted")
    conditions = [f"{ask['register']} is not changed", f"{ask['register']}.side == 'source'"]
    assert judge["ansible.builtin.assert"]["that"] == [*conditions, f"not {ask['register']}.running"]
