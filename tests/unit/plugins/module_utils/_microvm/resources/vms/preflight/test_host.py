# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts without systemd, rights or a usable KVM are reported before anything is changed."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.accelerator import can_be_opened
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight import host as module
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.host import (
    check_host,
    check_kvm,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .placed import TAP, USER, placed


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    """A host that can do everything, and what sets one thing of it."""
    things: dict[str, Any] = {"systemd": True, "user": 0, "net_admin": True}
    monkeypatch.setattr(systemd, "is_init", lambda: things["systemd"])
    monkeypatch.setattr("os.geteuid", lambda: things["user"])
    monkeypatch.setattr(module, "_has_capability", lambda _number: things["net_admin"])
    return things.__setitem__


def test_a_suitable_host_is_accepted(host: Callable[[str, Any], None]) -> None:
    check_host(placed(USER, TAP))


@pytest.mark.parametrize(
    ("thing", "value", "words"),
    [("systemd", False, "systemd does not run this host"), ("user", 1000, "root privileges are required")],
)
def test_an_unsuitable_host_is_refused(host: Callable[[str, Any], None], thing: str, value: Any, words: str) -> None:
    host(thing, value)
    with pytest.raises(HostError, match=words):
        check_host(placed(USER))


def test_taps_need_rights_on_the_network(host: Callable[[str, Any], None]) -> None:
    host("net_admin", False)
    check_host(placed(USER))
    with pytest.raises(DeclarationError, match="CAP_NET_ADMIN") as refusal:
        check_host(placed(USER, TAP))
    assert refusal.value.path == "vms[1].interfaces"


def test_a_declared_kvm_must_be_usable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KVM", str(tmp_path / "kvm"))
    declared = placed(USER, {**TAP, "accel": "kvm"})
    with pytest.raises(DeclarationError, match="kvm that can be used") as refusal:
        check_kvm(declared)
    assert refusal.value.path == "vms[1].accel"
    (tmp_path / "kvm").touch()
    check_kvm(declared)


def test_a_device_without_a_driver_cannot_be_opened(tmp_path: Path) -> None:
    # Whoever opens a socket as a file is answered as of a device without a driver.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "device"))
        assert not can_be_opened(str(tmp_path / "device"))
    assert not can_be_opened(str(tmp_path / "missing"))
    assert can_be_opened("/dev/null")
