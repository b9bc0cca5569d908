# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that a value which cannot be resolved is reported with its place."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.microvm.fleet.plugins.lookup.unresolved import LookupModule


def trusted(value: Any) -> Any:
    """Return a value as the inventory has it."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, dict):
        return {key: trusted(element) for key, element in value.items()}
    return [trusted(element) for element in value] if isinstance(value, list) else value


def problems(*terms: str, **variables: Any) -> list[str]:
    inventory = trusted(variables)
    loader = DataLoader()  # type: ignore[no-untyped-call]
    lookup = LookupModule(loader=loader, templar=Templar(loader, variables=inventory))
    return lookup.run(terms, inventory)


VMS = [
    {"name": "web", "mem": "{{ size }}"},
    {"name": "db", "interfaces": [{"bridge": "br0"}, {"bridge": "{{ bridge }}"}]},
    {"ready": {"port": "{{ size + }}"}},
    "{{ more }}",
]


@pytest.mark.parametrize(
    ("variables", "places"),
    [
        ({"size": 64, "bridge": "br0", "more": {"name": "{{ size }}"}}, ["vms[2].ready.port"]),
        (
            {"bridge": "{{ link }}", "more": {}},
            ["vms[0] (web).mem", "vms[1] (db).interfaces[1].bridge", "vms[2].ready.port"],
        ),
        ({"size": 1, "bridge": "a"}, ["vms[2].ready.port", "vms[3]"]),
    ],
)
def test_every_place_is_reported(variables: dict[str, Any], places: list[str]) -> None:
    reported = problems("vms", vms=VMS, **variables)
    assert [line.partition(": ")[0] for line in reported] == places


def test_the_reason_names_what_is_undefined() -> None:
    (line,) = problems("vms", vms=[{"name": "web", "volumes": [{"image": "{{ pool }}/web.img"}]}])
    assert line == "vms[0] (web).volumes[0].image: 'pool' is undefined"


def test_variables_that_are_templates_themselves_are_looked_at() -> None:
    assert problems("vms", vms="{{ [second] }}") == ["vms: 'second' is undefined"]


def test_only_the_given_variables_count() -> None:
    assert problems("vms", "not_set", vms=[{"name": "{{ a }}"}], a="b", other="{{ c }}") == []
