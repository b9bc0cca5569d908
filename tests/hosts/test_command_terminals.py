# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Terminals on guests by the command: attached to a console, and a MicroVM in the foreground. The guests are fakes."""

from __future__ import annotations

import os
import pty
import select
import signal
import time

import pytest

from .host import Host
from .packages import echoing
from .paths import STATE, STORE, UNITS


def test_lines_of_a_script_are_answered(host: Host, web: str) -> None:
    # The answer comes after the end of the input.
    assert "guest one heard hello" in host.run(f"echo hello | microvm console --linger 2 {web}")


@pytest.mark.parametrize("ending", [pytest.param(b"\x1d", id="by its key"), pytest.param(None, id="by a signal")])
def test_a_terminal_that_was_attached_is_as_before(host: Host, web: str, ending: bytes | None) -> None:
    answer, status = _attach(host, web, ending)
    assert b"guest one heard typed" in answer
    assert b"-echo " not in answer.rpartition(b"detached")[2] and status == b"STATUS 0"
    assert host.info(web)["state"] == "active"


def _attach(host: Host, name: str, ending: bytes | None) -> tuple[bytes, bytes]:
    line = f"microvm console {name}; echo STATUS $?; stty -a | tr '\\n' ' '"
    program, *words = host.terminal(line)
    child, master = pty.fork()
    if child == 0:
        os.execvp(program, [program, *words])
    output = _read_until(master, b"guest one is up")
    os.write(master, b"typed\r\n")
    output += _read_until(master, b"heard typed")
    if ending is None:
        host.run("pkill -TERM -f '^python3 /usr/local/bin/microvm console'")
    else:
        os.write(master, ending)
    output += _read_until(master, b"speed")
    os.kill(child, signal.SIGHUP)
    os.waitpid(child, 0)
    os.close(master)
    return output, next(line.strip() for line in output.splitlines() if line.startswith(b"STATUS"))


def _read_until(master: int, words: bytes) -> bytes:
    output, end = b"", time.monotonic() + 90
    while words not in output and time.monotonic() < end:
        if select.select([master], [], [], 0.2)[0]:
            output += os.read(master, 4096)
    assert words in output, output
    return output


@pytest.fixture
def front(host: Host) -> str:
    """MicroVM that does not run."""
    host.send("/root/one", echoing("one"))
    host.microvm("create front --package /root/one")
    return "front"


def test_a_microvm_runs_in_the_foreground_until_its_guest_powers_off(host: Host, front: str) -> None:
    link = f"{STATE}/{front}/booted"
    guest = f"until [ -L {link} ]; do sleep 0.1; done; readlink {link} >&2; echo poweroff"
    output = host.run(f"({guest}) | microvm -r {front}")
    assert "guest one is up" in output and f"{STORE}/" in output
    # A helper unit takes it away after the MicroVM has ended.
    host.wait_for("end of the link", lambda: host.run(f"ls {link} 2> /dev/null || true"), lambda seen: seen == "")


def test_a_microvm_that_runs_is_not_run_in_the_foreground_too(host: Host, front: str) -> None:
    host.microvm(f"start {front}")
    assert "is already running" in host.microvm(f"run {front}", 1)


SANDBOX = (
    "CapabilityBoundingSet,DeviceAllow,DevicePolicy,LimitNOFILE,MemoryMax,NoNewPrivileges,PrivateTmp,ProtectSystem,"
    "ReadOnlyPaths,ReadWritePaths,RestrictSUIDSGID,User,WorkingDirectory"
)
SETTINGS_OF_AN_OPERATOR = """\
[Service]
MemoryMax=300M
DeviceAllow=
DeviceAllow=/dev/null rw
ReadOnlyPaths=-/srv/%i-100%%
"""


def test_the_foreground_has_the_sandbox_the_limits_and_the_devices_of_the_service(host: Host, front: str) -> None:
    directory = f"{UNITS}/microvm@{front}.service.d"
    host.send(directory, {"90-operator.conf": SETTINGS_OF_AN_OPERATOR})
    host.run("systemctl daemon-reload")
    show = f"systemctl show --property={SANDBOX}"
    look = f"until [ -L {STATE}/{front}/booted ]; do sleep 0.1; done; {show} microvm-run-{front} > /root/shown"
    host.run(f"({look}; echo poweroff) | microvm run {front}")
    foreground, service = host.run("cat /root/shown"), host.run(f"{show} microvm@{front}")
    assert foreground == service
    assert "MemoryMax=314572800" in service and f"/srv/{front}-100%" in service
    host.run(f"rm -r {directory} /root/shown; systemctl daemon-reload")
