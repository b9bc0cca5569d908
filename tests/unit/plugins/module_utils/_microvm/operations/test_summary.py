# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Summaries of runs: what has changed or is wrong, and why."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.summary import summarize


def vm(name: str, **values: Any) -> Any:
    """Return the result of a MicroVM, by default of one that is as it was."""
    return {
        "name": name,
        "state": "started",
        "changed": False,
        "failed": False,
        "rolled_back": False,
        "refused_package": None,
        "restart_pending": False,
        "package": "0-x",
        "previous_package": "0-x",
        "consequence": "nothing",
        "changes": [],
        "actions": [],
        "kept": [],
        "msg": "",
        **values,
    }


NEW = vm("new", changed=True, previous_package=None, consequence="start")
CHANGED = vm("cache", changed=True, consequence="restart", changes=[{"option": "vcpu"}, {"option": "volumes[1].size"}])
STARTED = vm("lost", changed=True, consequence="start", actions=["systemctl start microvm@lost.service"])
STORED = vm(
    "shop",
    changed=True,
    consequence="restart",
    package="/nix/store/1a7qkv4bk5n7il3p-microvm-shop",
    previous_package="/nix/store/61a3hnr8k611a3gz-microvm-shop",
    actions=["record shop", "link old /nix/store/61a3hnr8k611a3gz-microvm-shop"],
)
RENAMED = {**STORED, "package": "path:/f#nixos", "actions": ["rename the user of store", "record shop"]}
PENDING = vm("db", restart_pending=True, consequence="restart pending")
REFUSED = vm("queue", refused_package="1-x")
REMOVED = vm("old", state="absent", changed=True, consequence="stop", package=None, kept=["d.img"])
FAILED = vm("mail", changed=True, failed=True, consequence="start", msg="no bridge br9\nLast lines:\nx")
ROLLED_BACK = vm("dns", changed=True, failed=True, rolled_back=True, refused_package="2-x", msg="not up")

CASES: dict[str, tuple[list[Any], list[str], bool, list[str]]] = {
    "nothing": ([vm("a"), vm("b")], [], False, []),
    "all kinds": (
        [vm("a"), NEW, CHANGED, STARTED, STORED, RENAMED, PENDING, REFUSED, REMOVED, FAILED, ROLLED_BACK, vm("b")],
        [],
        False,
        [
            "MICROVM  OUTCOME      GUEST            WHY",
            "new      changed      start            new",
            "cache    changed      restart          vcpu, volumes[1].size",
            "lost     changed      start            systemctl start microvm@lost.service",
            "shop     changed      restart          package 61a3hnr8 -> 1a7qkv4b",
            "shop     changed      restart          package 61a3hnr8 -> path:/f#nixos, rename the user of store",
            "db       pending      restart pending  to apply it: microvm restart db",
            "queue    refused      -                1-x is marked bad; see: microvm generations queue",
            "old      changed      stop             removed, keeps d.img",
            "mail     failed       start            no bridge br9",
            "dns      rolled back  nothing          not up",
            "Unchanged: 2 more.",
            "mail:",
            "  Last lines:",
            "  x",
        ],
    ),
    "check mode": ([NEW], [], True, ["MICROVM  OUTCOME       GUEST  WHY", "new      would change  start  new"]),
    "undeclared": (
        [vm("a")],
        ["c", "d"],
        False,
        ["Installed on the host but not declared (microvm_purge: report): c, d"],
    ),
}


@pytest.mark.parametrize(("vms", "undeclared", "check", "lines"), CASES.values(), ids=CASES.keys())
def test_the_summary_shows_what_is_not_as_it_was(
    vms: list[Any], undeclared: list[str], check: bool, lines: list[str]
) -> None:
    assert summarize(vms, undeclared, "report", check) == lines


def test_a_long_reason_is_cut_in_the_table_and_whole_below_it() -> None:
    reason = f"path:/srv/machines#{'x' * 300} cannot be built: error: No space left on device"
    (_head, line, *details) = summarize([vm("a", failed=True, msg=f"{reason}\nits end")], [], "report", False)
    assert len(line) < 260 and "No space" not in line
    assert details == ["a:", f"  {reason}", "  its end"]
    (*_lines, last) = summarize([vm("a", failed=True, msg="x" * 9000)], [], "report", False)
    assert len(last) < 1100
