# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of parsing what systemctl prints."""

from __future__ import annotations

from typing import List, Optional, Sequence

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import restarts, systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit, parse_show

OUTPUT = """\
Id=microvm@web.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
Result=success

Id=microvm@gone.service
LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=
Result=success
"""


def test_units_are_parsed_block_by_block() -> None:
    units = parse_show(OUTPUT)
    assert units == {
        "microvm@web.service": Unit("loaded", "active", "running", "enabled", "success"),
        "microvm@gone.service": Unit("not-found", "inactive", "dead", "", "success"),
    }
    assert units["microvm@web.service"].running
    assert units["microvm@web.service"].enabled
    assert not units["microvm@gone.service"].running


def test_units_on_their_way_count_as_running() -> None:
    assert Unit(active_state="activating").running
    assert not Unit(active_state="failed").running


def test_a_start_takes_as_long_as_its_unit_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `use_notify_sockets`, a start lasts until the guest is up, for `startup_timeout` seconds at most."""
    limits: List[Optional[float]] = []

    def record(_argv: Sequence[str], timeout: Optional[float] = 300, **_more: object) -> str:
        limits.append(timeout)
        return ""

    monkeypatch.setattr(systemd, "run", record)
    monkeypatch.setattr(systemd, "ask", lambda _argv: "")
    monkeypatch.setattr(restarts, "forget", lambda _names: None)
    systemd.start("microvm@web.service")
    systemd.restart("microvm@web.service")
    assert limits == [None, None]


def test_units_that_systemd_does_not_know_are_not_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"a.service": "loaded", "new@a.service": "not-found", "b.service": "loaded"}
    commands: list[list[str]] = []
    monkeypatch.setattr(systemd, "show", lambda names: {name: systemd.Unit(states[name]) for name in names})
    monkeypatch.setattr(systemd, "ask", lambda argv, **_options: commands.append(argv))
    systemd.stop([*states])
    systemd.stop(["new@a.service", "new@a.service"])
    assert commands[0] == ["systemctl", "stop", "--", "a.service", "b.service"]
    assert [command for command in commands if "new@a.service" in command] == []


def test_units_that_run_without_their_files_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    units = {"a.service": Unit("not-found", "active"), "b.service": Unit("not-found", "failed"), "c.service": Unit()}
    commands: list[list[str]] = []
    monkeypatch.setattr(systemd, "show", lambda names: {name: units[name] for name in names})
    monkeypatch.setattr(systemd, "ask", lambda argv, **_options: commands.append(argv))
    systemd.stop([*units])
    assert commands[0] == ["systemctl", "stop", "--", "a.service"]
