# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of the examination is complete, its file of results is valid, and a run replaces only its own rows."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tools"), str(ROOT / "plugins" / "module_utils")]

from _microvm.hypervisors.profiles import PROFILES
from generating.evidence import UNCLAIMED, UNSEEN, Evidence
from generating.pages import option_label
from generating.support import SUPPORT
from hosts.hypervisors.cells import Cell, combined
from hosts.hypervisors.programs import ON_LINUX, parse_version
from hosts.hypervisors.results import BadResults, Outcome, Row, merged, parse, read, summary, text
from hosts.hypervisors.table import TABLE, WITHOUT_CELL

LABELS = [option_label(path, value) for path, by_value in SUPPORT.items() for value in by_value]
SHOWN = {label for cell in TABLE for label in cell.rows}
CELLS = {cell.name: cell for cell in TABLE}


def row(hypervisor: str = "qemu", cell: str = "boot", outcome: Outcome = Outcome.HELD, version: str = "1") -> Row:
    """Return a row of results."""
    reason = "" if outcome is Outcome.HELD else "because"
    return Row(hypervisor, cell, outcome, reason, version, "2026-11-26", "trixie", "kvm")


@pytest.mark.parametrize("label", LABELS)
def test_every_capability_has_a_cell_or_a_reason(label: str) -> None:
    assert (label in SHOWN) != (label in WITHOUT_CELL)


def test_every_cell_shows_capabilities_that_exist() -> None:
    assert SHOWN | set(WITHOUT_CELL) <= set(LABELS)


def test_names_of_cells_are_unique_and_cells_of_one_boot_are_neighbours() -> None:
    assert len(CELLS) == len(TABLE)
    boots = [boot for boot, _cells in groupby(TABLE, key=lambda cell: cell.boot)]
    assert len(boots) == len(set(boots))


@pytest.mark.parametrize("label", sorted(SHOWN))
def test_a_cell_is_claimed_by_those_alone_that_the_page_says_support_it(label: str) -> None:
    path, _colon, value = label.partition(": ")
    supporting = set(SUPPORT[path][value]) & set(ON_LINUX)
    claiming = {name for name in ON_LINUX for cell in TABLE if label in cell.rows and cell.is_claimed(PROFILES[name])}
    assert claiming <= supporting


def test_the_results_are_valid() -> None:
    rows = read()
    assert text(rows) == (ROOT / "tests" / "hosts" / "hypervisors" / "results.json").read_text()
    assert {row.cell for row in rows} <= set(CELLS)
    assert {row.hypervisor for row in rows} <= set(ON_LINUX)


def test_a_run_replaces_only_its_own_rows() -> None:
    before = [row(cell="boot"), row(cell="reboot"), row("alioth")]
    after = [row(cell="boot", outcome=Outcome.FELL_SHORT, version="2")]
    assert merged(before, after) == [row("alioth"), *after, row(cell="reboot")]


def test_a_cell_that_is_not_run_keeps_its_earlier_outcome() -> None:
    skipped = row(outcome=Outcome.NOT_RUN, version="2")
    assert merged([row()], [skipped]) == [row()]
    assert merged([], [skipped]) == [skipped]
    assert merged([row(outcome=Outcome.NOT_RUN)], [skipped]) == [skipped]


def test_the_file_has_one_row_in_each_line_whatever_the_order_of_the_run() -> None:
    rows = [row("qemu"), row("alioth", "reboot"), row("alioth", "boot")]
    lines = text(rows).splitlines()
    assert text(reversed(rows)).splitlines() == lines
    assert len(lines) == 5 and '"boot"' in lines[1]
    assert parse(text(rows)) == sorted(rows, key=lambda row: row.key)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("{}x", "no list of results"),
        ('[{"hypervisor": "qemu"}]', "no list of results"),
        (text([row()]).replace('"held"', '"fine"'), "no list of results"),
        (text([row(), row()]), "two rows"),
        (text([row(outcome=Outcome.FELL_SHORT)]).replace("because", ""), "a reason belongs"),
        (text([row(version="")]), "version and date are missing"),
    ],
)
def test_a_broken_file_is_refused(broken: str, message: str) -> None:
    with pytest.raises(BadResults, match=message):
        parse(broken)


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        ([], UNSEEN),
        ([(Outcome.HELD, "7.2")], "run with 7.2"),
        ([(Outcome.HELD, "53.0-246-gae44c2971")], "run with 53.0"),
        ([(Outcome.NOT_RUN, "7.2")], UNSEEN),
        ([(Outcome.FELL_SHORT, "7.2")], "falls short with 7.2"),
    ],
)
def test_a_reader_sees_what_was_run_and_with_which_version(outcomes: list[tuple[Outcome, str]], words: str) -> None:
    rows = [row(cell="vhost", outcome=outcome, version=version) for outcome, version in outcomes]
    evidence = Evidence(TABLE, rows)
    assert evidence.of_option(PROFILES["qemu"], "interfaces[].tap.vhost") == words
    assert evidence.of_cell(PROFILES["firecracker"], CELLS["vhost"]) == UNCLAIMED


def test_a_reader_sees_the_whole_version_and_the_days() -> None:
    late, unseen = replace(row(), date="2026-12-02"), replace(row(outcome=Outcome.NOT_RUN), date="2026-12-03")
    assert list(Evidence(TABLE, [row(), late, unseen]).programs()) == [
        ("qemu", "1", "trixie", "2026-11-26 to 2026-12-02")
    ]


def test_an_option_of_two_cells_falls_short_with_either() -> None:
    rows = [row(cell="9p read-only"), row(cell="virtiofs read-only", outcome=Outcome.FELL_SHORT)]
    assert Evidence(TABLE, rows).of_option(PROFILES["qemu"], "shares[].read_only") == "falls short with 1"


def test_a_shortcoming_that_is_no_longer_claimed_is_not_listed() -> None:
    rows = [row("firecracker", "vhost", Outcome.FELL_SHORT), row("qemu", "vhost", Outcome.FELL_SHORT)]
    listed = Evidence(TABLE, rows).shortcomings(PROFILES.values())
    assert [(row.hypervisor, cell.name) for row, cell in listed] == [("qemu", "vhost")]


def test_the_summary_names_what_did_not_hold() -> None:
    printed = summary([row(), row(cell="reboot", outcome=Outcome.FELL_SHORT)])
    assert "qemu, reboot: fell short: because" in printed and "qemu, boot" not in printed


def test_declarations_of_cells_are_combined() -> None:
    first = {"mem": 512, "guest": {"networks": [1]}, "volumes": [1]}
    second = {"mem": 384, "guest": {"networks": [2]}, "volumes": [2], "vcpu": 2}
    assert combined(first, second) == {"mem": 384, "guest": {"networks": [1, 2]}, "volumes": [1, 2], "vcpu": 2}


@pytest.mark.parametrize(
    ("output", "version"),
    [
        ("QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)\nCopyright (c) 2003-2025", "10.0.13"),
        ("cloud-hypervisor v53.0-246-gae44c2971\n", "53.0-246-gae44c2971"),
        ("Firecracker v1.17.0-dev\n\n2026-11-26T01:27:51.138729198 [anonymous] exiting\n", "1.17.0-dev"),
        ("[2026-11-26T01:27:19.138729198+00:00 ERROR crosvm] no such option\n", None),
        ("crosvm 0.1.0\n", "0.1.0"),
        ("kvm tool 3.18.0\n", "3.18.0"),
        ("StratoVirt 2.5.0 commit-id d5b32037", "2.5.0"),
        ("alioth-cli 0.12.0\n", "0.12.0"),
        ("error: unexpected argument '-v' found\n", None),
    ],
)
def test_the_version_is_that_of_the_line_about_the_program(output: str, version: str | None) -> None:
    assert parse_version(output) == version


def test_the_short_selection_begins_with_a_boot_and_ends_with_a_removal() -> None:
    short = [cell.name for cell in TABLE if cell.is_short]
    assert (short[0], short[-1]) == ("boot", "removal")


def test_the_life_cycle_comes_first_and_its_removal_last() -> None:
    kinds: list[Cell] = list(TABLE)
    last = next(before for before, after in pairwise(kinds) if before.boot != after.boot)
    assert last.name == "removal"
