# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that a table makes the argument spec and the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import VM_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.options import (
    Options,
    argument_spec,
    documentation,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.validation import validate


def tables(options: Options) -> Iterator[Options]:
    yield options
    for option in options:
        if option.suboptions:
            yield from tables(option.suboptions)


def test_documentation_and_argument_spec_agree() -> None:
    def without_text(options: dict[str, Any]) -> dict[str, Any]:
        renamed = {}
        for name, option in options.items():
            entry = {key: value for key, value in option.items() if key not in ("description", "suboptions")}
            if "suboptions" in option:
                entry["options"] = without_text(option["suboptions"])
            renamed[name] = entry
        return renamed

    def without_log(options: dict[str, Any]) -> dict[str, Any]:
        return {
            name: {
                key: without_log(value) if key == "options" else value
                for key, value in option.items()
                if key != "no_log"
            }
            for name, option in options.items()
        }

    assert without_text(documentation(VM_OPTIONS)) == without_log(argument_spec(VM_OPTIONS))


def test_every_option_is_described_and_no_name_is_used_twice() -> None:
    for table in tables(VM_OPTIONS):
        assert len({option.name for option in table}) == len(table)
        assert all(paragraph.endswith(".") for option in table for paragraph in option.paragraphs)


def test_defaults_pass_their_own_validation() -> None:
    for table in tables(VM_OPTIONS):
        optional = tuple(option for option in table if not option.required)
        validate(optional, {option.name: option.default for option in optional}, "table")
