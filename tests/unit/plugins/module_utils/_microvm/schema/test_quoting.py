# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Quoting of values, and checks that refuse what a format cannot express; tests/unit/properties has round trips."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.host_setup.options import (
    HOST_SETUP_OPTIONS,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.images.options import (
    HOST_IMAGE_OPTIONS,
    IMAGE_OPTIONS,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.options import NETWORK_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import VM_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema import quoting
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.options import Option, walk
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.validation import validate

TABLES = {
    "vm": VM_OPTIONS,
    "network": NETWORK_OPTIONS,
    "image": IMAGE_OPTIONS,
    "host image": HOST_IMAGE_OPTIONS,
    "host": HOST_SETUP_OPTIONS,
}
WRITTEN = {f"{table}: {path}": option for table, options in TABLES.items() for path, option in walk(options)}
CONTROL = [*map(chr, (*range(32), *range(127, 160))), "\u2028", "\u2029", "\u202e", "\u2066"]
FREE = {"image: files[].content"}
"""Options whose values may be any text: a file of the guest has it byte by byte."""
SHELL = {"vm: pre_start", "vm: bin_scripts", "image: commands"}
"""Options with commands of a shell, which may have tabs and several lines."""
JSON = {"vm: firecracker.cpu", "vm: firecracker.extra_config"}
"""Free mappings, which are only ever written as JSON."""


def takes_strings(option: Option) -> bool:
    """Return whether the user writes free strings."""
    is_free = option.type == "dict" and not option.suboptions
    element = option.elements if option.type == "list" else option.type
    return not option.choices and (is_free or element in ("str", "path", "raw"))


STRINGS = {path: option for path, option in WRITTEN.items() if takes_strings(option)}


@pytest.mark.parametrize("path", sorted(STRINGS))
def test_every_string_is_checked(path: str) -> None:
    assert STRINGS[path].check is not None or path in FREE | JSON


def problem(option: Option, text: str) -> str | None:
    """Return what a check says of a value with a text in it."""
    assert option.check
    return option.check(("x", text)) if option.values is not None else option.check(text)


def examples(option: Option) -> list[str]:
    """Return the values of a list that the option accepts."""
    values = [
        "a",
        "/a",
        "1",
        "0000:01:00.0",
        "02:00:00:00:00:01",
        "10.0.0.1",
        "10.0.0.1/24",
        "fd00::1",
        "ssh-ed25519 AAAA",
    ]
    values += [
        "22:00-04:30",
        "0644",
        "/a b",
        "1" * 32,
        "256M",
        "https://a",
        "a.mount",
        "CONFIG_A",
        "tcp/80",
        "map:0:1:1",
        f"a:{'A' * 43}=",
        "30d",
        f"/nix/store/{'1' * 32}-a",
    ]
    return [value for value in values if not problem(option, value)]


@pytest.mark.parametrize("path", sorted(set(STRINGS) - FREE - JSON))
def test_no_string_has_a_control_character_that_means_nothing_in_it(path: str) -> None:
    option = STRINGS[path]
    accepted = examples(option)
    assert accepted
    allowed = "\t\n" if path in SHELL else ""
    for value in accepted:
        for character in set(CONTROL) - set(allowed):
            for place in range(len(value) + 1):
                hostile = value[:place] + character + value[place:]
                # Sizes are numbers: blanks around them are left out by parsing.
                if option.parsed is None or hostile.strip() == hostile:
                    assert problem(option, hostile), (path, hostile)


@pytest.mark.parametrize("path", sorted(path for path, option in WRITTEN.items() if option.type == "int"))
def test_no_number_is_larger_than_the_programs_that_read_it_count(path: str) -> None:
    check = WRITTEN[path].check
    assert check and check(2**32)
    assert check(-1)


REFUSED: list[tuple[Callable[[str], object], str]] = [
    (quoting.plain, "a b"),
    (quoting.plain, "a%i"),
    (quoting.plain, 'a"'),
    (quoting.plain, "a\n"),
    (quoting.unit_word, "/a\nUser=root"),
    (quoting.unit_word, "/a\u2028User=root"),
    (quoting.unit_word, "/a\0"),
    (quoting.network_value, "fe80::1%x\nDNS=192.0.2.1"),
    (quoting.network_value, "10.0.0.1 10.0.0.2"),
    (quoting.network_value, ""),
    (quoting.environment_value, "a\nLD_PRELOAD=/x"),
    (quoting.environment_value, "a b"),
    (quoting.environment_value, "$x"),
    (quoting.fstab_field, "#tag"),
    (quoting.fstab_field, ""),
    (quoting.fstab_field, "a\tb"),
    (quoting.nft_string, 'br0" accept'),
    (quoting.nft_string, "br*"),
    (quoting.nft_string, "br\\"),
    (quoting.nft_value, "10.0.0.0/8; flush ruleset"),
    (lambda text: quoting.one_per_line([text]), "a\nb"),
    (quoting.setting, "a=b\nc"),
    (lambda text: quoting.kernel_command_line([text]), "a b"),
    (lambda text: quoting.kernel_command_line([text]), 'a="b'),
    (lambda text: quoting.unit_credential("a:b", text), "/x"),
    (lambda text: quoting.unit_credential("a", text), "x"),
    (lambda text: quoting.unit_credential("a", text), "/x/../y"),
    (lambda text: quoting.unit_credential("a", text), "/x//y"),
    (lambda text: quoting.unit_credential("a", text), "/x/y\\"),
    (lambda text: quoting.unit_credential("a", text), "/x/y z"),
    (lambda text: quoting.unit_credential("a", text), "/x\\'/y"),
    (lambda text: quoting.unit_credential("a", text), "/x\ny"),
]


@pytest.mark.parametrize(("function", "text"), REFUSED)
def test_what_a_format_cannot_express_is_no_line(function: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError):
        function(text)


CREDENTIALS = [
    "/srv/key\\",
    "/srv/key\\\\",
    "/srv/my key",
    "/srv//key",
    "/srv/../key",
    "/srv/key/",
    "srv/key",
    "/srv/k\ty",
]


@pytest.mark.parametrize("file", CREDENTIALS)
def test_the_file_of_a_credential_that_a_unit_cannot_name_is_refused_with_its_key(file: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        validate(VM_OPTIONS, {"name": "vm", "credential_files": {"token": file}}, "vms[0]")
    assert refusal.value.path == "vms[0].credential_files.token"


ADDRESSES = {
    "guest": {"networks": [{"interface": "a", "gateway": "fe80::1%x\nDNS=192.0.2.1"}]},
    "ready": {"address": "fe80::1%x\n[Route]"},
}


@pytest.mark.parametrize("key", sorted(ADDRESSES))
def test_the_zone_of_an_address_brings_no_line_along(key: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        validate(VM_OPTIONS, {"name": "vm", key: ADDRESSES[key]}, "")
    assert refusal.value.path.startswith(key) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("address", ["fe80::1%br0", "192.0.2.1", "2001:db8::1"])
def test_addresses_of_hosts_are_accepted(address: str) -> None:
    assert validate(VM_OPTIONS, {"name": "vm", "ready": {"address": address}}, "")["ready"]["address"] == address


def test_errors_command_no_terminal() -> None:
    with pytest.raises(DeclarationError) as refusal:
        validate(VM_OPTIONS, {"name": "vm", "\x1b[2Jmem\x9b": 1}, "vms[0]")
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", str(refusal.value))
    assert refusal.value.path == "vms[0].\\x1b[2Jmem\\x9b"


def test_a_refused_value_is_not_repeated_at_length() -> None:
    with pytest.raises(DeclarationError) as refusal:
        validate(VM_OPTIONS, {"name": "x" * 1_000_000}, "")
    assert len(str(refusal.value)) < 1000
