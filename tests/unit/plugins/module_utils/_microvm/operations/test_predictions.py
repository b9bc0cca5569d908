# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What check mode predicts of ``accel: auto``: the answer of an earlier run, or the accelerator that is installed."""

from __future__ import annotations

import platform
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.accelerator import Accelerator
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations import reconcile as module
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.reconcile import Request, reconcile
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.report import VmsResult

from ..fake_host import FakeHost

UNTESTED = Accelerator("kvm", is_tested=False)
FOREIGN = {"x86_64": "aarch64-linux"}.get(platform.machine(), "x86_64-linux")


def run(accelerator: str = "auto", check: bool = False, **options: Any) -> VmsResult:
    vm = {"name": "web", "kernel": "/k", "accel": accelerator, "ready": {"check": "none"}, **options}
    return reconcile(Request(vms=[vm], check_mode=check, state_dir="/unused"))


def answer(monkeypatch: pytest.MonkeyPatch, accelerator: Accelerator) -> None:
    """Let the host answer so."""
    monkeypatch.setattr(module, "accelerator", lambda _kernel, _check_mode: accelerator)


@pytest.mark.parametrize("name", ["kvm", "tcg"])
def test_what_is_installed_is_expected_to_stay(host: FakeHost, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    answer(monkeypatch, Accelerator(name))
    installed = run()
    assert installed["warnings"] == []
    answer(monkeypatch, UNTESTED)
    predicted = run(check=True)
    assert not predicted["changed"] and predicted["vms"][0]["package"] == installed["vms"][0]["package"]
    assert "accel: auto of web is decided by the first run" in predicted["warnings"][0]


def test_a_switch_to_auto_is_predicted_as_it_is_done(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    run("tcg")
    answer(monkeypatch, UNTESTED)
    predicted = run(check=True)
    answer(monkeypatch, Accelerator("tcg"))
    assert predicted["vms"][0]["actions"] == run()["vms"][0]["actions"] != []


def test_a_host_without_the_microvm_is_expected_to_have_kvm(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, UNTESTED)
    predicted = run(check=True)
    answer(monkeypatch, Accelerator("kvm"))
    assert predicted["vms"][0]["actions"] == run()["vms"][0]["actions"]
    assert predicted["warnings"] != []


def test_a_guest_of_another_architecture_is_translated_without_a_test(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "accelerator", None)
    assert run(check=True, guest_system=FOREIGN, cpu="max")["warnings"] == []
