# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Properties of input: it is accepted, or refused with a path and a message, and never fails otherwise."""

from __future__ import annotations

from typing import Any

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.source import Source
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.cli.work import results
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import VM_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.options import Options
from hypothesis import given, settings
from hypothesis import strategies as st

from .strategies import HYPERVISORS

texts = st.one_of(
    st.text(max_size=8), st.sampled_from(["0", "-1", "1G", "true", "../x", "/", "{name}.sock", "\n", "é"])
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(-2, 2**65), st.floats(), texts)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)),
    max_leaves=4,
)


def nearly(options: Options) -> st.SearchStrategy[dict[str, Any]]:
    """Known keys with values of the right shape, or of any."""
    keys = {}
    for option in options:
        shape: st.SearchStrategy[Any] = st.sampled_from(option.choices) if option.choices else anything
        if option.suboptions:
            inner = nearly(option.suboptions)
            shape = st.lists(inner, max_size=2) if option.type == "list" else inner
        elif option.type == "int":
            shape = st.integers(-1, 70000)
        keys[option.name] = shape if option.suboptions or option.type == "int" else st.one_of(shape, anything)
    return st.dictionaries(st.sampled_from(sorted(keys)), st.none(), max_size=5).flatmap(
        lambda chosen: st.fixed_dictionaries({key: keys[key] for key in chosen})
    )


@settings(max_examples=400)
@given(
    nearly(VM_OPTIONS),
    st.sampled_from(HYPERVISORS),
    st.sampled_from(["x86_64-linux", "aarch64-linux", "aarch64-darwin"]),
)
def test_every_declaration_gets_an_answer(raw: dict[str, Any], hypervisor: str, platform: str) -> None:
    whole = {"name": "vm", "kernel": "/k", "initrd_path": "/i", "hypervisor": hypervisor, **raw}
    result = results(Source((("", whole),)), platform)[0]
    if result.error:
        assert result.error.path and result.error.message
    else:
        assert result.package or whole.get("state") == "absent"


@settings(max_examples=100)
@given(st.lists(anything, max_size=3))
def test_every_file_gets_an_answer(elements: list[Any]) -> None:
    for result in results(Source(tuple((f"[{index}]", one) for index, one in enumerate(elements))), "x86_64-linux"):
        assert result.error
