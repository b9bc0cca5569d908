# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of taps, and what the kernel has of them."""

from __future__ import annotations

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.rules import unbound_tap
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.taps import (
    bound_mac,
    deletions,
    parse_elements,
    parse_entries,
)

BOUND = """\
add element bridge microvm_fleet taps { "mv-a" }
add element bridge microvm_fleet macs { "mv-a" . 02:00:00:00:00:0A }
add element bridge microvm_fleet bound_macs { 02:00:00:00:00:0A }
add element bridge microvm_fleet bound { 10.66.1.9 }
"""


def test_a_tap_that_a_run_admitted_is_bound_to_nobody() -> None:
    assert bound_mac(BOUND) == "02:00:00:00:00:0a"
    assert bound_mac(unbound_tap("mv-a")) is None
    assert bound_mac(None) is None


def test_elements_of_a_former_tap_go_but_for_those_of_its_successor() -> None:
    successor = BOUND.replace("mv-a", "mv-b")
    assert deletions(BOUND, [successor]) == [
        'delete element bridge microvm_fleet taps { "mv-a" }',
        'delete element bridge microvm_fleet macs { "mv-a" . 02:00:00:00:00:0A }',
    ]
    assert len(deletions(BOUND, [])) == 4


def test_sets_and_entries_of_bridges_are_read_as_programs_print_them() -> None:
    printed = (
        'table bridge microvm_fleet {\n\tset taps {\n\t\ttype ifname\n\t\telements = { "mv-a",\n\t\t\t     "mv-b" }\n'
    )
    assert parse_elements(printed) == {"mv-a", "mv-b"}
    assert parse_elements("table bridge microvm_fleet {\n\tset taps {\n\t\ttype ifname\n\t}\n}\n") == set()
    entries = """[{"mac":"02:00:00:00:00:0A","ifname":"mv-a","flags":[],"master":"microvm0","state":"static"},
        {"mac":"02:00:00:00:00:0b","ifname":"mv-b","flags":[],"master":"microvm0","state":"permanent"},
        {"mac":"02:00:00:00:00:0c","ifname":"mv-b","flags":[],"master":"microvm0","state":""}]"""
    assert parse_entries(entries) == {("mv-a", "02:00:00:00:00:0a")}
    assert parse_entries("") == set()
