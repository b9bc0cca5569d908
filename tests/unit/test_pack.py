# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command packed into one file: it needs nothing but Python, and the same sources give the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def pack(target: Path, zone: str = "UTC") -> Path:
    words = [sys.executable, str(ROOT / "tools" / "pack.py"), str(target)]
    subprocess.run(words, check=True, capture_output=True, env={**os.environ, "TZ": zone})
    return target


def ask(command: Path, text: str) -> str:
    # -I and -S: no path, no packages of this Python's but its own.
    process = [sys.executable, "-I", "-S", str(command), "render", "-", "--json", "--platform", "x86_64-linux"]
    return subprocess.run(process, input=text, check=True, capture_output=True, text=True).stdout


def test_the_packed_command_answers_as_the_checkout_s(tmp_path: Path) -> None:
    packed = pack(tmp_path / "microvm")
    assert packed.read_bytes() == pack(tmp_path / "again", "America/New_York").read_bytes()
    assert packed.stat().st_mode & 0o777 == 0o755
    yaml = ask(packed, "microvm_vms:\n  - name: a\n    kernel: /k\n    hypervisor: firecracker\n")
    declaration = {"name": "a", "kernel": "/k", "hypervisor": "firecracker"}
    assert yaml == ask(ROOT / "bin" / "microvm", json.dumps(declaration))
