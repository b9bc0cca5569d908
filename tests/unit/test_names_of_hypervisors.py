# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hypervisor owns itself: no code outside of its folder knows its name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors import registry
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.profiles import PROFILES

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "plugins" / "module_utils" / "_microvm"
ROLE = ROOT / "roles" / "host"

GENERATED = "# Written by `make generate`"

ALLOWED = {
    ("resources/images/initrd.py", "qemu_fw_cfg"): "the name of Linux' module for credentials by fw_cfg",
}
"""String constants that have a hypervisor's name, and why."""


def names() -> set[str]:
    """Return the names of hypervisors and of their programs."""
    programs = {
        registry.program(parse_vm({"name": "vm", "kernel": "/k", "hypervisor": name}), HostFacts()) for name in PROFILES
    }
    return {*PROFILES, *programs}


PATTERN = re.compile("|".join(sorted(re.escape(name).replace(r"\-", "[- _]?") for name in names())), re.IGNORECASE)


def words(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the identifiers and the string constants of a module, but for its documentation and its options' texts."""
    texts = {id(constant) for constant in documentation(tree)}
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
            yield line, node.value
        # Identifiers, attributes, arguments, imported modules and names.
        for field in ("id", "attr", "arg", "name", "module"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield line, value


def documentation(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield the strings that are documentation: statements of their own, and descriptions of options."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            yield node.value
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Option":
            yield from (part for part in ast.walk(node.args[2]) if isinstance(part, ast.expr))


def sources() -> list[Path]:
    """Return the modules that are written by hand, but for those of hypervisors."""
    return [
        path
        for path in sorted(CODE.rglob("*.py"))
        if "hypervisors" not in path.relative_to(CODE).parts and GENERATED not in path.read_text()
    ]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(CODE)))
def test_no_code_knows_the_name_of_a_hypervisor(path: Path) -> None:
    where = str(path.relative_to(CODE))
    named = [(line, word) for line, word in words(ast.parse(path.read_text())) if PATTERN.search(word)]
    assert [(line, word) for line, word in named if (where, word) not in ALLOWED] == []


def test_exceptions_are_still_used() -> None:
    for where, word in ALLOWED:
        assert word in (CODE / where).read_text()


@pytest.mark.parametrize(
    "source",
    [
        "x = declaration['hypervisor'] != 'qemu'",
        "from ..hypervisors.stratovirt import TERMINAL",
        "QEMU = 1",
        "Option('a', 'str', 'QEMU.', choices=('cloud-hypervisor',))",
        "print('needs alioth')",
        "f'qemu-system-{machine}'",
        "def crosvm_tag(): pass",
    ],
)
def test_a_hypervisors_name_is_reported(source: str) -> None:
    assert [word for _line, word in words(ast.parse(source)) if PATTERN.search(word)] != []


@pytest.mark.parametrize(
    "source", ["'''What QEMU has.'''", "Option('a', 'str', ('Only QEMU.', 'x'))", "hypervisor = 1"]
)
def test_documentation_may_name_hypervisors(source: str) -> None:
    assert [word for _line, word in words(ast.parse(source)) if PATTERN.search(word)] == []


def test_the_role_knows_hypervisors_from_their_profiles_only() -> None:
    paths = [path for part in ("tasks", "templates", "vars", "defaults") for path in (ROLE / part).rglob("*.*")]
    texts = {path: path.read_text() for path in paths}
    named = {path: PATTERN.findall(text) for path, text in texts.items() if GENERATED not in text}
    assert {str(path): words for path, words in named.items() if words} == {}
