# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Holds what docs/architecture.md says of the code: layers, and no effects where none should be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "plugins" / "module_utils" / "_microvm"

LAYERS = (
    "schema",
    "profiles",
    "declaration",
    "hypervisors",
    "runner",
    "host",
    "resources",
    "operations",
    "modules",
    "cli",
)
"""Layers, each of which imports from itself and from those before it."""
PURE = LAYERS[:5]
EFFECTS = {"ansible", "asyncio", "io", "os", "pathlib", "shutil", "socket", "subprocess", "tempfile", "urllib"}
"""Modules that a pure layer does not import."""
WITHOUT_EFFECTS = {"os.path"}


def sources(directory: Path) -> list[Path]:
    """The Python files below a directory, in a stable order."""
    return sorted(path for path in directory.rglob("*.py") if "__pycache__" not in path.parts)


def name(path: Path) -> str:
    """Return the name of a test case."""
    return str(path.relative_to(ROOT))


def imports(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every imported name as its parts; relative ones begin with ``_microvm``, and ``package`` is where they start."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            base = ("_microvm", *package)[: len(package) + 2 - node.level] if node.level else ()
            yield from ((*base, *module, alias.name) for alias in node.names)


def own_part(imported: tuple[str, ...]) -> str | None:
    """The layer that an import is from; None if it is not from this code."""
    if "_microvm" not in imported:
        return None
    following = imported[imported.index("_microvm") + 1 :]
    return layer_of(following) if following else "_microvm"


def layer_of(parts: tuple[str, ...]) -> str:
    """Return the layer of a module: its directory, but profiles of hypervisors are a layer of their own."""
    is_profile = parts[0] == "hypervisors" and any(part.startswith("profile") for part in parts[1:3])
    return "profiles" if is_profile else parts[0]


def violations(source: str, package: tuple[str, ...], module: str = "module") -> list[str]:
    """Return what a module in ``package`` imports and must not."""
    layer = layer_of((*package, module))
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    found = []
    for imported in imports(ast.parse(source), package):
        part, full = own_part(imported), ".".join(imported)
        if part is not None and part not in allowed:
            found.append(f"{layer} imports {full}: layers are {', '.join(LAYERS)}, each imports only from those before")
        if part is None and layer in PURE and imported[0] in EFFECTS and not is_harmless(imported):
            found.append(f"{layer} is pure, and imports {full}")
    return found


def is_harmless(imported: tuple[str, ...]) -> bool:
    """Return whether an import is a part without effects of a module with effects."""
    return ".".join(imported[:2]) in WITHOUT_EFFECTS


@pytest.mark.parametrize("path", [path for path in sources(CODE) if path.parent != CODE], ids=name)
def test_modules_import_only_earlier_layers(path: Path) -> None:
    assert violations(path.read_text(), path.parent.relative_to(CODE).parts, path.stem) == []


@pytest.mark.parametrize("directory", [(), ("qemu",)])
def test_profiles_know_the_schema_only_and_declarations_know_profiles(directory: tuple[str, ...]) -> None:
    up = "." * (len(directory) + 2)
    assert violations(f"from {up}declaration.names import USER", ("hypervisors", *directory), "profile") != []
    assert violations(f"from {up}hypervisors.facts import HostFacts", ("hypervisors", *directory), "profile") != []
    assert violations(f"from {up}schema import checks", ("hypervisors", *directory), "profile") == []
    assert violations("from ..hypervisors.profiles import PROFILES", ("declaration",)) == []
    assert violations("from ..hypervisors.registry import command", ("declaration",)) != []


EFFECTFUL = ("observe*", "handlers*", "executor", "build*", "preflight/*")
"""Files of ``resources/`` that look at a host or change it; every other file there plans, and has no effects."""

WORDS_OF_HOSTS = {
    "Unit",
    "Record",
    "Generation",
    "Switched",
    "UpdateSource",
    "GuestLogin",
    "Hold",
    "HostError",
    "NetworkDevice",
    "Connection",
    "ListeningSocket",
    "PciDevice",
    "FunctionSettings",
    "group_members",
}
"""Names that planners may import from a layer with effects: types in which it reports what it observes."""


def planners() -> list[Path]:
    """Every file of ``resources/`` that must have no effects, by the pattern of its name."""
    return [
        path for path in sources(CODE / "resources") if not any(path.match(f"{pattern}.py") for pattern in EFFECTFUL)
    ]


@pytest.mark.parametrize("path", planners(), ids=name)
def test_planners_have_no_effects(path: Path) -> None:
    imported = list(imports(ast.parse(path.read_text()), path.parent.relative_to(CODE).parts))
    assert [parts for parts in imported if own_part(parts) is None and is_effect(parts)] == []
    assert {parts[-1] for parts in imported if own_part(parts) == "host"} <= WORDS_OF_HOSTS


def is_effect(imported: tuple[str, ...]) -> bool:
    """Return whether an import is of a module with effects."""
    return imported[0] in EFFECTS and not is_harmless(imported)


def test_all_code_is_in_a_layer() -> None:
    directories = {path.relative_to(CODE).parts[0] for path in sources(CODE)} - {"__init__.py"}
    assert directories <= set(LAYERS) - {"profiles"}


@pytest.mark.parametrize(
    ("source", "package"),
    [
        ("from ..runner import render", ("declaration",)),
        ("from .. import host", ("runner",)),
        ("from ..host.store import Store", ("hypervisors",)),
        ("from ...host.store import Store", ("hypervisors", "qemu")),
        ("def late():\n    from ..resources import steps", ("host",)),
        (
            "from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import systemd",
            ("runner",),
        ),
        ("from ..elsewhere import thing", ("host",)),
        ("import subprocess", ("declaration",)),
        ("import os", ("declaration",)),
        ("from os import unlink", ("runner",)),
        ("from ansible.module_utils.basic import AnsibleModule", ("hypervisors",)),
    ],
)
def test_a_bad_import_is_reported(source: str, package: tuple[str, ...]) -> None:
    assert len(violations(source, package)) == 1


@pytest.mark.parametrize(
    ("source", "package"),
    [
        ("from . import names", ("declaration",)),
        ("from .names import UNITS", ("declaration",)),
        ("from ..declaration.names import UNITS", ("runner",)),
        ("from .parts import x", ("hypervisors", "qemu")),
        ("import subprocess", ("host",)),
        ("import os.path", ("declaration",)),
        ("from os.path import join", ("declaration",)),
        ("import posixpath, hashlib", ("runner",)),
    ],
)
def test_a_good_import_is_accepted(source: str, package: tuple[str, ...]) -> None:
    assert violations(source, package) == []


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").rglob("__init__.py")), ids=name)
def test_init_files_are_empty(path: Path) -> None:
    assert path.read_text() == ""
