# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restrictions by the field ``trust`` of the tables: no option is forgotten, and what reaches a host can be closed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import IMAGE_STORE
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.restrictions.options import (
    RESTRICTION_OPTIONS,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.restrictions.parse import (
    parse_restrictions,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.restrictions.uses import (
    KEYS,
    is_below,
    refuse,
    refuse_inside_of_shares,
    uses,
    writable_sources,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import PackagedVm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import (
    PACKAGE_OPTIONS,
    VM_OPTIONS,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.options import PLAIN, Option, Options

from ...examples import FULL, SMALL, parse

CLOSED = parse_restrictions({"path_prefixes": ["/boot"]})
OPEN: dict[str, Any] = {
    **{option.name: True for option in RESTRICTION_OPTIONS if option.type == "bool"},
    "path_prefixes": ["/boot", "/etc", "/run", "/srv", "/boots", "/x", "/var"],
    "bridges": ["br0"],
}
NEVER_OPEN = ("initrd_path", "store_disk", "shares[].source")
"""Options whose example is below no directory."""

EXAMPLES: dict[str, tuple[dict[str, Any], str]] = {
    "after": ({"after": ["ssh.service", "a.mount"]}, "after[0]"),
    "requires": ({"requires": ["debug-shell.service"]}, "requires[0]"),
    "runner": ({"kernel": None, "runner": "/boot/package"}, "runner"),
    "user": ({"user": "root"}, "user"),
    "socket": ({"socket": "/run/x.sock"}, "socket"),
    "pre_start": ({"pre_start": "id"}, "pre_start"),
    "extra_args_script": ({"extra_args_script": "/boot/script"}, "extra_args_script"),
    "image": ({"image": "/srv/image", "kernel": "/boot/k", "initrd_path": "/boot/i", "store_disk": "/boot/d"}, "image"),
    "kernel": ({"kernel": "/etc/shadow"}, "kernel"),
    "initrd_path": ({"initrd_path": "/boot/../etc/shadow"}, "initrd_path"),
    "store_disk": ({"store_disk": "/boot"}, "store_disk"),
    "flake": ({"flake": "github:you/machines", "kernel": None}, "flake"),
    "nix_arguments": (
        {"flake": "github:you/machines", "nix_arguments": ["--impure"], "kernel": None},
        "flake",
    ),
    "update_flake": (
        {"flake": "github:you/machines", "update_flake": "github:you/newer", "kernel": None},
        "flake",
    ),
    "credential_files": (
        {"credential_files": {"a": "/boot/a", "b": f"{IMAGE_STORE}/x"}},
        "credential_files.b",
    ),
    "interfaces[].type": ({"interfaces": [{}, {"type": "user"}]}, "interfaces[1].type"),
    "interfaces[].bridge": ({"interfaces": [{"bridge": "br0"}]}, "interfaces[0].bridge"),
    "interfaces[].macvtap.link": (
        {"interfaces": [{"type": "macvtap", "macvtap": {"link": "eth0", "mode": "bridge"}}]},
        "interfaces[0].type",
    ),
    "forward_ports": (
        {
            "interfaces": [{"type": "user"}],
            "forward_ports": [{"host": {"port": 1}, "guest": {"port": 2}}],
        },
        "interfaces[0].type",
    ),
    "volumes[].image": ({"volumes": [{"image": "a"}, {"image": "/boots/a"}]}, "volumes[1].image"),
    "volumes[].image_type": (
        {"volumes": [{"image": "a", "image_type": "qcow2", "auto_create": False}]},
        "volumes[0].image_type",
    ),
    "volumes[].mkfs_extra_args": (
        {"volumes": [{"image": "a", "mkfs_extra_args": ["-d", "/etc"]}]},
        "volumes[0].mkfs_extra_args[0]",
    ),
    "shares[].source": ({"shares": [{"tag": "a", "source": "/"}]}, "shares[0].source"),
    "shares[].socket": (
        {"shares": [{"tag": "a", "source": "a", "proto": "virtiofs", "socket": "/run/s"}]},
        "shares[0].socket",
    ),
    "shares[].user": (
        {"shares": [{"tag": "a", "source": "a", "proto": "virtiofs", "posix_acl": False, "user": "alice"}]},
        "shares[0].user",
    ),
    "shares[].source_owner": (
        {"shares": [{"tag": "a", "source": "a", "proto": "virtiofs", "source_owner": "alice"}]},
        "shares[0].source_owner",
    ),
    "shares[].source_group": (
        {"shares": [{"tag": "a", "source": "a", "proto": "virtiofs", "source_group": "users"}]},
        "shares[0].source_group",
    ),
    "shares[].extra_args": (
        {"shares": [{"tag": "a", "source": "a", "proto": "virtiofs", "extra_args": ["--sandbox=none"]}]},
        "shares[0].extra_args[0]",
    ),
    "devices": ({"devices": [{"bus": "pci", "path": "0000:01:00.0"}]}, "devices[0]"),
    "graphics.socket": ({"graphics": {"socket": "/run/g"}}, "graphics.socket"),
    "graphics.crosvm_package": ({"graphics": {"crosvm_package": "/x/bin/crosvm"}}, "graphics.crosvm_package"),
    "virtiofsd.group": ({"virtiofsd": {"group": "users"}}, "virtiofsd.group"),
    "virtiofsd.extra_args": ({"virtiofsd": {"extra_args": ["--x"]}}, "virtiofsd.extra_args[0]"),
    "virtiofsd.package": ({"virtiofsd": {"package": "/x/bin/virtiofsd"}}, "virtiofsd.package"),
    "bin_scripts": ({"bin_scripts": {"tap-up": "id"}}, "bin_scripts.tap-up"),
    "isolation": ({"isolation": "shared"}, "isolation"),
    "profile": ({"profile": "compat"}, "profile"),
    "qemu.machine_opts": ({"qemu": {"machine_opts": {"dumpdtb": "/x"}}}, "qemu.machine_opts.dumpdtb"),
    "firecracker.cpu": ({"firecracker": {"cpu": {"a": 1}}}, "firecracker.cpu.a"),
    "firecracker.extra_config": ({"firecracker": {"extra_config": {"a": {}}}}, "firecracker.extra_config.a"),
    "crosvm.pivot_root": ({"crosvm": {"pivot_root": "/x/root"}}, "crosvm.pivot_root"),
    **{
        f"{hypervisor}.{key}": ({hypervisor: {key: value}}, f"{hypervisor}.{path}")
        for hypervisor in (
            "qemu",
            "cloud_hypervisor",
            "firecracker",
            "crosvm",
            "kvmtool",
            "stratovirt",
            "alioth",
            "vfkit",
        )
        for key, value, path in (("extra_args", ["-x"], "extra_args[0]"), ("package", "/x/bin/x", "package"))
    },
}
"""Declaration that uses each option that needs trust, and the path that is refused first."""


def needing_trust(options: Options, prefix: str = "") -> Iterator[str]:
    """Yield the paths of the options that need trust; what is in them needs none of its own."""
    for option in options:
        path = f"{prefix}{option.name}"
        if option.trust not in (None, PLAIN):
            yield path
        else:
            yield from needing_trust(option.suboptions, f"{path}[]." if option.type == "list" else f"{path}.")


def unclassified(options: Options, prefix: str = "") -> Iterator[str]:
    """Yield the paths of options whose values are free strings or mappings, and that do not say what they reach."""
    for option in options:
        path = f"{prefix}{option.name}"
        if option.trust in (None, PLAIN):
            if option.trust is None and is_free(option):
                yield path
            yield from unclassified(option.suboptions, f"{path}[]." if option.type == "list" else f"{path}.")


def is_free(option: Option) -> bool:
    """Return whether users can write what they want, or nearly so, rather than a number or one of some words."""
    return not option.suboptions and not option.choices and option.type in ("str", "path", "list", "dict")


def test_every_free_option_says_what_it_reaches() -> None:
    assert list(unclassified(VM_OPTIONS)) == []
    forgotten = Option("new", "path", "A new option.")
    assert list(unclassified((*VM_OPTIONS, forgotten))) == ["new"]


def test_every_kind_of_trust_has_a_key_that_opens_it() -> None:
    assert set(KEYS.values()) | {"enable"} == {option.name for option in RESTRICTION_OPTIONS}
    assert set(EXAMPLES) == set(needing_trust(VM_OPTIONS))


def test_a_recorded_declaration_has_no_uses_of_the_host_s_options() -> None:
    declaration = parse({**SMALL, "requires": ["a.mount"]})[0]
    packaged = {option.name for option in PACKAGE_OPTIONS}
    recorded = cast(PackagedVm, {key: value for key, value in declaration.items() if key in packaged})
    assert "requires[0]" in [use.path for use in uses(declaration)]
    assert "requires[0]" not in [use.path for use in uses(recorded)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_needs_trust_is_refused_and_can_be_opened(name: str) -> None:
    options, path = EXAMPLES[name]
    declared = [{**SMALL, **options}]
    if "volumes" in options:
        declared[0]["volumes"] = [{"size": 1, **volume} for volume in options["volumes"]]
    [declaration] = parse(*declared)
    with pytest.raises(DeclarationError) as refusal:
        refuse(declaration, CLOSED, "vms[7]")
    assert refusal.value.path == f"vms[7].{path}"
    kinds = {use.trust for use in uses(declaration) if use.path == path}
    assert [f"microvm_restrictions.{KEYS[kind]}" in refusal.value.message for kind in kinds] == [True]
    assert refusal.value.message.endswith("; remove the option, or ask the operator of the host to allow it")
    assert any(re.sub(r"\[\d+\]", "[]", use.path).startswith(name) for use in uses(declaration))
    refuse(declaration, parse_restrictions({"enable": False}), "vms[7]")
    if name not in NEVER_OPEN:
        refuse(declaration, parse_restrictions(OPEN), "vms[7]")


def test_a_declaration_without_trust_is_accepted() -> None:
    refuse(parse({**SMALL, "volumes": [{"image": "a", "size": 1}], "interfaces": [{}]})[0], CLOSED, "")
    virtiofs = {"tag": "a", "source": "files", "proto": "virtiofs"}
    [declaration] = parse({**SMALL, "shares": [virtiofs], "guest": {"hostname": "x"}, "kernel_params": ["init=/x"]})
    refuse(declaration, CLOSED, "")
    assert [use.path for use in uses(declaration) if str(use.value).startswith("/")] == ["kernel"]


def test_images_in_the_store_need_no_prefix() -> None:
    store = f"{IMAGE_STORE}/0123"
    closed = parse_restrictions({"bridges": ["br0"]})
    refuse(parse({"name": "a", "image": store})[0], closed, "")
    [declaration] = parse({**FULL, "image": store, "shares": []})
    refuse(declaration, closed, "")
    for path in (store[: -len("/0123")], f"{store}/../../vms/web.json", f"{IMAGE_STORE}-of-others/x"):
        with pytest.raises(DeclarationError, match="path_prefixes"):
            refuse(parse({"name": "a", "kernel": path})[0], closed, "")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/srv/team/a", True),
        ("/srv//team/./a", True),
        ("/srv/team", False),
        ("/srv/team/", False),
        ("/srv/team/.", False),
        ("/srv/teams/a", False),
        ("/srv/team/../b", False),
        ("/srv/team/a/../../b", False),
        ("/", False),
        ("/a/srv/team/b", False),
    ],
)
def test_paths_are_below_a_prefix_by_whole_words(path: str, expected: bool) -> None:
    assert is_below(path, "/srv/team") is expected
    assert is_below(path, "/srv/team/") is expected


def shared(source: str, **options: Any) -> dict[str, Any]:
    """Return a virtiofs share."""
    return {"proto": "virtiofs", "tag": source[-1], "source": source, "mount_point": f"/mnt{source}", **options}


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"credential_files": {"k": "/srv/a/x"}}, "credential_files.k"),
        ({"volumes": [{"image": "/srv/a/d/x.img", "size": 8}]}, "volumes[0].image"),
        ({"shares": [shared("/srv/a"), shared("/srv/a/b")]}, "shares[1].source"),
        ({"kernel": "/srv/a/k"}, "kernel"),
    ],
)
def test_paths_inside_of_what_a_guest_can_change_are_refused(options: dict[str, Any], place: str) -> None:
    declaration = parse({**SMALL, **options})[0]
    with pytest.raises(DeclarationError, match="which a guest shares and can change") as refusal:
        refuse_inside_of_shares(declaration, ["/srv/a"], "vms[0]")
    assert refusal.value.path == f"vms[0].{place}"


def test_a_source_may_be_shared_by_two_and_read_only_ones_contain_anything() -> None:
    declaration = parse({**SMALL, "shares": [shared("/srv/a"), shared("/srv/r", read_only=True), shared("/srv/ab")]})[0]
    assert list(writable_sources(declaration)) == ["/srv/a", "/srv/ab"]
    refuse_inside_of_shares(declaration, list(writable_sources(declaration)), "vms[0]")


@pytest.mark.parametrize(
    ("interface", "bridges", "key"),
    [
        ({"bridge": "wire0"}, ["wire0"], None),
        ({"bridge": "wire0"}, ["br0"], "interfaces[0].bridge"),
        ({"macvtap": {"link": "eth0", "mode": "bridge"}}, ["eth0"], "interfaces[0].type"),
    ],
)
def test_macvtaps_of_networks_need_the_permission_of_their_network(
    interface: dict[str, Any], bridges: list[str], key: str | None
) -> None:
    (declaration,) = parse({**SMALL, "kernel": "/boot/k", "interfaces": [{"type": "macvtap", **interface}]})
    restrictions = parse_restrictions({"path_prefixes": ["/boot"], "bridges": bridges})
    if key is None:
        refuse(declaration, restrictions, "vms[0]")
        return
    with pytest.raises(DeclarationError) as refusal:
        refuse(declaration, restrictions, "vms[0]")
    assert refusal.value.path == f"vms[0].{key}"
