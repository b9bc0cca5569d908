# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run makes the command line of each MicroVM once: it knows programs and versions without it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.commands import HYPERVISORS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request, reconcile

from ..fake_host import FakeHost


@pytest.mark.parametrize("mode", [{}, {"check_mode": True}, {"preflight": True}], ids=["run", "check", "preflight"])
def test_each_command_line_is_made_once(host: FakeHost, monkeypatch: pytest.MonkeyPatch, mode: Any) -> None:
    names: list[str] = []
    hypervisor = HYPERVISORS["qemu"]
    original = hypervisor.command

    def counted(declaration: Any, facts: Any) -> Any:
        names.append(declaration["name"])
        return original(declaration, facts)

    monkeypatch.setattr(hypervisor, "command", counted)
    vms = [{"name": name, "kernel": "/k", "accel": "tcg", "ready": {"check": "none"}} for name in ("a", "b")]
    reconcile(Request(vms=vms, state_dir="/unused", **mode))
    assert names == ["a", "b"]
