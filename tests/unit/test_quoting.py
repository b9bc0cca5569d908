# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of units, networkd, fstab and environment files are written by ``schema/quoting.py`` and nowhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "plugins" / "module_utils" / "_microvm"
HOME = "schema/quoting.py"

SETTING = re.compile(r"(^|\n)\s*([A-Z][A-Za-z0-9]+|[A-Z][A-Z0-9_]+)=$")
"""End of a literal string before a value: the key of a setting, or the name of a variable."""

WITHOUT_FILES = {
    "*/sources.py": "generated",
    "cli/*": "lines for people, and arguments of programs",
    "operations/*": "differences for people",
    "runner/scripts/*": "shell scripts, whose words shell.py quotes",
    "runner/render.py": "shell scripts",
    "resources/host_setup/package_script.py": "a shell script of constants",
    "resources/host_setup/handlers.py": "a number for a file of the kernel",
    "resources/images/build_initrd.py": "a number for the initial RAM disk",
    "host/accelerator.py": "properties of a transient unit, which are arguments of systemd-run",
    "host/host_keys.py": "options, which are arguments of ssh",
    "host/peer.py": "a request to a socket",
    "host/journal.py": "fields of the journal, which are arguments of journalctl",
    "runner/unit_filter.py": "lines that are compared, and never written",
    "host/transient.py": "properties of units, which are arguments of systemd-run",
}
"""Files that write lines of other kinds, and which."""


def holes(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Yield the line of each value that a string is filled with, and the literal text before and after it."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.JoinedStr):
            continue
        for index, value in enumerate(node.values):
            if isinstance(value, ast.FormattedValue):
                around = [literal(node.values, index - 1), literal(node.values, index + 1)]
                yield node.lineno, around[0], around[1]


def literal(values: list[ast.expr], index: int) -> str:
    """Return the literal part of a string at a place; nothing where a value is there."""
    part = values[index] if 0 <= index < len(values) else None
    return str(part.value) if isinstance(part, ast.Constant) else ""


def lines_written(source: str) -> list[int]:
    """Return the lines of code that fill a setting, or a whole line of a file, with a value."""
    return sorted(
        line
        for line, before, after in holes(ast.parse(source))
        if SETTING.search(before) or "\n" in before or "\n" in after
    )


def paths() -> dict[str, Path]:
    """Return all code by its path below the layers."""
    return {str(path.relative_to(CODE)): path for path in sorted(CODE.rglob("*.py"))}


@pytest.mark.parametrize("name", [name for name in paths() if name != HOME])
def test_values_reach_files_only_by_the_quoting_functions(name: str) -> None:
    """Use ``setting``, ``section``, ``fields`` or ``one_per_line``, or list the file above with what its lines are."""
    if not any(fnmatch(name, pattern) for pattern in WITHOUT_FILES):
        assert lines_written(paths()[name].read_text()) == []


@pytest.mark.parametrize("pattern", WITHOUT_FILES)
def test_exceptions_are_still_needed(pattern: str) -> None:
    files = [path for name, path in paths().items() if fnmatch(name, pattern)]
    assert any(lines_written(path.read_text()) for path in files) or pattern == "*/sources.py"


@pytest.mark.parametrize(
    "source",
    [
        'f"User={user}"',
        'f"[Service]\\nUser={user}"',
        'f"STOP_TIMEOUT={seconds}"',
        'f"{line}\\n"',
        'f"{name} /mnt ext4\\n"',
    ],
)
def test_an_unquoted_line_is_reported(source: str) -> None:
    assert lines_written(source) == [1]


@pytest.mark.parametrize(
    "source", ['f"id={name}"', 'f"{first} {second}"', 'setting("User", plain(user))', '"User=root"']
)
def test_other_strings_are_not_reported(source: str) -> None:
    assert lines_written(source) == []


def test_only_the_quoting_functions_make_quoted_values() -> None:
    """The type Quoted is a promise, which only functions of its own module may give."""
    promises = [name for name, path in paths().items() if re.search(r"\bQuoted\(", path.read_text())]
    assert promises == [HOME]
