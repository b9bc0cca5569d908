# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Consoles of running MicroVMs: of a real guest under QEMU, and of a fake one that floods its console."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .host import Host
from .packages import fake, tiny
from .paths import CONSOLES, SETTINGS

PROMPT = "login: "
UNIT = "microvm@tiny"


def wait_for_output(host: Host, end: str) -> None:
    """Wait until the console's log ends with these characters."""
    log = f"tail -c 300 {CONSOLES}/tiny/console.log 2>/dev/null || true"
    host.wait_for(f"{end!r} on the console", lambda: host.run(log), lambda seen: seen.endswith(end))


def type_keys(host: Host, keys: str) -> None:
    """Send keys to the console."""
    host.run(f"printf '{keys}' > {CONSOLES}/tiny/console.in")


@pytest.fixture
def guest(host: Host, tmp_path: Path) -> None:
    """Guest of QEMU that has printed its prompt."""
    host.install_packages({"tiny": tiny(tmp_path)})
    host.run(f"systemctl start {UNIT}")
    wait_for_output(host, PROMPT)


@pytest.mark.usefixtures("guest")
def test_a_prompt_shows_at_once_and_keys_are_answered(host: Host) -> None:
    type_keys(host, "hi\\n")
    wait_for_output(host, "login: hi\nlogin: ")


@pytest.mark.usefixtures("guest")
def test_a_reboot_a_stop_and_a_poweroff_of_a_guest_are_told_apart(host: Host) -> None:
    before = host.invocation(UNIT)
    type_keys(host, "r")
    host.wait_for("another start", lambda: host.invocation(UNIT), lambda seen: seen not in ("", before))
    wait_for_output(host, PROMPT)
    assert "MicroVM tiny has rebooted and is started again" in host.journal("tiny")
    host.run(f"systemctl stop {UNIT}")
    assert re.fullmatch(r"MicroVM tiny: stopped by the guest after [0-9]+ s", host.journal("tiny")[-1])
    host.run(f"systemctl start {UNIT}")
    wait_for_output(host, PROMPT)
    type_keys(host, "p")
    host.wait_for_states({UNIT: "inactive"})
    assert host.journal("tiny")[-1] == "MicroVM tiny has powered off and stays down"


@pytest.mark.usefixtures("guest")
def test_a_flood_on_a_console_is_bounded_in_the_log_and_in_the_journal(host: Host) -> None:
    host.install_packages({"flood": fake("exec yes '<0>all work and no play makes a dull guest'")})
    host.run("journalctl --rotate -q; systemctl start microvm@flood")
    type_keys(host, "f")
    logs = f"{CONSOLES}/flood/console.log* {CONSOLES}/tiny/console.log*"
    host.wait_for(
        "log that is moved away",
        lambda: host.run(f"ls {logs} 2> /dev/null || true").split(),
        lambda seen: len(seen) >= 3,
    )
    host.wait_for("flood", lambda: len(host.messages("-t microvm@flood")), lambda seen: seen > 900)
    host.run("sleep 3")
    # A log that is being moved away may be missing for a moment.
    sizes = host.run(f"stat --format %s {logs} 2> /dev/null || true").split()
    assert len(sizes) >= 3 and all(int(size) <= 512 * 1024 for size in sizes)
    lines = len(host.messages("-t microvm@flood"))
    # journald lets pass more than the burst where the disk has much room.
    assert 900 < lines <= 6 * 1000
    assert host.journal("flood") == []
    # The guest no longer reads its console; the host's own messages are not lost in the flood.
    host.send(SETTINGS, {"tiny.env": "STOP_TIMEOUT=1\n"})
    host.run(f"systemctl stop microvm@flood {UNIT}")
    # QEMU's own word on it may come after.
    assert any(line.startswith("MicroVM tiny: stopped by SIGTERM after ") for line in host.journal("tiny")[-2:])
