# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that a check says what to do about values that YAML has changed."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema import checks

CHECKS: dict[str, Any] = {"mac": checks.mac_address, "pci": checks.pci_address, "ip": checks.ip_address}


@pytest.mark.parametrize(
    ("check", "written"),
    [
        ("mac", "52:54:00:59:00:07"),
        ("mac", "72:11:12:13:14:15"),
        ("pci", "0000:03:00.0"),
        ("pci", "0000:41:10.7"),
        ("ip", "2001:10:20:30:40:50:11:12"),
    ],
)
def test_a_value_of_which_yaml_makes_a_number_is_shown_as_it_was_written(check: str, written: str) -> None:
    number = yaml.safe_load(written)
    assert isinstance(number, (int, float))
    # Ansible makes strings of numbers before a module sees them.
    for value in (number, str(number)):
        problem = CHECKS[check](value) or ""
        assert "put it in quotes" in problem and problem.endswith(repr(written))
    assert CHECKS[check](written) is None


@pytest.mark.parametrize(("check", "value"), [("mac", 5), ("pci", 10.25), ("ip", 10.2), ("ip", 7)])
def test_a_number_that_nobody_has_written_so_has_no_example(check: str, value: Any) -> None:
    problem = CHECKS[check](value) or ""
    assert problem.endswith("put it in quotes")


@pytest.mark.parametrize(("check", "value"), [("mac", "02:00"), ("pci", "03:00.0"), ("ip", "10.0.0")])
def test_a_wrong_string_is_no_matter_of_quotes(check: str, value: str) -> None:
    assert "quotes" not in (CHECKS[check](value) or "")
