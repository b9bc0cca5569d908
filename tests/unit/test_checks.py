# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stages of `make test`: all are run, and those that are lanes run at the same time."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))

from checking import runner
from checking.runner import Stage, Step, run_lanes
from checking.stages import ORDER, STAGES


def stage(name: str, *scripts: str) -> tuple[str, Stage]:
    def steps(_stack: ExitStack) -> list[Step]:
        return [Step(f"step {index}", ("sh", "-c", script)) for index, script in enumerate(scripts)]

    return name, steps


def test_every_stage_is_run_once() -> None:
    assert sorted(name for lanes in ORDER for lane in lanes for name in lane) == sorted(STAGES)


def test_lanes_run_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each lane waits for the other: one after the other, neither would end.
    monkeypatch.setattr(runner, "ROOT", tmp_path)
    monkeypatch.setattr(runner, "LOGS", tmp_path)
    there, back = tmp_path / "there", tmp_path / "back"
    for pipe in (there, back):
        os.mkfifo(pipe)
    lanes = [
        [stage("first", f"echo > {there}; read line < {back}"), stage("second", "false")],
        [stage("beside", f"read line < {there}; echo > {back}")],
    ]
    seen = [(result.stage, result.status) for result in run_lanes(lanes)]
    assert seen == [("first", "passed"), ("second", "failed"), ("beside", "passed")]
