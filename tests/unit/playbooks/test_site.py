# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Playbook ``site`` on several hosts, some of which cannot be reached or are refused, with fake modules."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from .fake_collection import BECOME, HERE, UNREACHABLE, run

ROLES = ("--tags", "network,images,vms")
"""Role ``host`` needs systemd, which a machine that runs unit tests may lack."""


def web(name: str = "web", network: str = "br7") -> dict[str, object]:
    """Return variables of a host that declares something of each kind."""
    return {
        **HERE,
        "microvm_networks": [{"name": network, "address": "10.9.8.1/24"}],
        "microvm_images": [{"name": "small"}],
        "microvm_vms": [{"name": name, "image": "small"}],
    }


def test_an_unreachable_host_is_named_and_the_others_are_brought_to_their_state(tmp_path: Path) -> None:
    # First in the inventory, where tasks that run once would look for it.
    hosts = {"away": UNREACHABLE, "east": web("e"), "west": web("w")}
    outcome = run(tmp_path, hosts, "microvm.fleet.site", *ROLES)
    assert outcome.status == 4, outcome.output
    assert "cannot be reached and are left as they are: away." in outcome.output
    applied = [call["vms"][0]["name"] for call in outcome.changing() if call["module"] == "microvm_vms"]
    assert sorted(applied) == ["e", "w"]


def test_a_network_that_is_kept_for_microvms_is_tried_again_after_they_have_changed(tmp_path: Path) -> None:
    hosts = {"east": web("e"), "west": web("w", network="follows")}
    outcome = run(tmp_path, hosts, "microvm.fleet.site", *ROLES)
    assert outcome.status == 0, outcome.output
    calls = [call for call in outcome.changing() if call["module"] in ("microvm_network", "microvm_vms")]
    networks = [call["networks"][0]["name"] for call in calls if call["module"] == "microvm_network"]
    assert sorted(networks[:2]) == ["br7", "follows"] and networks[2:] == ["follows"]
    assert calls[-1]["module"] == "microvm_network"


def test_only_what_an_earlier_run_has_changed_is_confirmed(tmp_path: Path) -> None:
    confirm = ("-e", "microvm_network_confirm=true", "-e", "microvm_network_return_seconds=90")
    outcome = run(tmp_path, {"west": web("w", network="follows")}, "microvm.fleet.site", *ROLES, *confirm)
    assert outcome.status == 0, outcome.output
    calls = [call for call in outcome.calls if call["module"] == "microvm_network"]
    shown = [(call["_ansible_check_mode"], str(call["confirm"]).lower()) for call in calls]
    # The last one removes a network, which is another change.
    assert shown == [(True, "true"), (False, "true"), (False, "false")]
    assert {int(call["return_seconds"]) for call in calls} == {90}


def test_role_network_takes_away_a_network_whose_declared_microvms_have_been_stopped(tmp_path: Path) -> None:
    # The way to another link of a bridge onto a LAN.
    vms = [{"name": "web", "image": "small", "interfaces": [{"bridge": "lan0"}]}]
    east = {**web(), "microvm_networks": [], "microvm_vms": vms}
    outcome = run(tmp_path, {"east": east}, "microvm.fleet.site", "--tags", "network")
    assert outcome.status == 0, outcome.output
    assert [(call["module"], call["networks"]) for call in outcome.changing()] == [("microvm_network", [])]


@pytest.mark.parametrize("others", [{}, {"away": UNREACHABLE}], ids=["all reachable", "one unreachable"])
def test_a_refused_host_stops_all_before_any_is_changed(tmp_path: Path, others: dict[str, object]) -> None:
    hosts = {**others, "east": web(), "west": web("wrong-vm"), "south": web(network="wrong")}
    outcome = run(tmp_path, hosts, "microvm.fleet.site", *ROLES)
    assert outcome.status == (4 if others else 2), outcome.output
    assert "Nothing has been changed on any host, because west, south cannot be" in outcome.output
    # Errors of different tasks are all shown.
    assert "wrong-vm cannot be" in outcome.output and "wrong cannot be" in outcome.output
    assert ("left as they are: away." in outcome.output) == bool(others)
    assert outcome.changing() == []


def test_a_microvm_of_another_host_does_not_begin_a_second_life(tmp_path: Path) -> None:
    hosts = {"east": web("idle"), "west": web("left"), "south": web("e")}
    outcome = run(tmp_path, hosts, "microvm.fleet.site", *ROLES)
    assert outcome.status == 2, outcome.output
    assert "left is declared on west, and left is installed on south" in outcome.output
    assert "microvm.fleet.move" in outcome.output and "installed on east" not in outcome.output
    assert outcome.changing() == []


def test_a_new_name_does_not_hide_a_microvm_of_another_host(tmp_path: Path) -> None:
    renamed = {**HERE, "microvm_vms": [{"name": "idle", "renamed_from": "left"}]}
    outcome = run(tmp_path, {"west": renamed, "south": web("e")}, "microvm.fleet.site", *ROLES)
    assert outcome.status == 2, outcome.output
    assert "idle is declared on west, and left is installed on south" in outcome.output
    assert outcome.changing() == []


def test_a_microvm_that_two_hosts_have_already_is_no_reason_to_stop(tmp_path: Path) -> None:
    outcome = run(tmp_path, {"east": web("kept"), "west": web("e")}, "microvm.fleet.site", *ROLES)
    assert outcome.status == 0, outcome.output


def test_a_build_host_that_cannot_be_reached_is_an_error_that_names_it(tmp_path: Path) -> None:
    hosts = {"east": {**web(), "microvm_image_build_host": "forge"}, "west": {**HERE}}
    outcome = run(
        tmp_path, hosts, "microvm.fleet.site", *ROLES, common={"ansible_port": 1, "ansible_host": "127.0.0.1"}
    )
    assert outcome.status == 2, outcome.output
    assert "The build host forge of microvm_images cannot be reached" in outcome.output
    assert "because east cannot be" in outcome.output
    assert outcome.changing() == []


def test_without_a_host_that_can_be_reached_nothing_is_done(tmp_path: Path) -> None:
    outcome = run(tmp_path, {"away": UNREACHABLE, "gone": UNREACHABLE}, "microvm.fleet.site", *ROLES)
    assert (outcome.status, outcome.calls) == (4, [])


def test_the_controller_needs_no_other_user_even_if_all_hosts_do(tmp_path: Path) -> None:
    outcome = run(tmp_path, {"east": web()}, "microvm.fleet.site", *ROLES, common=BECOME)
    assert outcome.status == 0, outcome.output
    assert [call["module"] for call in outcome.changing()].count("microvm_image") >= 1


def test_the_controller_builds_as_root_on_request(tmp_path: Path) -> None:
    hosts = {"east": {**web(), "microvm_image_build_become": True}}
    outcome = run(tmp_path, hosts, "microvm.fleet.site", *ROLES, common=BECOME)
    assert outcome.status == 2 and "because east cannot be" in outcome.output


def test_packing_the_command_needs_no_other_user(tmp_path: Path) -> None:
    playbook = tmp_path / "pack.yml"
    playbook.write_text(
        "- hosts: microvm_hosts\n"
        "  gather_facts: false\n"
        "  tasks:\n"
        "    - include_role: {name: microvm.fleet.host, tasks_from: command}\n"
    )
    outcome = run(tmp_path, {"east": HERE}, str(playbook), "--check", common=BECOME)
    assert outcome.status == 0, outcome.output


def test_a_run_of_all_roles_hands_over_what_it_brings(tmp_path: Path) -> None:
    outcome = run(tmp_path, {"east": web()}, "microvm.fleet.site", *ROLES)
    preflight, applied = [call for call in outcome.calls if call["module"] == "microvm_vms"]
    lacks = ["CONFIG_NET_9P_VIRTIO"]
    facts = {"kernel_lacks": lacks, "uses_host_key": True, "nix": True}
    assert preflight["images"] == [{"name": "small", "store_disk_type": "erofs", **facts}]
    assert preflight["bridges"] == ["br7"]
    assert [
        (image["name"], bool(image["path"]), image["uses_host_key"], image["nix"]) for image in applied["images"]
    ] == [("small", True, True, True)]
    assert applied["images"][0]["kernel_lacks"] == lacks


def test_the_default_image_is_installed_for_microvms_that_have_images_only(tmp_path: Path) -> None:
    images, runner = [{"name": "small"}, {"name": "large"}], {"name": "made", "runner": "/srv/made"}
    hosts = {
        "east": {**HERE, "microvm_vms": [runner, {"name": "own", "image": "small", "runner": None}]},
        "west": {**HERE, "microvm_vms": [{"name": "web"}, {**runner, "name": "other"}]},
        "north": {**HERE, "microvm_vms": [{**runner, "name": "third"}]},
    }
    common = {"microvm_images": images, "microvm_defaults": {"image": "large"}}
    outcome = run(tmp_path, hosts, "microvm.fleet.site", *ROLES, common=common)
    assert outcome.status == 0, outcome.output
    installed = re.findall(r"^included: \S+/install\.yml for (.+) => \(item=(\w+)\)$", outcome.output, re.MULTILINE)
    assert sorted(installed) == [("east", "small"), ("west", "large")]


def test_one_role_counts_only_on_what_the_host_has(tmp_path: Path) -> None:
    outcome = run(tmp_path, {"east": web()}, "microvm.fleet.site", "--tags", "vms")
    assert outcome.status == 0, outcome.output
    preflight, applied = outcome.calls
    assert (preflight["preflight"], preflight["images"], preflight["bridges"]) == (True, [], [])
    assert applied["images"] == []
    # That of the host.
    assert "state_dir" not in applied


@pytest.mark.parametrize("role", ["network", "images"])
def test_a_tag_selects_a_role_and_its_preflight(tmp_path: Path, role: str) -> None:
    outcome = run(tmp_path, {"east": web()}, "microvm.fleet.site", "--tags", role)
    assert outcome.status == 0, outcome.output
    assert {call["module"] for call in outcome.calls} == {
        {"network": "microvm_network", "images": "microvm_image"}[role]
    }
    assert len(outcome.changing()) < len(outcome.calls)


@pytest.mark.parametrize(
    ("names", "status", "lines"),
    [
        (["idle"], 0, []),
        (["web", "idle", "db"], 0, ["web changed", "db changed"]),
        (["broken1", "web"], 2, ["broken1 failed", "web changed"]),
    ],
)
def test_one_task_shows_what_has_changed_or_is_wrong(
    tmp_path: Path, names: list[str], status: int, lines: list[str]
) -> None:
    outcome = run(
        tmp_path, {"east": {**HERE, "microvm_vms": [{"name": name} for name in names]}}, "microvm.fleet.site", *ROLES
    )
    assert outcome.status == status, outcome.output
    # Once, and each in a line of its own.
    shown = [line.strip().strip('",') for line in outcome.output.splitlines()]
    assert [shown.count(line) for line in lines] == [1] * len(lines)
    assert ("Summarize" in outcome.output) == bool(lines)
    assert ("broken1: failed; the summary above says why" in outcome.output) == (status != 0)


def test_networks_are_handed_over_with_the_addresses_of_guests_that_they_allow(tmp_path: Path) -> None:
    networks = [
        {"name": "a0", "address": "10.9.8.1/24", "nat": True},
        {
            "name": "b0",
            "address": "10.9.9.1/24",
            "nat": True,
            "allow": [{"from": "tag:{{ tier }}", "to": "microvm:db", "ports": ["tcp/5432"]}],
        },
    ]
    vms = [
        {"name": name, "image": "small", "tags": [name], "interfaces": [{"bridge": bridge}], "guest": guest}
        for name, bridge, guest in (
            ("web", "a0", {"networks": [{"addresses": ["10.9.8.10/24"]}]}),
            ("db", "b0", {"networks": [{"addresses": ["10.9.9.10/24"]}], "hostname": "{{ inventory_hostname }}-db"}),
        )
    ]
    declared = {"microvm_networks": networks, "microvm_vms": vms, "microvm_defaults": {"image": "small"}}
    east = {**HERE, "tier": "web", **declared}
    outcome = run(tmp_path, {"east": east}, "microvm.fleet.site", "--tags", "network")
    assert outcome.status == 0, outcome.output
    calls = [call for call in outcome.calls if call["module"] == "microvm_network"]
    allowed = [{"from": "10.9.8.10", "to": "10.9.9.10", "ports": ["tcp/5432"]}]
    assert [call["networks"][1]["allow"] for call in calls] == [allowed, allowed]
    # A tag of MicroVMs of other hosts alone is no reason to remove it here.
    doubtful = run(tmp_path, {"east": {**east, "tier": "wbe"}}, "microvm.fleet.site", "--tags", "network")
    shown = " ".join(doubtful.output.split())
    place = "[WARNING]: east: microvm_networks[1] (b0).allow[0].from: no MicroVM of this host has the tag 'wbe'"
    assert place in shown and "remove" not in shown, doubtful.output
    refused = run(tmp_path, {"east": {**east, "tier": "web", "microvm_vms": vms[:1]}}, "microvm.fleet.site", *ROLES)
    assert refused.status == 2 and refused.calls == []
    assert "microvm_networks[1] (b0).allow[0].to: no MicroVM 'db' is declared for this host" in refused.output


@pytest.mark.parametrize("roles", [("host", "vms"), ("vms",)], ids=" ".join)
def test_huge_pages_are_verified_and_awaited_where_role_host_sets_them_aside(
    tmp_path: Path, roles: tuple[str, ...]
) -> None:
    pages = [{"size": "2M", "count": 8}]
    facts = {"service_mgr": "systemd", "os_family": "Debian", "distribution": "Debian", "architecture": "x86_64"}
    verify = [{"import_role": {"name": f"microvm.fleet.{role}", "tasks_from": "preflight"}} for role in roles]
    apply = {"import_role": {"name": "microvm.fleet.vms"}}
    tasks = [{"set_fact": {**facts, "cacheable": True}}, *verify, apply]
    playbook = tmp_path / "preflight.yml"
    playbook.write_text(json.dumps([{"hosts": "microvm_hosts", "gather_facts": False, "tasks": tasks}]))
    host = {**HERE, "microvm_huge_pages": pages, "microvm_vms": [{"name": "web", "kernel": "/k"}]}
    outcome = run(tmp_path, {"east": host}, str(playbook))
    assert outcome.status == 0, outcome.output
    given = [(call["module"], call["_ansible_check_mode"], call["huge_pages"]) for call in outcome.calls]
    awaited = pages if "host" in roles else []
    verified = [("microvm_host", True, pages)] if "host" in roles else []
    assert given == [*verified, ("microvm_vms", False, awaited), ("microvm_vms", False, awaited)]


NIX_KEY = f"cache-1:{'A' * 43}="


@pytest.mark.parametrize(
    ("variables", "release", "status", "words"),
    [
        ({"microvm_nix": True, "microvm_nix_trusted_keys": [NIX_KEY]}, "trixie", 0, ""),
        (
            {"microvm_nix": True},
            "bullseye",
            2,
            "The Nix of Debian bullseye is too old: the collection needs 2.8 or newer.",
        ),
        # The module refuses it.
        ({"microvm_nix_collect_garbage": "30d"}, "trixie", 0, ""),
        ({}, "bullseye", 0, ""),
    ],
    ids=["declared", "old release", "without microvm_nix", "none"],
)
def test_settings_of_nix_are_verified_before_anything_is_changed(
    tmp_path: Path, variables: dict[str, object], release: str, status: int, words: str
) -> None:
    facts = {
        "service_mgr": "systemd",
        "os_family": "Debian",
        "distribution": "Debian",
        "architecture": "x86_64",
        "distribution_release": release,
    }
    verify = {"import_role": {"name": "microvm.fleet.host", "tasks_from": "preflight"}}
    playbook = tmp_path / "preflight.yml"
    tasks = [{"set_fact": {**facts, "cacheable": True}}, verify]
    playbook.write_text(json.dumps([{"hosts": "microvm_hosts", "gather_facts": False, "tasks": tasks}]))
    outcome = run(tmp_path, {"east": {**HERE, **variables}}, str(playbook))
    assert outcome.status == status, outcome.output
    assert words in " ".join(outcome.output.split())
    given = [{name: call[name] for name in call if name.startswith("nix")} for call in outcome.calls]
    declared = {name[len("microvm_") :]: value for name, value in variables.items()}
    expected = {"nix": False, **{f"nix_{name}": [] for name in ("trusted_keys", "trusted_users", "substituters")}}
    assert given == ([{**expected, **declared}] if variables and not status else [])
    assert all(call["_ansible_check_mode"] for call in outcome.calls)
