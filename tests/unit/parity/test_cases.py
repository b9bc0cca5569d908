# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare the output of microvm.nix for 507 declarations with ours: every difference is listed and explained."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.source import Source
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.work import Result, results
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts import virtiofsd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts.shell import readable

from .compare import declaration, differences, flattened, meaning

DATA = Path(__file__).resolve().parents[2] / "parity"
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in json.loads((DATA / "cases.json").read_text())}
DEFECTS: list[dict[str, Any]] = json.loads((DATA / "defects.json").read_text())
DEVIATIONS: list[dict[str, Any]] = yaml.safe_load((DATA / "deviations.yml").read_text())

OURS_ONLY = (
    "share/microvm/declaration.json",
    "share/microvm/command-line",
    "share/microvm/firecracker.json",
    "share/microvm/systemd/",
)
"""Files of the package that microvm.nix has not, or has elsewhere."""


def rendered(case: Mapping[str, Any]) -> Result:
    """Render a case."""
    return results(Source((("", declaration(case)),)), case["system"])[0]


def lines(case: Mapping[str, Any]) -> Iterator[str]:
    """The differences of a case, one line each."""
    result, expected = rendered(case), case["expect"]
    if result.error or "refused" in expected:
        if result.error and "refused" not in expected:
            yield f"refused {result.error.path}"
        elif not result.error:
            yield "accepted"
        return
    assert result.command and result.package and result.declaration
    argv = [readable(word) for word in result.command.argv]
    yield from differences(meaning(expected.get("inner_argv") or expected["argv"]), meaning(argv))
    files = {path: file.content.decode() for path, file in result.package.files.items()}
    yield from _files(expected, files)
    if "firecracker_config" in expected:
        yield from _configuration(expected["firecracker_config"], json.loads(files["share/microvm/firecracker.json"]))
    for number, share in enumerate(virtiofsd.daemons(result.declaration) if "virtiofsd" in expected else ()):
        ours = [
            readable(word).replace("$processors", "NPROC") for word in virtiofsd.arguments(result.declaration, number)
        ]
        theirs = ["virtiofsd", *expected["virtiofsd"][share["tag"]]]
        yield from (f"virtiofsd {line}" for line in differences(meaning(theirs), meaning(ours)))


def _files(expected: Mapping[str, Any], files: Mapping[str, str]) -> Iterator[str]:
    scripts = {path.partition("/")[2] for path in files if path.startswith("bin/")}
    yield from (f"- bin {script}" for script in sorted(set(expected["bin"]) - scripts))
    yield from (f"+ bin {script}" for script in sorted(scripts - set(expected["bin"])))
    ours = {path: text for path, text in files.items() if path.startswith("share/") and not path.startswith(OURS_ONLY)}
    for path in sorted({*ours, *expected["share_files"]}):
        before, after = expected["share_files"].get(path), ours.get(path)
        if before != after:
            yield f"file {path}: {before!r} -> {after!r}"


def _configuration(expected: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    theirs, own = dict(flattened(expected)), dict(flattened(ours))
    for path in sorted({*theirs, *own}):
        before, after = (" ".join(data.get(path, "").split()).replace(' "', '"') for data in (theirs, own))
        if before != after:
            yield f"configuration {path}: {before} -> {after}"


@cache
def found(name: str) -> tuple[str, ...]:
    """The differences of a case."""
    return tuple(lines(CASES[name]))


def covers(deviation: Mapping[str, Any], name: str, line: str) -> bool:
    """Return whether a deviation explains a difference of a case."""
    here = any(fnmatch(name, pattern) for pattern in deviation["cases"])
    return here and any(re.fullmatch(expression, line) for expression in deviation["differences"])


@pytest.mark.parametrize("name", CASES)
def test_every_difference_is_explained(name: str) -> None:
    unexplained = [line for line in found(name) if not any(covers(deviation, name, line) for deviation in DEVIATIONS)]
    assert unexplained == []


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda deviation: deviation["id"])
def test_every_deviation_is_needed(deviation: Mapping[str, Any]) -> None:
    all_lines = [(name, line) for name in CASES for line in found(name) if covers(deviation, name, line)]
    for pattern in deviation["cases"]:
        assert any(fnmatch(name, pattern) for name, _line in all_lines), f"no case of {pattern} differs so any more"
    for expression in deviation["differences"]:
        assert any(re.fullmatch(expression, line) for _name, line in all_lines), f"nothing is {expression} any more"


def test_deviations_are_documented() -> None:
    page = (DATA.parents[1] / "docs" / "parity.md").read_text()
    assert [one["id"] for one in DEVIATIONS if f"`{one['id']}`" not in page] == []
    assert all(one["reason"].strip() for one in DEVIATIONS)
