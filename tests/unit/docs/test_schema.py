# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The JSON Schema says the same as the check of declarations, as far as a schema can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ..parity.compare import declaration
from ..parity.test_cases import CASES, rendered

ROOT = Path(__file__).resolve().parents[3]
VALIDATOR = jsonschema.Draft202012Validator(json.loads((ROOT / "docs" / "microvm.schema.json").read_text()))


@pytest.mark.parametrize("name", CASES)
def test_accepted_declarations_conform_to_the_schema(name: str) -> None:
    if not rendered(CASES[name]).error:
        VALIDATOR.validate(declaration(CASES[name]))


@pytest.mark.parametrize(
    "vm",
    [
        {"name": "a", "vcpus": 2},
        {"kernel": "/k"},
        {"name": "a", "hypervisor": "virtualbox"},
        {"name": "a", "interfaces": [{"type": "wireless"}]},
        {"name": "a", "volumes": [{"size": 3}]},
        {"name": "a", "qemu": {"machine_opts": {"rtc": True}}},
    ],
)
def test_mistakes_violate_the_schema(vm: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(vm) and not VALIDATOR.is_valid([vm]) and not VALIDATOR.is_valid({"microvm_vms": [vm]})


def test_examples_conform_to_the_schema() -> None:
    files = [
        path
        for path in (ROOT / "docs" / "examples").rglob("*.yml")
        if "microvm_vms" in (yaml.safe_load(path.read_text()) or {})
    ]
    assert files
    for path in files:
        VALIDATOR.validate(yaml.safe_load(path.read_text()))
