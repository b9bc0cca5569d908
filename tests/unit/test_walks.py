# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The walks of CONTRIBUTING.md in a copy of the tree: a hypervisor is a folder, an option a line, a claim and a use."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    *("plugins", "roles", "docs", "tools", "meta", "galaxy.yml", "pyproject.toml"),
    *("tests/hosts", "tests/parity", "tests/testbed", "tests/unit"),
)
CODE = Path("plugins/module_utils/_microvm")

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="tools run on the controller's Python")

RENDER = """
import json, sys
from _microvm.declaration.vms.parse import parse_vm
from _microvm.hypervisors.facts import HostFacts
from _microvm.hypervisors.programs import debian_packages
from _microvm.runner.render import render
from _microvm.runner.scripts.shell import readable
from _microvm.schema.errors import DeclarationError

answers = []
for raw in json.load(sys.stdin):
    try:
        package = render(parse_vm({"name": "vm", "kernel": "/k", **raw}), HostFacts())
        text = package.files["share/microvm/command-line"].content.decode()
        programs = package.programs
        debian = debian_packages(programs, "trixie")
        answers.append({"command": text, "digest": package.digest, "programs": programs, "debian": debian})
    except DeclarationError as error:
        answers.append({"path": error.path, "message": error.message})
print(json.dumps(answers))
"""


def block(name: str) -> str:
    """Return the code of CONTRIBUTING.md that a comment gives a name."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    found = re.search(rf"<!-- {name} -->\n *```[a-z]+\n(.*?)\n *```", text, re.DOTALL)
    assert found is not None, f"CONTRIBUTING.md has no code called {name}"
    return textwrap.dedent(found[1]) + "\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what is generated, and of what it is generated from."""
    for part in PARTS:
        source, target = ROOT / part, tmp_path / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return tmp_path


def run(tree: Path, *arguments: str, given: str = "") -> str:
    """Run Python in the copy; what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "plugins" / "module_utils")}
    command = [sys.executable, *arguments]
    result = subprocess.run(
        command, cwd=tree, env=environment, input=given, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def rendered(tree: Path, *vms: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the code of the copy makes of declarations."""
    answers: list[dict[str, Any]] = json.loads(run(tree, "-c", RENDER, given=json.dumps(vms)))
    return answers


def insert(path: Path, after: str, text: str, indent: int) -> None:
    """Put text behind a line of a file."""
    source = path.read_text()
    assert source.count(after) == 1, f"{path} has {after!r} {source.count(after)} times"
    path.write_text(source.replace(after, after + textwrap.indent(text, " " * indent)))


def test_a_hypervisor_is_one_folder(tree: Path) -> None:
    folder = tree / CODE / "hypervisors" / "toy_vmm"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "profile.py").write_text('"""Profile of a toy."""\n\n' + block("profile"))
    (folder / "command.py").write_text('"""A toy."""\n\n' + block("command"))
    run(tree, "tools/generate.py")
    run(tree, "tools/generate.py", "--check")

    assert "| toy-vmm |" in (tree / "docs/hypervisors.md").read_text()
    assert "| `toy_vmm.extra_args` |" in (tree / "docs/options.md").read_text()
    assert "toy_vmm:" in (tree / "plugins/doc_fragments/vms.py").read_text()
    completion = tree / "plugins/module_utils/_microvm/resources/host_setup/command/microvm.bash"
    assert "alioth vfkit toy-vmm" in completion.read_text()

    toy: dict[str, Any] = {"hypervisor": "toy-vmm"}
    plain, pages, elsewhere, refused = rendered(
        tree,
        {**toy, "mem": 64},
        {**toy, "hugepage_mem": True},
        {**toy, "toy_vmm": {"package": "/opt/toy"}},
        {**toy, "balloon": True},
    )
    assert plain["command"].split() == ["toy-vmm", "--memory", "64", "/k"]
    assert plain["programs"] == ["toy-vmm"]
    assert plain["debian"] == ["toy-vmm"]
    assert "--huge-pages" in pages["command"]
    assert elsewhere["programs"] == ["/opt/toy/bin/toy-vmm"]
    assert refused["path"] == "balloon"
    assert refused["message"].startswith("toy-vmm does not support this option; supported by: qemu, ")
    tests = "tests/unit/plugins/module_utils/_microvm/hypervisors/test_profiles.py"
    run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n0", tests, "tests/unit/test_layers.py")


def test_an_option_is_a_line_a_claim_and_a_use(tree: Path) -> None:
    before, *_none = rendered(tree, {})
    insert(tree / CODE / "declaration/vms/options.py", "_MACHINE: Options = (\n", block("option"), 4)
    run(tree, "tools/generate.py")
    assert (
        rendered(tree, {"watchdog": True})[0]["message"]
        == "qemu does not support this option; no hypervisor supports it"
    )

    qemu = tree / CODE / "hypervisors/qemu"
    insert(qemu / "profile.py", "        **WITH_VIRTIOFSD,\n", block("claim"), 8)
    insert(qemu / "command.py", "            *machine(target),\n", block("use"), 12)
    run(tree, "tools/generate.py")
    run(tree, "tools/generate.py", "--check")
    assert "| `watchdog` | bool | `false` | qemu |" in (tree / "docs/options.md").read_text()
    assert "watchdog: bool" in (tree / CODE / "declaration/types.py").read_text()
    assert "watchdog:" in (tree / "roles/vms/meta/argument_specs.yml").read_text()
    unused, used, refused = rendered(tree, {}, {"watchdog": True}, {"watchdog": True, "hypervisor": "firecracker"})
    assert unused == before, "the package of those who do not use it is the same"
    assert "-watchdog-action reset" in used["command"]
    assert (refused["path"], refused["message"]) == (
        "watchdog",
        "firecracker does not support this option; supported by: qemu",
    )
