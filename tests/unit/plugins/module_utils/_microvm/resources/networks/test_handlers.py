# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Handlers of networks: what they write, and the mark that a killed run leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.executor import execute
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks import handlers
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.plan import Action, Plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.steps import Step


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Commands that handlers run; the mark lies in ``tmp_path``."""
    log: list[str] = []
    monkeypatch.setattr(handlers, "run", lambda argv: log.append(" ".join(argv)))
    monkeypatch.setattr(handlers, "MARK", str(tmp_path / "state" / "mark"))
    monkeypatch.setattr(handlers, "CONFIGURATION_DIRECTORY", str(tmp_path / "configuration"))
    return log


def carry_out(*steps: Step[Action], files: dict[str, str] | None = None) -> str | None:
    """Execute steps; returns the error."""
    job = handlers.NetworksJob(Plan(steps, files or {}, {}))
    return execute([job], handlers.HANDLERS)[job.name].error


def test_a_file_is_written_after_the_mark(commands: list[str], tmp_path: Path) -> None:
    path = tmp_path / "configuration" / "rules"
    assert carry_out(Step(Action.WRITE, str(path)), files={str(path): "table\n"}) is None
    assert path.read_text() == "table\n"
    assert (tmp_path / "state" / "mark").exists()
    assert commands == []


def test_a_directory_goes_with_its_last_file(commands: list[str], tmp_path: Path) -> None:
    directory = tmp_path / "configuration"
    directory.mkdir()
    for name in ("rules", "record"):
        (directory / name).write_text("")
    assert carry_out(Step(Action.REMOVE, str(directory / "rules"))) is None
    assert directory.is_dir()
    assert carry_out(Step(Action.REMOVE, str(directory / "record"))) is None
    assert not directory.exists()
    assert commands == []


def test_a_step_without_files_leaves_no_mark(commands: list[str], tmp_path: Path) -> None:
    assert carry_out(Step(Action.DELETE_BRIDGE, "microvm0"), Step(Action.RECONFIGURE, "other")) is None
    assert commands == ["ip link delete dev microvm0", "networkctl reconfigure other"]
    assert not (tmp_path / "state").exists()
