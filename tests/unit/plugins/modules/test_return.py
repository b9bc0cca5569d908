# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``RETURN`` of each module documents the keys that its result has, and no others."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.images import BuiltImageResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.package_lock import PackageLockResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.vms import SummarizedResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.declared_fleet import ClashesResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.devices import DevicesResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.host_setup import HostResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.info import InformationResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.move import MoveResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.networks import NetworksResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.report import VmsResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.taps import TapsResult
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.virtiofsd import SharesResult

MODULES = "ansible_collections.microvm.fleet.plugins.modules"
RESULTS: dict[str, Any] = {
    "microvm_clashes": ClashesResult,
    "microvm_host": HostResult,
    "microvm_image": BuiltImageResult,
    "microvm_info": InformationResult,
    "microvm_move": MoveResult,
    "microvm_network": NetworksResult,
    "microvm_package_lock": PackageLockResult,
    "microvm_tap": TapsResult,
    "microvm_vfio": DevicesResult,
    "microvm_virtiofsd": SharesResult,
    "microvm_vm": VmsResult,
    "microvm_vms": SummarizedResult,
}
OF_ANSIBLE = {"changed", "diff", "warnings"}
"""Keys that modules of Ansible have without documenting them."""
OTHERS: dict[str, Any] = {"undeclared": {}, "evaluations": {}, "diff": {}, "warnings": {}}
NOT_OF_ONE = {"undeclared"}
"""Keys of a run over several MicroVMs that one MicroVM has nothing to say of."""


def documented(module: str) -> dict[str, Any]:
    """Return what a module documents of its result."""
    text = importlib.import_module(f"{MODULES}.{module}").RETURN
    documentation: dict[str, Any] = yaml.safe_load(text)
    return documentation


def mapping(kind: Any) -> Any:
    """Return the TypedDict that a type is, or is a list of; None where it is neither."""
    kinds = (kind, *get_args(kind))
    return next((one for one in kinds if hasattr(one, "__required_keys__")), None)


def differences(documentation: dict[str, Any], result: Any, path: str) -> Iterator[str]:
    """Yield where documentation, with its samples, and a TypedDict have other keys."""
    hints = get_type_hints(result)
    if set(documentation) != set(hints):
        yield f"{path or 'result'}: {sorted(set(documentation) ^ set(hints))}"
    for key in set(documentation) & set(hints):
        inner, place = mapping(hints[key]), f"{path}{key}"
        if inner is None or key == "declaration":
            continue
        if "contains" in documentation[key]:
            yield from differences(documentation[key]["contains"], inner, f"{place}.")
        samples = documentation[key].get("sample", [])
        for sample in samples if isinstance(samples, list) else [samples]:
            if set(sample) != set(get_type_hints(inner)):
                yield f"sample of {place}: {sorted(set(sample) ^ set(get_type_hints(inner)))}"


def test_every_module_is_held_to_its_result() -> None:
    package = importlib.import_module(MODULES)
    names = {path.stem for directory in package.__path__ for path in Path(directory).glob("microvm_*.py")}
    assert names == set(RESULTS)


@pytest.mark.parametrize("module", sorted(RESULTS))
def test_the_documented_keys_are_those_of_the_result(module: str) -> None:
    common = OF_ANSIBLE | (NOT_OF_ONE if module == "microvm_vm" else set())
    documentation = {**documented(module), **{key: {} for key in common & set(get_type_hints(RESULTS[module]))}}
    assert list(differences(documentation, RESULTS[module], "")) == []


@pytest.mark.parametrize("module", sorted(RESULTS))
def test_entries_are_documented_key_by_key(module: str) -> None:
    entries = [value for value in documented(module).values() if value.get("elements") == "dict"]
    assert all("contains" in entry or "sample" in entry for entry in entries)


@pytest.mark.parametrize(
    ("documentation", "places"),
    [
        ({"vms": {"contains": {}}}, ["result", "vms."]),
        (
            {"changed": {}, "vms": {"sample": [{"name": "web"}]}, **OTHERS},
            ["sample of vms"],
        ),
    ],
)
def test_a_missing_key_is_reported(documentation: dict[str, Any], places: list[str]) -> None:
    seen = list(differences(documentation, VmsResult, ""))
    assert [place.partition(":")[0] for place in seen] == places
