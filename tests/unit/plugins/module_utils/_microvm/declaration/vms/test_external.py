# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Declarations of MicroVMs whose package was made elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.external import (
    PackageFacts,
    applicable_defaults,
    undeclared_package,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import VM_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import (
    ExternalDeclarations,
    parse_vm,
    parse_vms,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.source_options import (
    flakes_in_arguments,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.credentials import without_credentials
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.validation import validate

from ...examples import SMALL, parse

RUNNER = {"name": "web", "runner": "/srv/web"}
HOSTS_OPTIONS: dict[str, Any] = {
    "state": "stopped",
    "autostart": False,
    "autostart_order": 7,
    "restart_policy": "never",
    "ready": {"check": "none"},
    "limits": {"tasks_max": 9},
    "keep_generations": 5,
    "tags": ["blue"],
    "renamed_from": "www",
    "on_absent": {"volumes": "archive"},
}
DECIDED: dict[str, Any] = {
    "hypervisor": "firecracker",
    "mem": 1024,
    "volumes": [{"image": "a", "size": 1}],
    "interfaces": [{"type": "tap"}],
    "image": "base",
    "guest": {"hostname": "other"},
    "isolation": "shared",
    "identity": "www",
    "machine_id": "0" * 31 + "1",
    "qemu": {"machine": "q35"},
}


def common(**options: Any) -> dict[str, Any]:
    return validate(tuple(option for option in VM_OPTIONS if option.name != "name"), options, "")


def test_options_of_the_host_are_declared_beside_a_package() -> None:
    assert parse_vm({**RUNNER, **HOSTS_OPTIONS})["tags"] == ["blue"]


@pytest.mark.parametrize("option", DECIDED)
def test_an_option_that_the_package_decides_is_refused_by_its_name(option: str) -> None:
    with pytest.raises(DeclarationError, match="decided by the package") as refusal:
        parse_vms([{**RUNNER, option: DECIDED[option]}])
    assert refusal.value.path == f"vms[0].{option}"


@pytest.mark.parametrize("option", DECIDED)
def test_common_options_of_all_microvms_do_not_apply(option: str) -> None:
    value = DECIDED[option]
    assert (
        parse_vms([{**RUNNER, option: value}], external=ExternalDeclarations(common=common(**{option: value})))[0][
            "mem"
        ]
        == 0
    )
    defaults: dict[object, object] = {option: value, "tags": ["blue"]}
    assert applicable_defaults({"runner": "/srv/web"}, defaults) == {"tags": ["blue"]}
    assert applicable_defaults({"name": "web"}, defaults) == defaults


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(DeclarationError, match="not an absolute path"):
        parse_vm({"name": "web", "runner": "result"})


@pytest.mark.parametrize(
    "reference",
    ["./machines", "..", "~/machines", "~", "path:machines", "path:./machines", "git+file:machines", "my.dir/machines"],
)
def test_a_flake_of_a_relative_path_is_refused(reference: str) -> None:
    with pytest.raises(DeclarationError, match="is relative to a directory that nobody knows") as refusal:
        parse_vm({"name": "web", "flake": reference})
    assert refusal.value.path == "flake"


@pytest.mark.parametrize(
    "word", ["-f", "--file", "--expr", "--store", "--eval-store", "--profile", "-o", "--json", "--version"]
)
def test_arguments_that_make_nix_do_something_else_are_refused(word: str) -> None:
    with pytest.raises(DeclarationError, match=f"{word} changes what Nix evaluates.*`build_on`") as refusal:
        parse_vm({"name": "web", "flake": "github:you/machines", "nix_arguments": ["--impure", word, "x"]})
    assert refusal.value.path == "nix_arguments[1]"


@pytest.mark.parametrize(
    "reference", ["-x", "path:/a\nb", "path:/a b", "path:/a#b", "path:/a\x1b[0m", "\u2028x", '"/a"', "$(id)"]
)
def test_a_reference_that_nix_would_read_otherwise_is_refused(reference: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse_vm({"name": "web", "flake": reference})
    assert refusal.value.path == "flake"


def test_inputs_that_arguments_replace_are_flakes() -> None:
    arguments = ["--impure", "--override-input", "nixpkgs", "/srv/nixpkgs", "--inputs-from", "/srv/inputs"]
    assert flakes_in_arguments(arguments) == ["/srv/nixpkgs", "/srv/inputs"]
    assert flakes_in_arguments(["--override-input", "nixpkgs"]) == []


def test_what_the_package_records_takes_part_in_clashes() -> None:
    recorded = parse({**SMALL, "name": "web", "vsock": {"cid": 7}})[0]
    other = {**SMALL, "name": "db", "vsock": {"cid": 7}}
    parse_vms([RUNNER, other])
    with pytest.raises(DeclarationError, match="context identifier '7' is already used"):
        parse_vms([RUNNER, other], external=ExternalDeclarations({0: recorded}))


LISTS: dict[str, tuple[PackageFacts, dict[str, Any]]] = {
    "taps": (PackageFacts(taps="vm-a\nvm-b\n"), {"interfaces": [{"id": "vm-b"}]}),
    "macvtaps": (
        PackageFacts(macvtaps="vm-a 02:00:00:00:00:01 eth0 bridge\n"),
        {"interfaces": [{"mac": "02:00:00:00:00:01"}]},
    ),
    "devices": (PackageFacts(pci_devices="0000:01:00.0\n"), {"devices": [{"bus": "pci", "path": "0000:01:00.0"}]}),
    "vsock": (PackageFacts(context_identifier="7\n"), {"vsock": {"cid": 7}}),
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_a_package_without_a_declaration_take_part_in_clashes(kind: str) -> None:
    facts, options = LISTS[kind]
    package = undeclared_package("web", facts)
    with pytest.raises(DeclarationError, match="is already used"):
        parse_vms([RUNNER, {**SMALL, "name": "db", **options}], external=ExternalDeclarations({0: package}))
    # Nothing is known of the MAC address of a tap.
    parse_vms(
        [RUNNER, {**RUNNER, "name": "db"}], external=ExternalDeclarations({0: package, 1: undeclared_package("db")})
    )


def test_readiness_of_a_package_that_records_nothing_is_that_of_its_unit() -> None:
    package = undeclared_package("web")
    assert parse_vms([RUNNER], external=ExternalDeclarations({0: package}))[0]["ready"]["check"] == "none"
    ready = {"check": "tcp", "address": "10.0.0.1", "port": 443}
    assert (
        parse_vms([{**RUNNER, "ready": ready}], external=ExternalDeclarations({0: package}))[0]["ready"]["check"]
        == "tcp"
    )


@pytest.mark.parametrize(
    ("check", "path"),
    [("hypervisor", "check"), ("vsock", "check"), ("notify", "check"), ("ssh", "address"), ("tcp", "address")],
)
def test_a_check_that_the_package_cannot_answer_is_refused_where_the_package_is(check: str, path: str) -> None:
    declared = {**RUNNER, "ready": {"check": check}}
    assert parse_vms([declared])[0]["ready"]["check"] == check
    with pytest.raises(DeclarationError) as refusal:
        parse_vms([declared], external=ExternalDeclarations({0: undeclared_package("web")}))
    assert refusal.value.path == f"vms[0].ready.{path}"


def test_readiness_of_a_package_is_what_its_declaration_allows() -> None:
    recorded = parse({**SMALL, "name": "web"})[0]
    assert parse_vms([RUNNER], external=ExternalDeclarations({0: recorded}))[0]["ready"]["check"] == "hypervisor"


FLAKE: dict[str, Any] = {"name": "web", "flake": "github:you/machines"}


@pytest.mark.parametrize(
    ("declared", "path", "message"),
    [
        ({**FLAKE, "runner": "/srv/web"}, "flake", "remove this option, or `runner`"),
        ({**RUNNER, "build_on": "controller"}, "build_on", "remove this option, or `runner`"),
        ({**SMALL, "attribute": "a.b"}, "attribute", "requires `flake`"),
        ({**SMALL, "update_flake": "github:you/x"}, "update_flake", "requires `flake`"),
        ({**SMALL, "manage": "once"}, "manage", "set `flake` or `runner`"),
        ({**FLAKE, "mem": 1024}, "mem", "package that `flake` names"),
        ({**FLAKE, "flake": "github:you/machines#web"}, "flake", "write it as `attribute`"),
        ({**FLAKE, "flake": "./machines"}, "flake", "write an absolute path or a URL"),
        ({**FLAKE, "flake": "--impure"}, "flake", "no reference to a flake"),
        ({**FLAKE, "flake": "a\nb"}, "flake", "no reference to a flake"),
        ({**FLAKE, "flake": "path:/a b"}, "flake", "such as path:/srv/my%20machines"),
        ({**FLAKE, "attribute": "a#b"}, "attribute", "no attribute of a flake"),
        ({**FLAKE, "nix_arguments": ["--no-check-sigs"]}, "nix_arguments[0]", "declare the keys"),
        ({**FLAKE, "nix_arguments": ["--no-require-sigs"]}, "nix_arguments[0]", "declare the keys"),
        ({**FLAKE, "nix_arguments": ["--option", "require-sigs", "false"]}, "nix_arguments[1]", "declare the keys"),
        ({**FLAKE, "nix_arguments": ["--option=require-sigs", "false"]}, "nix_arguments[0]", "declare the keys"),
        ({**FLAKE, "nix_arguments": ["--option=require-sigs=0"]}, "nix_arguments[0]", "declare the keys"),
        ({**FLAKE, "nix_arguments": ["--substituters", "http://c?trusted=1"]}, "nix_arguments[1]", "declare the keys"),
        ({**FLAKE, "nix_arguments": ["--access-tokens", "g=1"]}, "nix_arguments[0]", "access-tokens of nix.conf"),
        ({**FLAKE, "nix_arguments": ["--option", "access-tokens", "g=1"]}, "nix_arguments[1]", "netrc"),
        ({**FLAKE, "nix_arguments": ["--override-input", "x", "git+https://t@h/x"]}, "nix_arguments[2]", "netrc"),
        ({**FLAKE, "nix_arguments": ["--substituters", "https://a/ https://t@b"]}, "nix_arguments[1]", "netrc"),
        ({**FLAKE, "nix_arguments": ["-L", "--no-write-lock-file"], "require_lock": True}, "nix_arguments[1]", "lock"),
    ],
)
def test_options_of_flakes_that_contradict_each_other_are_refused(
    declared: dict[str, Any], path: str, message: str
) -> None:
    with pytest.raises(DeclarationError, match=message) as refusal:
        parse(declared)
    assert refusal.value.path == f"vms[0].{path}"


WITH_CREDENTIALS = [
    "git+https://ada:secret@git.example.org/machines",
    "git+https://secret@git.example.org/machines?ref=main",
    "https://secret@git.example.org/machines.tar.gz",
    "tarball+HTTP://secret@git.example.org/machines.tar.gz",
    "git+ssh://git:secret@git.example.org/machines",
    "https://git.example.org/archive.tar.gz?private_token=secret",
]


@pytest.mark.parametrize("option", ["flake", "update_flake"])
@pytest.mark.parametrize("reference", WITH_CREDENTIALS)
def test_credentials_in_a_reference_are_refused_and_not_repeated(option: str, reference: str) -> None:
    with pytest.raises(DeclarationError, match="netrc") as refusal:
        parse({**FLAKE, option: reference})
    assert refusal.value.path == f"vms[0].{option}" and "secret" not in str(refusal.value)


@pytest.mark.parametrize("reference", WITH_CREDENTIALS)
def test_reports_show_no_credentials(reference: str) -> None:
    assert "secret" not in without_credentials(reference) and "example.org" in without_credentials(reference)


@pytest.mark.parametrize(
    "reference",
    [
        "git+ssh://git@git.example.org/machines",
        "ssh://git@git.example.org:22/machines",
        "git+https://git.example.org/machines@v1:2?ref=a@b",
        "https://[2001:db8::1]:8443/machines.tar.gz",
        "path:/srv/machines@2",
        "github:you/machines",
    ],
)
def test_references_without_credentials_are_accepted(reference: str) -> None:
    assert parse_vm({**FLAKE, "flake": reference})["flake"] == reference


def test_a_flake_has_its_options_and_those_of_the_host() -> None:
    own = {"attribute": 'packages.x86_64-linux."web 1"', "nix_arguments": ["--override-input", "x", "github:a/b"]}
    declaration = parse_vm({**FLAKE, **HOSTS_OPTIONS, **own, "build_on": "controller", "manage": "once"})
    assert declaration["tags"] == ["blue"] and declaration["mem"] == 0
    assert parse_vm({**FLAKE, "require_lock": True, "nix_arguments": ["--impure"]})["build_on"] == "target"


def test_a_common_flake_does_not_apply_to_a_microvm_of_a_directory() -> None:
    defaults: dict[object, object] = {"flake": "github:you/machines", "build_on": "controller", "mem": 512, "tags": []}
    assert applicable_defaults({"name": "web"}, defaults) == {key: defaults[key] for key in defaults if key != "mem"}
    assert applicable_defaults({"name": "web", "runner": "/srv/web"}, defaults) == {"tags": []}
    assert applicable_defaults({"name": "web", "flake": None}, defaults) == defaults
    shared = {"flake": "github:you/machines", "build_on": "controller", "manage": "once"}
    given = ExternalDeclarations(common=common(**shared))
    for vm in ({**RUNNER, **shared}, {**SMALL, **shared, "flake": None}):
        parse_vms([vm], external=given)
