# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Templates of hosts have the results that Ansible gives them, and few are compiled."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest
from ansible import template as templates
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from ansible_collections.microvm.fleet.plugins.plugin_utils.resolver import Resolver, parts_of, templated

HAS_TRUST = hasattr(templates, "is_trusted_as_template")
VARIABLES: Dict[str, Any] = {
    "subnet": "10.0",
    "empty": "",
    "number": 7,
    "yes_or_no": True,
    "nothing": None,
    "several": [1],
    "nested": templated("{{ subnet }}.1"),
    "braces": "{x}",
}
TEMPLATES = [
    "{{ subnet }}.1.2/16",
    "a{{ subnet }}b{{subnet}}{{ nested }}",
    "{{ nested }}.9",
    "-{{ empty }}-",
    "-{{ number }}-",
    "-{{ yes_or_no }}-",
    "-{{ nothing }}-",
    "-{{ several }}-",
    "{{ several }}",
    "{{ number }}",
    "{{ empty }}",
    "-{{ braces }}",
    "-{{- subnet -}} -",
    "{{ subnet | upper }}.1",
    "{% if number %}{{ subnet }}{% endif %}",
    "{# {{ subnet }} #}-",
    "{{ subnet }}-\\n-",
    "{{ subnet }}.1\n",
    "#jinja2: trim_blocks: False\n{{ subnet }}",
    "{{ '}}' }}-{{ subnet }}",
    "{{ true }}-",
]


class Counting:
    """Templar that counts what it is given."""

    def __init__(self) -> None:
        self.templates: List[str] = []
        loader: Any = DataLoader
        self._templar: Any = Templar(loader=loader(), variables=VARIABLES)

    def template(self, value: str) -> Any:
        self.templates.append(value)
        return self._templar.template(value)


@pytest.mark.parametrize("template", TEMPLATES)
def test_results_are_those_of_ansible(template: str) -> None:
    expected = Counting().template(templated(template))
    for value in (template, f"{template}x") if template.endswith("}") else (template,):
        result = Resolver(Counting(), "").resolved({"value": templated(value)})["value"]
        assert result == Counting().template(templated(value))
        assert type(result) is type(expected) or isinstance(result, str)


@pytest.mark.skipif(not HAS_TRUST, reason="results were templates again before ansible-core 2.19")
def test_templates_that_differ_in_their_text_alone_are_compiled_once() -> None:
    templar = Counting()
    addresses = [templated(f"{{{{ subnet }}}}.1.{number}/16") for number in range(100)]
    resolved = Resolver(templar, "").resolved({"addresses": addresses})
    assert resolved["addresses"] == [f"10.0.1.{number}/16" for number in range(100)]
    assert templar.templates == ["{{ subnet }}"]


@pytest.mark.skipif(not HAS_TRUST, reason="all strings were templates before ansible-core 2.19")
def test_what_is_no_template_for_ansible_is_none_here() -> None:
    assert parts_of("{{ subnet }}.1") == []
    assert Resolver(Counting(), "").resolved({"value": "{{ subnet }}.1"}) == {"value": "{{ subnet }}.1"}


def test_unknown_variables_are_refused_with_their_path() -> None:
    with pytest.raises(DeclarationError) as refusal:
        Resolver(Counting(), "LIMITS").resolved({"value": [templated("{{ unknown }}.1")]})
    assert refusal.value.path == "value[0]" and "unknown" in refusal.value.message
    assert refusal.value.message.endswith("LIMITS")
