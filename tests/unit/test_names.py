# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths and units of hosts have one home, ``declaration/names.py``; what cannot import it is generated or listed."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration import names

ROOT = Path(__file__).resolve().parents[2]
HOME = "plugins/module_utils/_microvm/declaration/names.py"
GENERATED = "Written by `make generate`"

NAMES = (
    names.STATE_DIRECTORY,
    names.FLEET_DIRECTORY,
    names.CONFIGURATION_DIRECTORY,
    names.RUN_DIRECTORY,
    names.CONSOLE_DIRECTORY,
    names.SCRIPT_DIRECTORY,
    names.TARGET,
    names.NETWORK_UNIT,
)
LITERAL = re.compile("|".join(rf"{re.escape(name)}(?![\w-])" for name in NAMES))

FOR_PEOPLE = ("*.md", "docs/*", "changelogs/*", "demo/*", "plugins/modules/*", "tests/parity/handbook.*")
"""Files that people read and type from: pages and what is put into them, the demo, samples of what modules return."""

LITERAL_BY_DESIGN = ("extensions/molecule/*", "tests/hosts/paths.py")
"""Tests that look at hosts as operators do, so that a name that changes is seen."""


def files() -> list[str]:
    """Names of all files of the checkout."""
    return subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")[:-1]


def literals(path: str) -> list[str]:
    """Lines of a file that spell a name, with their numbers; none where the file is generated."""
    try:
        lines = (ROOT / path).read_text().splitlines()
    except (UnicodeDecodeError, OSError):
        return []
    if any(GENERATED in line for line in lines[:10]):
        return []
    return [f"{path}:{number}: {line.strip()}" for number, line in enumerate(lines, 1) if LITERAL.search(line)]


def test_names_of_hosts_have_one_home() -> None:
    """Import a name that is listed here, or put a file into the list above if it cannot or must not."""
    listed = (HOME, *FOR_PEOPLE, *LITERAL_BY_DESIGN)
    others = [path for path in files() if not any(fnmatch(path, pattern) for pattern in listed)]
    assert [line for path in others for line in literals(path)] == []


@pytest.mark.parametrize("pattern", [*FOR_PEOPLE, *LITERAL_BY_DESIGN])
def test_exceptions_are_still_needed(pattern: str) -> None:
    assert any(literals(path) for path in files() if fnmatch(path, pattern))
