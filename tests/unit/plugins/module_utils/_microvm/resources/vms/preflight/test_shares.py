# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shares that a host cannot serve are refused before anything is changed; what their guests will miss is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import Declaration
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import accounts, file_systems
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight import shares as module
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.expected import Expected
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.shares import (
    check_shares,
    share_warnings,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .placed import USER, placed

NINE_P: dict[str, Any] = {"tag": "a", "source": "/srv/a"}
VIRTIOFS: dict[str, Any] = {**NINE_P, "proto": "virtiofs"}
TRANSLATED: dict[str, Any] = {**VIRTIOFS, "posix_acl": False, "translate_gid": ["map:0:1:1"]}
THEIRS: dict[str, Any] = {"posix_acl": False, "user": "games"}


def check(*shares: dict[str, Any]) -> None:
    """Check a MicroVM with some shares."""
    check_shares(placed({**USER, "shares": list(shares)}), Expected())


@pytest.fixture(autouse=True)
def version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon of Debian 13."""
    monkeypatch.setattr(module, "installed_version", lambda _program: (1, 13, 2))


@pytest.mark.parametrize(
    ("share", "found", "key", "words"),
    [
        (TRANSLATED, (1, 10, 1), "shares[0].translate_gid", "has version 1.10.1, and translates no identities"),
        ({**VIRTIOFS, **THEIRS}, (1, 10, 1), "shares[0].user", "has version 1.10.1, and translates no identities"),
        (TRANSLATED, (7, 2), "virtiofsd.package", "the former virtiofsd, which"),
        (VIRTIOFS, (7, 2), "virtiofsd.package", "the former virtiofsd, which"),
        (TRANSLATED, (1, 13, 0), None, ""),
        (TRANSLATED, None, None, ""),
        (VIRTIOFS, (1, 10, 1), None, ""),
        (NINE_P, (7, 2), None, ""),
    ],
)
def test_a_daemon_that_cannot_serve_a_share_is_refused(
    monkeypatch: pytest.MonkeyPatch, share: dict[str, Any], found: object, key: str | None, words: str
) -> None:
    monkeypatch.setattr(module, "installed_version", lambda _program: found)
    if key is None:
        check(share)
        return
    with pytest.raises(DeclarationError, match=words) as why:
        check(share)
    assert why.value.path == f"vms[0].{key}"


@pytest.mark.parametrize("source", ["flake", "runner"])
def test_packages_from_elsewhere_bring_their_own_daemon(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setattr(module, "installed_version", lambda _program: (7, 2))
    (path, vm) = placed({**USER, "shares": [VIRTIOFS]})[0]
    external = cast(Declaration, {**vm, source: "/srv/package"})
    check_shares([(path, external)], Expected())


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"source_owner": "nobody-is-it"}, "source_owner"),
        ({"source_group": "nobody-has-it"}, "source_group"),
        # Its group would have the same name.
        ({"source_owner": "root", "source_group": None}, None),
        ({"source_owner": "100000"}, None),
        ({"source_owner": "100000", "source_group": "0"}, None),
        (THEIRS, None),
        ({**THEIRS, "user": "nobody-is-it"}, "user"),
        ({**THEIRS, "user": "100000"}, "user"),
    ],
)
def test_owners_that_the_host_does_not_know_are_refused(options: dict[str, Any], key: str | None) -> None:
    if key is None:
        check({**VIRTIOFS, **options})
        return
    with pytest.raises(DeclarationError, match="on this host") as why:
        check({**VIRTIOFS, **options})
    assert why.value.path == f"vms[0].shares[0].{key}"


def test_another_name_of_root_is_no_user_of_a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "user_numbers", lambda _user: (0, 0))
    with pytest.raises(DeclarationError, match="games is another name of root"):
        check({**VIRTIOFS, **THEIRS})


def test_accounts_that_the_same_run_creates_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "exists", lambda _user: False)
    monkeypatch.setattr(accounts, "group_exists", lambda _group: False)
    own = [{**USER, "shares": [{**VIRTIOFS, "source_owner": "microvm-db"}]}, {**USER, "name": "db"}]
    check_shares(placed(*own), Expected())
    for declared in ({"source_group": "kvm"}, {"source_owner": "microvm"}, {**THEIRS, "user": "microvm"}):
        shared = placed({**USER, "isolation": "shared", "shares": [{**VIRTIOFS, **declared}]})
        check_shares(shared, Expected(setup=True))
        # Only role host creates these.
        with pytest.raises(DeclarationError, match="on this host"):
            check_shares(shared, Expected())


def test_owners_in_attributes_need_a_file_system_that_has_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    share = {**NINE_P, "source": f"{tmp_path}/missing/below", "security_model": "mapped-xattr"}
    monkeypatch.setattr(file_systems, "missing_features", lambda _directory: ())
    check(share)
    places: list[str] = []

    def missing(directory: str) -> tuple[str, ...]:
        places.append(directory)
        return (file_systems.ATTRIBUTES,)

    monkeypatch.setattr(file_systems, "missing_features", missing)
    with pytest.raises(DeclarationError, match="set mapped-file") as why:
        check(share)
    assert why.value.path == "vms[0].shares[0].security_model" and places == [str(tmp_path)]
    check({**share, "security_model": "mapped-file"}, {**share, "tag": "b", "source": "in-the-working-directory"})


def test_what_a_guest_will_miss_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    missing = (file_systems.ACCESS_LISTS, file_systems.HANDLES)
    monkeypatch.setattr(file_systems, "missing_features", lambda _directory: missing)
    share = {**VIRTIOFS, "source": str(tmp_path)}
    others = [{**share, "tag": "b", "posix_acl": False}, {**NINE_P, "tag": "c"}]
    warning = "the guest is refused them. Set `posix_acl: false` to have this accepted"
    assert list(share_warnings(placed({**USER, "shares": [*others, share]}))) == [
        f"vms[0].shares[2]: the file system of {tmp_path} has no access control lists; {warning}"
    ]
    monkeypatch.setattr(file_systems, "missing_features", lambda _directory: (file_systems.ATTRIBUTES,))
    assert list(share_warnings(placed({**USER, "shares": [*others, share]}))) == [
        f"vms[0].shares[2]: the file system of {tmp_path} has no extended attributes; {warning}"
    ]
