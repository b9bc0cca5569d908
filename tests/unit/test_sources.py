# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shell scripts as files, and the Python strings that are generated from them."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "plugins" / "module_utils" / "_microvm"
DIRECTORIES = (CODE / "runner" / "scripts", CODE / "resources" / "images" / "scripts")
SHELL_SYNTAX = re.compile(r"\(\) \{+$|; (then|do)$|^ *(fi|done|esac)$", re.MULTILINE)
SCRIPTS = sorted(path for path in CODE.rglob("*") if path.suffix in (".bash", ".sh"))


def strings(path: Path) -> dict[str, str]:
    """The constants of a generated module."""
    assignments = (node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Assign))
    return {ast.unparse(node.targets[0]): ast.literal_eval(node.value) for node in assignments}


@pytest.mark.parametrize("directory", DIRECTORIES, ids=lambda path: str(path.relative_to(CODE)))
def test_modules_have_every_script_without_its_licence(directory: Path) -> None:
    constants = strings(directory / "sources.py")
    scripts = {path.stem.upper().replace("-", "_"): path for path in SCRIPTS if path.parent == directory}
    assert constants.keys() == scripts.keys()
    for name, script in constants.items():
        assert scripts[name].read_text().endswith(script) and script.startswith("\n")
        assert "SPDX" not in script and "Copyright" not in script


def test_all_scripts_are_in_a_directory_that_is_generated_from() -> None:
    assert {path.parent for path in SCRIPTS} >= set(DIRECTORIES)
    assert [path for path in SCRIPTS if not (path.parent / "sources.py").exists()] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_valid_by_itself(path: Path) -> None:
    shell = "bash" if path.suffix == ".bash" else "sh"
    first_lines = path.read_text().split("\n\n")[0]
    assert f"# shellcheck shell={shell}\n" in f"{first_lines}\n" or first_lines.startswith(f"#!/usr/bin/env {shell}\n")
    subprocess.run([shell, "-n", str(path)], check=True)


def test_no_shell_script_stands_in_a_python_string() -> None:
    """A line or two that are put together from words are none."""
    assert [
        f"{path.relative_to(ROOT)}: {text[:60]!r}"
        for path in sorted([*CODE.rglob("*.py"), *(ROOT / "tools").rglob("*.py")])
        if path.name != "sources.py"
        for text in literals(path)
        if text.count("\n") > 4 and SHELL_SYNTAX.search(text)
    ] == []


def literals(path: Path) -> list[str]:
    """The strings of a file."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
