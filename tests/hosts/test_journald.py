# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""MicroVMs of a host whose journal does not run: they need it neither to start nor to run nor to stop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .host import Host
from .packages import echoing
from .paths import CONSOLES

JOURNAL = (
    "systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald.service"
)
WAYS = {
    "stopped": f"systemctl stop {JOURNAL}",
    "masked": f"systemctl mask --quiet --runtime {JOURNAL}; systemctl stop {JOURNAL}",
    # Its sockets take connections that nobody reads from.
    "killed": "systemctl mask -q --runtime systemd-journald.service; systemctl kill --signal=KILL systemd-journald",
}


@pytest.fixture(params=list(WAYS))
def way(host: Host, request: pytest.FixtureRequest) -> Iterator[str]:
    """Command that ends the journal, which runs again after the test."""
    yield WAYS[request.param]
    host.run(f"systemctl unmask --quiet --runtime {JOURNAL}; systemctl reset-failed {JOURNAL} 2>/dev/null || true")
    host.run(f"systemctl start {JOURNAL}")


def console_after(host: Host, name: str, line: str) -> str:
    """Return the console's log after the guest has heard a line."""
    host.run(f"echo {line} > {CONSOLES}/{name}/console.in")
    log = f"cat {CONSOLES}/{name}/console.log"
    return host.wait_for("answer", lambda: host.run(log), lambda seen: seen.endswith(f" heard {line}\n"))


def test_microvms_start_run_and_stop_without_the_journal(host: Host, web: str, way: str) -> None:
    console_after(host, web, "before")
    host.send("/root/late", echoing("late"))
    host.microvm("create late --package /root/late")
    host.run(f"{way} 2>/dev/null || true")
    assert console_after(host, web, "hello").startswith("guest one is up\n")
    host.run("systemctl start microvm@late", timeout=60)
    assert console_after(host, "late", "hello") == "guest late is up\nguest late heard hello\n"
    host.run(f"systemctl stop microvm@late microvm@{web}", timeout=60)
    host.wait_for_states({"microvm@late": "inactive", f"microvm@{web}": "inactive"})
