# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page for readers of microvm.nix's handbook has all of it, and names nothing that does not exist."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..parity.compare import FREE, snake_case
from ..parity.test_cases import CASES

ROOT = Path(__file__).resolve().parents[3]
sys.path += [str(ROOT / "tools"), str(ROOT / "plugins" / "module_utils")]

from _microvm.declaration.vms.options import VM_OPTIONS
from _microvm.schema.options import walk
from generating.handbook import option_of_ours, with_handbook

HANDBOOK: dict[str, Any] = json.loads((ROOT / "tests/parity/handbook.json").read_text())
ROWS: dict[str, Any] = yaml.safe_load((ROOT / "tests/parity/handbook.yml").read_text())
PAGE = (ROOT / "docs" / "coming-from-microvm-nix.md").read_text()
VARIABLES = {"microvm_vms", "microvm_state_dir"}
UNKNOWN = {"vcpus", "volumes.*.fstype"}
"""Names in cases that microvm.nix itself refuses."""


def names(declaration: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the options that a declaration of microvm.nix sets."""
    for key, value in declaration.items():
        if isinstance(value, Mapping) and key not in FREE:
            yield from names(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for element in value:
                yield from names(element, f"{prefix}{key}.*.")
        else:
            yield f"{prefix}{key}"


def described(words: str) -> list[str]:
    """Return the cells of the only row of an option."""
    [row] = re.findall(rf"^\| `{re.escape(words)}` \|(.*)\|$", PAGE, re.MULTILINE)
    return [cell.strip() for cell in row.split(" | ")]


def test_every_option_that_the_cases_set_has_a_row() -> None:
    declared = {name for case in CASES.values() for name in names(case["microvm"])} - UNKNOWN
    assert len(declared) > 90
    assert sorted(declared - set(HANDBOOK["options"])) == []


def test_every_option_of_the_handbook_has_a_row() -> None:
    ours = {path for path, _option in walk(VM_OPTIONS)} | VARIABLES
    for name in HANDBOOK["options"]:
        here, _differs = described(name)
        assert here and ("instead" in ROWS["options"].get(name, {}) or ours.issuperset(re.findall("`([^`]*)`", here)))


def test_names_are_converted_as_in_the_comparison() -> None:
    for name in HANDBOOK["options"]:
        words = [snake_case(word) for word in name.replace(".*.", "[].").split(".")]
        assert option_of_ours(name) == ".".join(words)


def written(handbook: Mapping[str, Any] = HANDBOOK, rows: Mapping[str, Any] = ROWS) -> str:
    """Return the page with other contents, as the generator writes it."""
    return with_handbook(PAGE, handbook, rows, VM_OPTIONS, VARIABLES)


def changed(data: Mapping[str, Any], subject: str, name: str, value: object) -> dict[str, Any]:
    """Return the data with another value; with nothing in its place if that is None."""
    copy: dict[str, Any] = deepcopy(dict(data))
    copy[subject].pop(name, None)
    if value is not None:
        copy[subject][name] = value
    return copy


def test_a_default_that_differs_is_shown() -> None:
    assert described("mem") == ["`mem`", ""]
    page = written(handbook=changed(HANDBOOK, "options", "mem", 256))
    assert "| `mem` | `mem` | Default `256` there, `512` here. |" in page


@pytest.mark.parametrize(
    ("handbook", "rows"),
    [
        pytest.param(HANDBOOK, changed(ROWS, "chapters", "faq", None), id="a chapter without a row"),
        pytest.param({**HANDBOOK, "questions": [*HANDBOOK["questions"], "Why?"]}, ROWS, id="a question without a row"),
        pytest.param(HANDBOOK, changed(ROWS, "options", "turbo", {}), id="a row for an option that they do not have"),
        pytest.param(
            changed(HANDBOOK, "options", "turbo.enable", True), ROWS, id="an option of theirs that we do not have"
        ),
        pytest.param(HANDBOOK, changed(ROWS, "options", "mem", {"here": ["memory"]}), id="a row that names no option"),
    ],
)
def test_what_is_incomplete_is_not_written(handbook: dict[str, Any], rows: dict[str, Any]) -> None:
    with pytest.raises((KeyError, ValueError)):
        written(handbook=handbook, rows=rows)
