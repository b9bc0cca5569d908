# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that guests get the key of their host where they are declared to, and nowhere else."""

from __future__ import annotations

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import files, host_access
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ..examples import FULL, KEY, parse

OF_HOST = "ssh-ed25519 AAAAC3NzHost microvm.fleet@host7"


def keys(monkeypatch: pytest.MonkeyPatch, guest: dict[str, object], key: str | None, is_expected: bool) -> list[str]:
    """Return the keys that a guest gets on a host whose file has ``key``."""
    monkeypatch.setattr(files, "read_text", lambda _path: key)
    declaration = parse({**FULL, "guest": {"authorized_keys": [KEY], **guest}})[0]
    host_access.add_key_of_host(declaration, "vms[3]", is_expected)
    return declaration["guest"]["authorized_keys"]


@pytest.mark.parametrize(
    ("guest", "expected"),
    [
        ({}, [KEY]),
        ({"host_access": True}, [KEY, OF_HOST]),
        ({"host_access": True, "authorized_keys": []}, [OF_HOST]),
        ({"host_access": True, "authorized_keys": [OF_HOST]}, [OF_HOST]),
    ],
)
def test_a_guest_that_lets_its_host_in_knows_the_key(
    monkeypatch: pytest.MonkeyPatch, guest: dict[str, object], expected: list[str]
) -> None:
    assert keys(monkeypatch, guest, f"{OF_HOST}\n", is_expected=False) == expected


@pytest.mark.parametrize("key", [None, "", "-----BEGIN OPENSSH PRIVATE KEY-----", f"{OF_HOST}\nssh-ed25519 AAAA x"])
def test_a_host_without_a_key_is_refused_unless_the_role_is_yet_to_run(
    monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    assert keys(monkeypatch, {"host_access": True}, key, is_expected=True) == [KEY]
    with pytest.raises(DeclarationError) as refusal:
        keys(monkeypatch, {"host_access": True}, key, is_expected=False)
    assert refusal.value.path == "vms[3].guest.host_access"
    assert "role microvm.fleet.host" in refusal.value.message


def test_a_guest_whose_host_alone_may_log_in_is_expected_to_have_an_ssh_server() -> None:
    network = {"addresses": ["10.3.0.7/24"]}
    (vm,) = parse({**FULL, "guest": {"host_access": True, "networks": [network]}})
    assert vm["ready"]["check"] == "ssh"
