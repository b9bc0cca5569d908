# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The benchmarks' commands: what fails says why."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

COMMANDS = runpy.run_path(str(Path(__file__).resolve().parents[2] / "bench" / "commands.py"))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("""print('{"failed": true, "msg": "vms[0].mem: too much"}')""", "vms[0].mem: too much"),
        ("import sys; print('a warning'); sys.stderr.write('no route to host')", "a warning\nno route to host"),
    ],
    ids=["a module", "any other command"],
)
def test_a_failed_command_shows_its_message(script: str, reason: str) -> None:
    with pytest.raises(COMMANDS["Failure"]) as failure:
        COMMANDS["output"]([sys.executable, "-c", f"{script}; raise SystemExit(1)"])
    assert str(failure.value).endswith(f"failed with status 1:\n{reason}")


def test_a_command_gets_its_input() -> None:
    assert COMMANDS["output"](["cat"], "text") == "text"
