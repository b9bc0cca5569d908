# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that can build images, and what is said of those that cannot."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.images.parse import parse_image
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import user_namespace
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.images import build

DECLARATION = parse_image({"name": "base"}, "x86_64")


@pytest.fixture(autouse=True)
def ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who is not root, on a host with all programs of a build."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(build, "missing_tools", lambda _declaration: [])
    monkeypatch.setattr(user_namespace, "missing", list)


def test_a_user_who_may_be_root_of_a_namespace_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_namespace, "as_root_of_namespace", lambda work: None)
    build.check_build_host(DECLARATION)


@pytest.mark.parametrize(
    ("lacking", "error", "expected"),
    [
        (["newuidmap of the Debian package uidmap"], "", r"needs newuidmap of the Debian package uidmap; provide"),
        (["newuidmap", "IDs"], "", r"needs newuidmap; IDs; provide"),
        ([], "no user namespace can be created: Operation not permitted", r"user namespaces.*Operation not permitted"),
    ],
)
def test_what_a_build_without_root_lacks_is_named_with_both_remedies(
    monkeypatch: pytest.MonkeyPatch, lacking: list[str], error: str, expected: str
) -> None:
    def refuse(_work: Any) -> None:
        raise HostError(error)

    monkeypatch.setattr(user_namespace, "missing", lambda: lacking)
    monkeypatch.setattr(user_namespace, "as_root_of_namespace", refuse)
    with pytest.raises(HostError, match=expected) as refusal:
        build.check_build_host(DECLARATION)
    assert "microvm_image_build_become" in str(refusal.value)
    assert "ansible_become" in str(refusal.value)


def test_missing_programs_are_named_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "missing_tools", lambda _declaration: ["mmdebstrap", "kmod"])
    with pytest.raises(HostError, match="lacks mmdebstrap, kmod; install"):
        build.check_build_host(DECLARATION)
