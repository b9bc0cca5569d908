# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kills of the command at its write-like system calls: nothing is lost, and the next run completes the change.

``MICROVM_FAULTS=1`` kills at every such call instead of a sample, which takes much longer.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from .host import Host

EVERY = int(os.environ.get("MICROVM_FAULTS", "20"))
PROGRAM = ("__init__.py", "paths.py", "kill_at_writes.py")


@pytest.mark.usefixtures("fake_qemu")
def test_a_kill_at_any_write_loses_nothing_and_the_next_run_completes_it(host: Host) -> None:
    host.run("apt-get -qy install --no-install-recommends strace")
    host.send("/root/hosts", {name: Path(__file__).with_name(name).read_text(encoding="utf-8") for name in PROGRAM})
    output = host.run(f"python3 -m hosts.kill_at_writes {EVERY} || true", timeout=3600)
    results = [json.loads(line) for line in output.splitlines()]
    for result in results:
        print(f"{result['scenario']}: {result['kills']} kills among {result['calls']} calls")
    assert [result["scenario"] for result in results] == [
        "install",
        "update",
        "remove",
        "remove with volumes",
        "rename",
    ]
    assert [problem for result in results for problem in result["lost"]] == []
    assert all(result["kills"] >= 3 for result in results)
