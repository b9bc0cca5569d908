# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the host's settings for a MicroVM's units."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.settings import (
    drop_ins,
    environment,
    host_unit_settings,
    with_memory_of,
)

from ...examples import SMALL, parse


def settings(**options: Any) -> list[str]:
    return host_unit_settings(parse({**SMALL, **options})[0]).splitlines()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"limits": {"memory_max": "2G"}}, "MemoryMax=2048M"),
        ({"limits": {"memory_max": 0}}, "MemoryMax=infinity"),
        ({"limits": {"cpu_quota": 150}}, "CPUQuota=150%"),
        ({"limits": {"io_weight": 10}}, "IOWeight=10"),
        ({"stop_timeout": 5}, "TimeoutStopSec=35"),
        ({"startup_timeout": 7}, "TimeoutStartSec=7"),
    ],
)
def test_limits_become_settings_of_the_unit(options: dict[str, Any], expected: str) -> None:
    assert expected in settings(**options)


def test_reactions_to_an_exit_are_passed_to_the_unit() -> None:
    text = environment(parse({**SMALL, "on_reboot": "stop", "autostart_order": 7})[0])
    assert {"ON_REBOOT=stop", "ON_POWEROFF=stop", "ON_CRASH=restart", "BOOT_ORDER=7"} <= set(text.splitlines())


def test_the_host_s_settings_come_after_the_package_s() -> None:
    assert drop_ins({"microvm@.service": "[Service]\nUser=x\n"}, "TasksMax=1\n") == {
        "microvm@.service": "[Service]\nUser=x\nTasksMax=1\n"
    }


@pytest.mark.parametrize(
    ("running", "waiting", "added"),
    [
        ("900M", "500M", "[Service]\nMemoryMax=900M\n"),
        ("500M", "900M", ""),
        ("infinity", "9M", "[Service]\nMemoryMax=infinity\n"),
    ],
)
def test_a_pending_package_does_not_reduce_the_memory_of_the_running_one(
    running: str, waiting: str, added: str
) -> None:
    main = "microvm@.service"
    texts = {main: f"[Service]\nMemoryMax={waiting}\n"}
    before = {main: f"[Service]\nMemoryMax=1M\nMemoryMax={running}\n"}
    assert with_memory_of(texts, before) == {main: texts[main] + added}
