# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hypervisors and guests that answer without end, slowly, or with nonsense, while root waits for them."""

from __future__ import annotations

import json
import shlex
import time

import pytest

from ..host import Host
from ..paths import CONSOLES, RECORDS

SECONDS = 2
"""Time limit of the wait (``ready.timeout``)."""
MOST_SECONDS = 50
"""Limit of the whole command, on a busy machine too. The shortest of the answers would take more than a minute."""
MOST_MEMORY = 100 << 10
"""Limit of the command's memory, in KiB."""

HYPERVISOR = r"""#!/usr/bin/env python3
import os, socket, threading, time

ANSWERS = {
    "flood": lambda: b"x" * 65536,
    "events": lambda: b'{"event": "RESUME"}\n' * 4096,
    "objects": lambda: b"{}\n" * 4096,
    "drip": lambda: time.sleep(0.3) or b" ",
    "lines": lambda: time.sleep(0.3) or b"{}\n",
    "silence": lambda: time.sleep(60) or b"",
    "nested": lambda: b"[" * 60000 + b"\n",
    "number": lambda: b"9" * 60000 + b"\n",
    "binary": lambda: bytes(range(256)) * 16 + b"\n",
    "escapes": lambda: b"\x1b]0;owned\x07\x1b[2J\xc2\x9b\n",
    "status": lambda: b'{"return": {"status": "\\u001b[2J\\ud800"}}\n',
}
with open("/srv/mode") as file:
    answer = ANSWERS[file.read().strip()]


def serve(server):
    while True:
        connection = server.accept()[0]
        threading.Thread(target=talk, args=(connection,), daemon=True).start()


def talk(connection):
    try:
        while True:
            connection.sendall(answer())
    except OSError:
        connection.close()


control = socket.socket(socket.AF_UNIX)
if os.path.exists("hostile.sock"):
    os.unlink("hostile.sock")
control.bind("hostile.sock")
control.listen(64)
port = socket.create_server(("127.0.0.1", 2222))
threading.Thread(target=serve, args=(control,), daemon=True).start()
print("\x1b]0;owned\x07\x1b[2J guest on its console", flush=True)
serve(port)
"""

MODES = ("flood", "events", "objects", "drip", "lines", "silence", "nested", "number", "binary", "escapes", "status")

MEASURED = """\
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:]).returncode
print("KiB:", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""
"""Runs a program, and prints the memory that it took at most."""


@pytest.fixture
def hostile(host: Host) -> str:
    """MicroVM of a hypervisor that is hostile to whoever asks it."""
    declaration = {"name": "hostile", "isolation": "shared", "interfaces": [], "socket": "hostile.sock"}
    package = {"bin/microvm-run": HYPERVISOR, "share/microvm/declaration.json": json.dumps(declaration)}
    host.send("/root/hostile", package)
    host.send("/root", {"measured": MEASURED})
    host.microvm("create hostile --package /root/hostile")
    return "hostile"


@pytest.mark.parametrize("check", ["hypervisor", "ssh"])
def test_a_wait_ends_in_time_with_little_memory_and_a_plain_message(host: Host, hostile: str, check: str) -> None:
    record = json.loads(host.run(f"cat {RECORDS}/{hostile}.json"))
    record["ready"] = {"check": check, "address": "127.0.0.1", "port": 2222, "timeout": SECONDS}
    host.send(RECORDS, {f"{hostile}.json": json.dumps(record)})
    for mode in MODES:
        host.send("/srv", {"mode": mode})
        begin = time.monotonic()
        output = host.run(f"python3 /root/measured microvm start {hostile}", 1)
        seconds = time.monotonic() - begin
        memory = int(output.rpartition("KiB: ")[2])
        assert seconds < MOST_SECONDS, (mode, seconds)
        assert memory < MOST_MEMORY, (mode, memory)
        assert f"not up after {SECONDS} s" in output and "Traceback" not in output, (mode, output)
        assert output.replace("\n", "").isprintable(), (mode, output)
        # Nothing holds the MicroVM's lock any more.
        host.microvm(f"stop {hostile}", timeout=60)
    print(f"{check}: {len(MODES)} tries")


def test_a_console_on_a_terminal_passes_no_commands_for_it(host: Host, hostile: str) -> None:
    host.send("/srv", {"mode": "silence"})
    host.run(f"systemctl start microvm@{hostile}")
    log = f"{CONSOLES}/{hostile}/console.log"
    host.wait_for("the console", lambda: host.run(f"cat {log} || true"), lambda seen: "guest on its console" in seen)
    attach = f"(sleep 2; printf '\\035') | script -qec 'microvm console {hostile}' /dev/null"
    output = host.run(f"timeout 30 bash -c {shlex.quote(attach)}", timeout=60)
    assert "guest on its console" in output and "owned" not in output
