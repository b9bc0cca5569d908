# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lint of words: docstrings begin with a verb or a name, names say what a value is, public names are unique."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
TREES = (PLUGINS, ROOT / "tools", ROOT / "bench", ROOT / "tests")

WORDS = """
it its they their them those these this that one ones he she we you i our us
who whose whoever whom what whatever which whichever where wherever when whenever while how why whether
as at by before after behind beside besides beyond between for from in inside into of on onto out over since
than through till to under until up upon with within without against among
also both each either neither some any such not no nobody nothing none everything everybody somebody something
if because although but and or only just even here there then now unless once again others another
"""

ODD = frozenset(WORDS.split())
"""Pronouns, relatives, prepositions and the like, with which no docstring begins."""

EMPTY = frozenset(("one", "ones", "found", "known", "asked", "kept", "given", "said", "foreseen", "foretold"))
"""Words that say that something is a value, but not which."""

PATTERNS = frozenset(("plan", "observe", "Observed", "Wanted", "Plan", "Action", "Job", "HANDLERS"))
"""Names that mean the same in each kind of resource."""

REQUIRED = frozenset(("main", "ModuleDocFragment", "FilterModule"))
"""Names that Ansible and Python look for in each module."""

MOST_ODD = 0.03
MOST_EMPTY = 0.005
MOST_COLLISIONS = 0.01


def sources(*directories: Path) -> list[Path]:
    """Return the Python files below directories."""
    paths = (path for directory in directories for path in sorted(directory.rglob("*.py")))
    return [path for path in paths if not {"__pycache__", ".venv", "output"} & set(path.parts)]


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the lines and texts of all docstrings: of modules, classes, functions, constants and fields."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                yield getattr(node, "lineno", 1), text
            for first, second in pairwise(node.body):
                if isinstance(first, (ast.Assign, ast.AnnAssign)) and isinstance(second, ast.Expr):
                    value = second.value
                    if isinstance(value, ast.Constant) and isinstance(value.value, str):
                        yield first.lineno, value.value


def begins_oddly(text: str) -> bool:
    """Return whether a docstring begins with a word that no docstring begins with."""
    words = text.split()
    return bool(words) and words[0].strip("`*'\",.;:()").lower() in ODD


def odd_docstrings(paths: list[Path]) -> list[str]:
    """Return the places of docstrings that begin oddly."""
    return [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in paths
        for line, text in docstrings(ast.parse(path.read_text()))
        if begins_oddly(text)
    ]


def bound_names(tree: ast.AST) -> Iterator[str]:
    """Yield all names that something is bound to: variables and parameters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def public_names(tree: ast.Module) -> list[str]:
    """Return the names of a module's public functions and classes."""
    definitions = (node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)))
    return [node.name for node in definitions if not node.name.startswith("_")]


def collisions(names: dict[str, list[str]]) -> list[str]:
    """Return the public names that several modules have, each with its modules; ``names`` are those of each module."""
    modules = defaultdict(list)
    for module, public in names.items():
        for name in public:
            modules[name].append(module)
    listed = sorted(modules.items())
    return [f"{name}: {', '.join(places)}" for name, places in listed if len(places) > 1 and name not in PATTERNS]


@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.name)
def test_docstrings_begin_with_a_verb_or_a_name(tree: Path) -> None:
    paths = sources(tree)
    odd = odd_docstrings(paths)
    total = sum(1 for path in paths for _docstring in docstrings(ast.parse(path.read_text())))
    assert len(odd) <= MOST_ODD * total, "\n".join(odd)


def test_names_say_what_a_value_is() -> None:
    names = [(path, name) for path in sources(PLUGINS) for name in bound_names(ast.parse(path.read_text()))]
    empty = [f"{path.relative_to(ROOT)}: {name}" for path, name in names if name in EMPTY]
    assert len(empty) <= MOST_EMPTY * len(names), "\n".join(empty)


def test_public_names_are_unique_across_modules() -> None:
    names = {
        str(path.relative_to(PLUGINS)): [
            name for name in public_names(ast.parse(path.read_text())) if name not in REQUIRED
        ]
        for path in sources(PLUGINS)
    }
    colliding = collisions(names)
    assert len(colliding) <= MOST_COLLISIONS * sum(map(len, names.values())), "\n".join(colliding)


@pytest.mark.parametrize(
    "text", ["Return a path.", "Path of a file.", "``name`` and its length.", "The first of them."]
)
def test_a_plain_beginning_is_accepted(text: str) -> None:
    assert not begins_oddly(text)


@pytest.mark.parametrize("text", ["What is left.", "Of a file.", "``None`` where there is none.", "Whether it is."])
def test_an_odd_beginning_is_reported(text: str) -> None:
    assert begins_oddly(text)


def test_a_collision_is_reported_unless_the_name_is_a_pattern() -> None:
    names = {"a.py": ["render", "plan", "write"], "b.py": ["render", "plan"]}
    assert collisions(names) == ["render: a.py, b.py"]
