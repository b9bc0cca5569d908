# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Holds the shape of the collection's code: modules without logic, small functions, annotations, few ``Any``."""

from __future__ import annotations

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = ROOT / "plugins" / "modules"
MODULE_UTILS = ROOT / "plugins" / "module_utils"

ANY_PER_THOUSAND_LINES = 8

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(directory: Path) -> list[Path]:
    """Return the Python files below a directory, in a stable order."""
    return sorted(path for path in directory.rglob("*.py") if "__pycache__" not in path.parts)


def name(path: Path) -> str:
    """Return the name of a test case."""
    return str(path.relative_to(ROOT))


def without_documentation(source: str) -> list[str]:
    """A module's lines but for its documentation strings, blank lines and comments."""
    tree = ast.parse(source)
    documentation = {
        number
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and node.end_lineno
        for number in range(node.lineno, node.end_lineno + 1)
    }
    lines = (line for number, line in enumerate(source.splitlines(), 1) if number not in documentation)
    return [line for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize("path", sources(MODULES), ids=name)
def test_modules_have_no_logic(path: Path) -> None:
    source = path.read_text()
    functions = [node.name for node in ast.walk(ast.parse(source)) if isinstance(node, Function)]
    assert functions == ["main"]
    assert len(without_documentation(source)) < 60


def functions() -> list[tuple[str, Function]]:
    """Every function of the collection, with a name to find it by."""
    return [
        (f"{name(path)}:{node.lineno} {node.name}", node)
        for path in sources(ROOT / "plugins")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, Function)
    ]


def length(function: Function) -> int:
    """Lines, its documentation included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters(function: Function) -> list[ast.arg]:
    """All that is to be annotated."""
    spec = function.args
    named = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
    starred = [parameter for parameter in (spec.vararg, spec.kwarg) if parameter]
    return [parameter for parameter in named + starred if parameter.arg not in ("self", "cls")]


def test_functions_are_small() -> None:
    lengths = sorted(length(function) for _where, function in functions())
    longest = max(functions(), key=lambda item: length(item[1]))
    assert length(longest[1]) <= 60, longest[0]
    assert statistics.median(lengths) <= 10
    assert lengths[len(lengths) * 9 // 10] <= 35


def test_functions_are_annotated() -> None:
    assert [
        where
        for where, function in functions()
        if function.returns is None or any(parameter.annotation is None for parameter in parameters(function))
    ] == []


def uses_of_any(source: str) -> int:
    """Count how often ``Any`` stands in annotations and in aliases of types."""
    return sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(ast.parse(source)))


def test_few_values_are_of_any_type() -> None:
    texts = {name(path): path.read_text() for directory in (MODULE_UTILS, MODULES) for path in sources(directory)}
    lines = sum(bool(line.strip()) for text in texts.values() for line in text.splitlines())
    counts = {path: uses_of_any(text) for path, text in texts.items()}
    most = sorted(counts, key=lambda path: counts[path], reverse=True)[:5]
    assert sum(counts.values()) * 1000 < ANY_PER_THOUSAND_LINES * lines, {path: counts[path] for path in most}


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("from typing import Any", 0),
        ("def f(x: Any) -> Any: ...", 2),
        ("Values = Dict[str, Any]", 1),
        ("x: Dict[str, Tuple[Any, ...]] = {}", 1),
        ("def f(x: object) -> str:\n    return 'Any'", 0),
    ],
)
def test_uses_of_any_are_counted(source: str, count: int) -> None:
    assert uses_of_any(source) == count
