# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that what a host lacks is reported before anything is changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.places import Places
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms import preflight
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from ...examples import parse

USER = {"name": "one", "kernel": "/boot/vmlinuz", "mem": 300, "interfaces": [{"type": "user"}]}
TAP = {**USER, "name": "two", "interfaces": [{"type": "user"}, {"bridge": "br-none"}]}


def placed(*raw: dict[str, Any]) -> preflight.Placed:
    return [(f"vms[{index}]", one) for index, one in enumerate(parse(*raw))]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Any], None]:
    """A host that can do everything, and what sets one thing of it."""
    things: dict[str, Any] = {"systemd": True, "user": 0, "net_admin": True, "memory": 1024}
    monkeypatch.setattr(systemd, "is_init", lambda: things["systemd"])
    monkeypatch.setattr("os.geteuid", lambda: things["user"])
    monkeypatch.setattr(preflight, "_has_capability", lambda _number: things["net_admin"])
    monkeypatch.setattr(preflight, "memory_total", lambda: things["memory"])
    return things.__setitem__


def test_a_suitable_host_is_accepted(host: Callable[[str, Any], None]) -> None:
    preflight.check_host(placed(USER, TAP))


@pytest.mark.parametrize(
    ("thing", "value", "words"),
    [("systemd", False, "systemd does not run this host"), ("user", 1000, "root privileges are required")],
)
def test_an_unsuitable_host_is_refused(host: Callable[[str, Any], None], thing: str, value: Any, words: str) -> None:
    host(thing, value)
    with pytest.raises(HostError, match=words):
        preflight.check_host(placed(USER))


def test_taps_need_rights_on_the_network(host: Callable[[str, Any], None]) -> None:
    host("net_admin", False)
    preflight.check_host(placed(USER))
    with pytest.raises(DeclarationError, match="CAP_NET_ADMIN") as refusal:
        preflight.check_host(placed(USER, TAP))
    assert refusal.value.path == "vms[1].interfaces"


def test_memory_is_counted_together(host: Callable[[str, Any], None]) -> None:
    host("memory", 599)
    preflight.check_host(placed(USER))
    with pytest.raises(DeclarationError, match="600 MiB in all") as refusal:
        preflight.check_host(placed(USER, TAP))
    assert refusal.value.path == "vms[1].mem"


def test_files_must_be_there_or_awaited(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    declared = placed({**USER, "kernel": str(kernel)})
    with pytest.raises(DeclarationError, match="does not exist") as refusal:
        preflight.check_files(declared, Places("/state"), awaited=lambda _file: False)
    assert refusal.value.path == "vms[0].kernel"
    preflight.check_files(declared, Places("/state"), awaited=lambda file: file == str(kernel))
    kernel.touch()
    preflight.check_files(declared, Places("/state"), awaited=lambda _file: False)


def test_bridges_must_be_there_or_awaited() -> None:
    with pytest.raises(DeclarationError, match="br-none") as refusal:
        preflight.check_interfaces(placed(TAP))
    assert refusal.value.path == "vms[0].interfaces[1].bridge"
    preflight.check_interfaces(placed(TAP), awaited=["br-none"])


@pytest.mark.parametrize(("identity", "awaited"), [("lo", []), ("br-none", ["br-none"])])
def test_taps_have_names_of_their_own(identity: str, awaited: list[str]) -> None:
    declared = placed({**TAP, "interfaces": [{"id": identity}]})
    with pytest.raises(DeclarationError, match="not a tap") as refusal:
        preflight.check_interfaces(declared, awaited)
    assert refusal.value.path == "vms[0].interfaces[0].id"
