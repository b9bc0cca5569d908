# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pages that are written by hand: their links lead somewhere, and their commands and declarations are accepted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.parser import parser
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.images.parse import parse_image
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import HostImage
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vms
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.options import (
    VM_MODULE_OPTIONS,
    VMS_MODULE_OPTIONS,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.validation import validate

from ..plugins.module_utils._microvm.examples import KEY

ROOT = Path(__file__).resolve().parents[3]
GENERATED = {"options.md", "hypervisors.md", "variables.md", "CHANGELOG.md"}
PAGES = [
    path
    for pattern in ("*.md", "docs/**/*.md", "roles/*/README.md", "tests/testbed/*.md")
    for path in sorted(ROOT.glob(pattern))
    if path.name not in GENERATED
]
IMAGES: list[HostImage] = [
    {
        "name": "base",
        "path": None,
        "store_disk_type": "erofs",
        "kernel_lacks": [],
        "uses_host_key": False,
        "nix": True,
    },
    {"name": "web", "path": None, "store_disk_type": "erofs", "kernel_lacks": [], "uses_host_key": False, "nix": True},
]
"""Images that the pages' declarations may name."""


def page_name(path: Path) -> str:
    """Return the name of a test case."""
    return str(path.relative_to(ROOT))


def blocks(path: Path, language: str) -> Iterator[str]:
    """Yield the code blocks of a page that are in a language."""
    for match in re.finditer(rf"^( *)```{language}\n(.*?)^\1```", path.read_text(), re.DOTALL | re.MULTILINE):
        yield match[2]


def anchors(path: Path) -> set[str]:
    """Return the anchors of the headings of a page."""
    headings = re.findall(r"^#+ (.*)", re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path: Path) -> list[str]:
    """Return the links of a page that lead to no file, or to no heading."""
    broken = []
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        file, _hash, anchor = link.partition("#")
        target = path.parent / file if file else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_links_lead_somewhere(path: Path) -> None:
    assert broken_links(path) == []


def commands(text: str) -> Iterator[list[str]]:
    """Yield the calls of the command in a console block, without its name and without comments."""
    for line in text.splitlines():
        if re.match(r" *[#$] microvm ", line):
            yield shlex.split(line.lstrip()[2:], comments=True)[1:]


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(words, id=" ".join(words))
        for path in PAGES
        for text in blocks(path, "console")
        for words in commands(text)
    ],
)
def test_the_command_accepts_what_pages_show(words: list[str]) -> None:
    assert parser().parse_args(words).command == words[0]


def declared(text: str) -> dict[str, Any]:
    """Return the variables of a YAML block; a bare list is one of MicroVMs."""
    data = yaml.safe_load(text.replace("ssh-ed25519 AAAA… you@example", KEY))
    return {"microvm_vms": data} if isinstance(data, list) else dict(data)


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_declarations_that_pages_show_are_accepted(path: Path) -> None:
    for variables in map(declared, blocks(path, "yaml")):
        defaults = variables.get("microvm_defaults", {})
        vms = variables.get("microvm_vms", [{"name": "web"}] if "flake" in defaults else [])
        parse_vms([{**defaults, **vm} for vm in vms], IMAGES)
        parse_networks(variables.get("microvm_networks", []))
        for image in variables.get("microvm_images", []):
            parse_image(image, "x86_64")


def role_options() -> dict[str, Any]:
    """Return the variables of all roles, as their argument specifications have them."""
    options: dict[str, Any] = {}
    for path in ROOT.glob("roles/*/meta/argument_specs.yml"):
        options.update(yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"])
    return options


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_variables_that_pages_show_have_the_types_of_their_roles(path: Path) -> None:
    options, known = role_options(), (ROOT / "docs/variables.md").read_text()
    for variables in map(declared, blocks(path, "yaml")):
        names = [name for name in variables if name.startswith("microvm_")]
        assert [name for name in names if name not in options and f"`{name}`" not in known] == []
        own = {name: options[name] for name in names if name in options}
        validator: Any = ArgumentSpecValidator
        result = validator(own).validate({name: variables[name] for name in own})
        assert result.error_messages == []


def tasks(data: object) -> Iterator[dict[str, Any]]:
    """Yield everything in a YAML block that may be a task."""
    if isinstance(data, dict):
        yield data
        data = list(data.values())
    for element in data if isinstance(data, list) else ():
        yield from tasks(element)


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_microvms_that_tasks_of_pages_declare_are_accepted(path: Path) -> None:
    """The modules take the options of the same table, and a few of their own."""
    for block in (*blocks(path, "yml"), *blocks(path, "yaml")):
        for task in tasks(yaml.safe_load(block.replace("ssh-ed25519 AAAA… you@example", KEY))):
            for module, options in (("microvm_vm", VM_MODULE_OPTIONS), ("microvm_vms", VMS_MODULE_OPTIONS)):
                arguments = task.get(f"microvm.fleet.{module}")
                if isinstance(arguments, dict) and "{{" not in str(arguments):
                    validate(options, arguments, "")


def test_the_glossary_is_in_alphabetical_order() -> None:
    rows = re.findall(r"^\| ([^|]+?) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    terms = [row.lower() for row in rows if row != "term"]
    assert terms == sorted(terms) and len(terms) > 40
