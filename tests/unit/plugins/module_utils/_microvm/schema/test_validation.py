# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of lists that are written as strings, and of names in messages."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import VM_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.naming import element_names
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.options import Option
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.validation import (
    refuse_joined,
    validate,
)

from ..examples import KEY

JOINED: list[tuple[dict[str, Any], str]] = [
    ({"kernel_params": "console=ttyS1,115200"}, "vm.kernel_params"),
    ({"guest": {"authorized_keys": f"{KEY}, on the laptop"}}, "vm.guest.authorized_keys"),
    ({"volumes": [{"image": "a"}, {"image": "b", "mkfs_extra_args": "-O,^64bit"}]}, "vm.volumes[1].mkfs_extra_args"),
    ({"qemu": {"extra_args": "-device,x"}}, "vm.qemu.extra_args"),
]


@pytest.mark.parametrize(("values", "path"), JOINED)
def test_a_string_that_ansible_would_split_is_refused(values: dict[str, Any], path: str) -> None:
    for refuse in (lambda: refuse_joined(VM_OPTIONS, values, "vm"), lambda: validate(VM_OPTIONS, named(values), "vm")):
        with pytest.raises(DeclarationError, match="must be a list") as refusal:
            refuse()
        assert refusal.value.path == path


def named(values: dict[str, Any]) -> dict[str, Any]:
    return {"name": "web", **values}


@pytest.mark.parametrize(
    ("networks", "elements"),
    [({"dns": "192.0.2.53"}, ["192.0.2.53"]), ({"dns": "192.0.2.53,192.0.2.54"}, ["192.0.2.53", "192.0.2.54"])],
)
def test_other_strings_are_lists_as_everywhere_in_ansible(networks: dict[str, Any], elements: list[str]) -> None:
    values = {"guest": {"networks": [networks]}}
    refuse_joined(VM_OPTIONS, values, "vm")
    assert validate(VM_OPTIONS, named(values), "vm")["guest"]["networks"][0]["dns"] == elements


@pytest.mark.parametrize("values", [{"volumes": "a,b"}, {"volumes": 3}, {"guest": "x,y"}, [], "a,b", None])
def test_only_strings_in_the_place_of_lists_of_strings_are_looked_at(values: Any) -> None:
    refuse_joined(VM_OPTIONS, values, "vm")


@pytest.mark.parametrize("value", [True, datetime.date(2026, 1, 2)])
def test_a_string_that_yaml_takes_for_another_type_wants_quotes(value: Any) -> None:
    with pytest.raises(DeclarationError, match="put it in quotes"):
        validate(VM_OPTIONS, {"name": value}, "vm")


def test_errors_show_the_names_of_elements_and_keep_their_path() -> None:
    names = element_names({"vms": [{"name": "db"}, {"kernel": "/k"}, {"name": "web-7"}, None], "state": "started"})
    message = "'x' is already used by vms[0].volumes[1].image or vms[1].mem"
    error = DeclarationError("vms[2].interfaces[0].id", message).named(names).named(names)
    assert error.path == "vms[2].interfaces[0].id"
    assert error.message == message
    assert str(error) == (
        "vms[2] (web-7).interfaces[0].id: 'x' is already used by vms[0] (db).volumes[1].image or vms[1].mem"
    )


@pytest.mark.parametrize("name", ["", "n" * 64, 7, ["a"], None])
def test_what_is_no_name_is_not_shown(name: Any) -> None:
    assert element_names({"vms": [{"name": name}]}) == {}


def test_a_name_in_a_message_is_fit_for_a_terminal() -> None:
    assert "\x1b" not in str(DeclarationError("vms[0].mem", "is wrong", {"vms[0]": "a\x1b[31m"}))


def test_values_that_nobody_wrote_are_shared_by_none() -> None:
    group = Option(
        "group", "dict", "", suboptions=(Option("list", "list", "", elements="str"), Option("n", "int", "", 1))
    )
    options = (group, Option("names", "list", "", ["a"], elements="str"))
    expected = {"group": {"list": [], "n": 1}, "names": ["a"]}
    first = validate(options, {}, "")
    assert first == expected
    first["group"]["list"].append("x")
    first["group"]["n"] = 2
    first["names"].clear()
    assert validate(options, {}, "") == validate(options, {"group": {}}, "") == expected
