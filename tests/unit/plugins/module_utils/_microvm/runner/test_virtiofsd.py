# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""``virtiofsd-run`` with real processes. The daemon is a mock, so that it ends when the test says so."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.hypervisors.facts import HostFacts
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.render import render

from ..examples import SMALL, parse

# Makes its socket, says that it has begun, and ends with the status that is asked of it.
DAEMON = r"""#!/usr/bin/env bash
for argument; do case $argument in --socket-path=*) socket=${argument#*=} ;; esac; done
python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$socket"
echo $$ > "$socket.pid"
echo "$@" >> begun
trap 'echo "$socket" >> ended; exit 0' TERM
while [ ! -e "$socket.end" ]; do sleep 0.05; done
status=$(cat "$socket.end")
rm "$socket.end"
exit "$status"
"""


@pytest.fixture(name="served")
def _served(tmp_path: Path) -> subprocess.Popen[bytes]:
    """The script of two shares, ready."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "virtiofsd").write_text(DAEMON)
    (tmp_path / "bin" / "virtiofsd").chmod(0o755)
    shares = [{"tag": tag, "source": f"/srv/{tag}", "proto": "virtiofs"} for tag in ("one", "it's $two")]
    declaration = parse({**SMALL, "shares": shares, "virtiofsd": {"package": str(tmp_path)}})[0]
    script = render(declaration, HostFacts()).files["bin/virtiofsd-run"].content.decode()
    process = subprocess.Popen(["bash", "-c", script], cwd=tmp_path)
    wait(lambda: begun(tmp_path) == 2)
    return process


def begun(directory: Path) -> int:
    file = directory / "begun"
    return len(file.read_text().splitlines()) if file.exists() else 0


def wait(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_each_share_has_a_daemon_which_ends_with_the_script(served: subprocess.Popen[bytes], tmp_path: Path) -> None:
    text = (tmp_path / "begun").read_text()
    assert (
        "shares/small/sources/1 --sandbox=chroot --modcaps=-mknod" in text
        and f"--thread-pool-size {os.cpu_count()}" in text
    )
    served.send_signal(signal.SIGTERM)
    assert served.wait(10) == 0
    assert len((tmp_path / "ended").read_text().splitlines()) == 2
    assert not list(tmp_path.glob("*.sock*")), "it leaves its files, so the script removes them"


def test_a_daemon_whose_hypervisor_has_gone_is_started_again(served: subprocess.Popen[bytes], tmp_path: Path) -> None:
    (tmp_path / "small-virtiofs-one.sock.end").write_text("0")
    wait(lambda: begun(tmp_path) == 3)
    assert served.poll() is None
    served.terminate()
    served.wait(10)


def test_a_daemon_that_fails_ends_all(served: subprocess.Popen[bytes], tmp_path: Path) -> None:
    (tmp_path / "small-virtiofs-one.sock.end").write_text("3")
    assert served.wait(10) == 1
    assert not list(tmp_path.glob("*.sock*"))
    assert "two" in (tmp_path / "ended").read_text()
