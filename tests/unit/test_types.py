# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Declarations are typed: mypy, as `make types` runs it, finds a key that no table has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

HEAD = """\
from __future__ import annotations

from typing import Optional

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import Image, Network, Volume
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import Declaration, parse_vm
"""

RIGHT = """

def processors(declaration: Declaration) -> int:
    return declaration["vcpu"]


def ports() -> list[int]:
    return [port["host"]["port"] for port in parse_vm({})["forward_ports"] if port["from"] == "host"]


def size(volume: Volume) -> Optional[int]:
    return volume["size"]


def pool(network: Network) -> Optional[int]:
    server = network["dhcp_server"]
    return server["pool_size"] if server is not None else None


def memory(declaration: Declaration) -> int:
    return declaration["mem"] * 1024
"""

WRONG = {
    "a key that the table does not have": 'def f(vm: Declaration) -> object:\n    return vm["vcpus"]',
    "a key of a list's element": 'def f(volume: Volume) -> object:\n    return volume["siez"]',
    "a key that is read of what parsing returns": 'def f() -> object:\n    return parse_vm({})["forward_port"]',
    "a key deep in a declaration": 'def f(vm: Declaration) -> object:\n    return vm["interfaces"][0]["tap"]["vhosts"]',
    "a key that is written": 'def f(image: Image) -> None:\n    image["package"] = []',
    "a value that is no choice": 'def f(vm: Declaration) -> bool:\n    return vm["hypervisor"] == "qmeu"',
    "an option that can be None": 'def f(vm: Declaration) -> str:\n    return vm["restart_window"]',
    "a group that can be None": 'def f(network: Network) -> object:\n    return network["dhcp_server"]["dns"]',
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return mypy's errors by the name of a file; all files are checked in one run."""
    pytest.importorskip("mypy")
    directory = tmp_path_factory.mktemp("planted")
    sources = {f"wrong_{index}": body for index, body in enumerate(WRONG.values())} | {"right": RIGHT}
    for name, body in sources.items():
        (directory / f"{name}.py").write_text(f"{HEAD}\n\n{body}\n")
    files = [str(path) for path in directory.glob("*.py")]
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *files]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert f"checked {len(files)} source files" in output
    return {name: re.findall(rf"\b{name}\.py:\d+: error: (.*)", output) for name in sources}


def test_correct_keys_are_accepted(complaints: dict[str, list[str]]) -> None:
    assert complaints["right"] == []


@pytest.mark.parametrize("index", range(len(WRONG)), ids=list(WRONG))
def test_a_planted_error_is_reported(complaints: dict[str, list[str]], index: int) -> None:
    assert len(complaints[f"wrong_{index}"]) == 1
