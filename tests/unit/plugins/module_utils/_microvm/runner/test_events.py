# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the file with the reason of QEMU's exit, and of how long a guest is asked to shut down. A few lines of bash
stand for QEMU; they read and write its monitor as it does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render

from ..examples import SMALL, parse

# A fake. As QEMU, it opens both ends of each FIFO.
QEMU = r"""#!/usr/bin/env bash
exec {input}<> microvm.events.in {output}<> microvm.events.out
read -r greeting <&"$input"
[ "$greeting" = '{"execute":"qmp_capabilities"}' ] || exit 9
echo '{"QMP": {"version": {"qemu": {"major": 10}}, "capabilities": []}}' >&"$output"
echo '{"timestamp": {"seconds": 1}, "event": "RTC_CHANGE", "data": {"reason": "guest-none"}}' >&"$output"
[ -z "$REASON" ] || echo '{"event": "SHUTDOWN", "data": {"guest": true, "reason": "'"$REASON"'"}}' >&"$output"
exit "$STATUS"
"""


def script(name: str) -> str:
    return render(parse({**SMALL, "socket": "s.sock"})[0], HostFacts()).files[f"bin/{name}"].content.decode()


def run(directory: Path, reason: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """microvm-run to its end, and to the end of what it has begun, which holds the pipe open."""
    (directory / "bin").mkdir(exist_ok=True)
    (directory / "bin/qemu-system-x86_64").write_text(QEMU)
    (directory / "bin/qemu-system-x86_64").chmod(0o755)
    environment = {"PATH": f"{directory}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "REASON": reason, "STATUS": str(status)}
    command = ["bash", "-c", script("microvm-run")]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("reason", ["guest-reset", "guest-shutdown", "host-signal"])
def test_the_reason_is_written_down(reason: str, tmp_path: Path) -> None:
    assert run(tmp_path, reason).returncode == 0
    assert (tmp_path / "microvm.ended").read_text() == f"{reason}\n"


def test_leftovers_of_an_earlier_start_are_ignored(tmp_path: Path) -> None:
    run(tmp_path, "guest-reset")
    assert run(tmp_path, "", status=1).returncode == 1
    assert (tmp_path / "microvm.ended").read_text() == ""


def test_a_hypervisor_that_never_came_leaves_no_process(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    environment = {"PATH": "/usr/bin:/bin"}
    text = script("microvm-run").replace("qemu-system-x86_64", "/nonexistent/qemu")
    # Waits for whatever has its standard error.
    done = subprocess.run(
        ["bash", "-c", text], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 127


def test_the_stop_timeout_is_that_of_the_host(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        (tmp_path / "microvm.pid").write_text(f"{process.pid} \n")
        environment = {"PATH": "/usr/bin:/bin", "STOP_TIMEOUT": "1"}
        command = ["bash", "-c", script("microvm-shutdown")]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        process.kill()
    assert done.returncode == 1 and "within 1 seconds" in done.stderr
