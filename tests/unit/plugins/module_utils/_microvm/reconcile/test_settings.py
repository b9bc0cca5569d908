# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the host tells the units of a MicroVM."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.reconcile.settings import (
    drop_ins,
    environment,
    unit_settings,
)

from ..examples import SMALL, parse


def settings(accel: str = "kvm", **options: Any) -> list[str]:
    return unit_settings(parse({**SMALL, **options})[0], accel).splitlines()


@pytest.mark.parametrize(
    ("accel", "options", "expected"),
    [
        ("kvm", {"mem": 800}, "MemoryMax=1412M"),
        ("tcg", {"mem": 800}, "MemoryMax=2436M"),
        ("kvm", {"limits": {"memory_max": "2G"}}, "MemoryMax=2048M"),
        ("kvm", {"limits": {"memory_max": 0}}, "MemoryMax=infinity"),
        ("kvm", {"limits": {"cpu_quota": 150}}, "CPUQuota=150%"),
        ("kvm", {"limits": {"io_weight": 10}}, "IOWeight=10"),
        ("kvm", {"stop_timeout": 5}, "TimeoutStopSec=35"),
        ("kvm", {"startup_timeout": 7}, "TimeoutStartSec=7"),
    ],
)
def test_settings(accel: str, options: dict[str, Any], expected: str) -> None:
    assert expected in settings(accel, **options)


def test_a_unit_waits_for_its_guest_only_where_that_is_asked_for() -> None:
    vm: dict[str, Any] = {"hypervisor": "cloud-hypervisor", "vsock": {"cid": 5}}
    assert not [line for line in settings(**vm) if line.startswith("Type=")]
    assert {"Type=notify", "NotifyAccess=all"} <= set(settings(**vm, use_notify_sockets=True))


def test_what_follows_an_end() -> None:
    text = environment(parse({**SMALL, "on_reboot": "stop", "autostart_order": 7})[0])
    assert {"ON_REBOOT=stop", "ON_POWEROFF=stop", "ON_CRASH=restart", "BOOT_ORDER=7"} <= set(text.splitlines())
    firecracker = environment(parse({**SMALL, "hypervisor": "firecracker"})[0])
    assert "CLEAN_END=reboot" in firecracker.splitlines()


def test_the_host_s_settings_come_after_the_package_s() -> None:
    assert drop_ins({"microvm@.service": "[Service]\nUser=x\n"}, "TasksMax=1\n") == {
        "microvm@.service": "[Service]\nUser=x\nTasksMax=1\n"
    }
