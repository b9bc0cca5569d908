# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of the benchmarks; a failure contains its reason."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TESTBED = str(ROOT / "tests/testbed/testbed")
SHOWN_LINES = 20
"""Number of lines of a failed command's output that are shown."""

ENVIRONMENT = {
    **os.environ,
    "PATH": f"{ROOT / '.venv/bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".tree"),
    "LC_ALL": "C.UTF-8",
}


class Failure(Exception):
    """Failure of a command or a module, with its own message."""


def output(argv: list[str], text: str | None = None, environment: Mapping[str, str] = ENVIRONMENT) -> str:
    """Run a command. Returns its standard output. Raises Failure with its last output, or a module's message."""
    done = subprocess.run(argv, capture_output=True, text=True, input=text, cwd=ROOT, env=environment, check=False)
    if done.returncode == 0:
        return done.stdout
    lines = (done.stdout + done.stderr).strip().splitlines()[-SHOWN_LINES:]
    reason = message(done.stdout) or "\n".join(lines)
    raise Failure(f"{' '.join(argv[:6])} failed with status {done.returncode}:\n{reason}")


def message(printed: str) -> str:
    """Return the message of a module's JSON result; empty where there is none."""
    try:
        result: dict[str, Any] = json.loads(printed)
    except ValueError:
        return ""
    return str(result.get("msg", ""))


def on_host(bed: str, command: str, text: str | None = None) -> str:
    """Run a shell command on the first host of a bed. Returns its standard output."""
    return output([TESTBED, "ssh", f"--name={bed}", "host1", command], text)
