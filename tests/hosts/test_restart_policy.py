# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that a MicroVM that has ended stays down or is started again, by its settings. The hypervisors are fakes."""

from __future__ import annotations

import pytest

from .host import Files, Host
from .packages import fake
from .paths import SETTINGS, STATE

ONCE = "echo x >> runs"
FIRST = ONCE + '\nif [ "$(wc -l < runs)" -gt 1 ]; then exec sleep infinity; fi'
"""Lines after these are run at the first start only."""

STATUSES = "END_STATUSES=5:poweroff,32:reboot,34:panic\n"
"""Meanings of exit statuses as a package brings them along."""

POLICIES = {
    "off": (fake(ONCE, "exit 0"), "", "inactive"),
    "off-again": (fake(FIRST, "exit 0"), "ON_POWEROFF=restart\n", "active"),
    "reset": (fake(FIRST, "exit 0"), "CLEAN_END=reboot\n", "active"),
    "reset-once": (fake(ONCE, "exit 0"), "CLEAN_END=reboot\nON_REBOOT=stop\n", "inactive"),
    "status": (fake(FIRST, "exit 32"), STATUSES, "active"),
    "status-once": (fake(ONCE, "exit 32"), f"{STATUSES}ON_REBOOT=stop\n", "inactive"),
    "status-off": (fake(ONCE, "exit 5"), f"{STATUSES}ON_CRASH=restart\n", "inactive"),
    "panic": (fake(ONCE, "exit 34"), f"{STATUSES}ON_REBOOT=stop\nON_CRASH=stop\n", "failed"),
    "crash": (fake(FIRST, "exit 3"), "", "active"),
    "crash-once": (fake(ONCE, "exit 3"), "ON_CRASH=stop\n", "failed"),
    "abort": (fake(FIRST, "kill -ABRT $$"), "", "active"),
}
"""Package, settings, and the state in the end, by MicroVM."""


def runs(host: Host, *names: str) -> list[int]:
    """Return how often the hypervisor of each MicroVM has been started."""
    files = " ".join(f"{STATE}/{name}/work/runs" for name in names)
    return [int(word) for word in host.run(f"for file in {files}; do grep -sc x $file || true; done").split()]


def test_poweroff_reboot_and_crash_follow_the_settings(host: Host) -> None:
    packages = {name: package for name, (package, _settings, _state) in POLICIES.items()}
    host.install_packages(packages, {name: settings for name, (_package, settings, _state) in POLICIES.items()})
    host.run("systemctl start --no-block " + " ".join(f"microvm@{name}" for name in packages))
    states = {f"microvm@{name}": state for name, (_package, _settings, state) in POLICIES.items()}
    # A unit that has not been started yet is inactive; a unit whose first run has not ended yet is active.
    starts = [2 if state == "active" else 1 for state in states.values()]
    host.wait_for(f"runs {starts}", lambda: runs(host, *packages), lambda seen: seen == starts)
    host.wait_for_states(states)
    assert host.journal("off") == ["MicroVM off has powered off and stays down"]
    assert "MicroVM reset has rebooted and is started again" in host.journal("reset")
    assert "MicroVM status has rebooted and is started again" in host.journal("status")
    assert host.journal("status-off") == ["MicroVM status-off has powered off and stays down"]
    assert "MicroVM panic has crashed (status 34: panic) and stays down" in host.journal("panic")
    assert "MicroVM crash-once has crashed (status 3) and stays down" in host.journal("crash-once")
    assert "MicroVM abort has crashed (status 134) and is started again" in host.journal("abort")
    # Helpers come and go with it, so the link tells what the next start has run.
    host.run(f"test -L {STATE}/crash/booted")
    assert runs(host, *packages) == starts


def test_changed_settings_are_in_force_while_the_microvm_runs(host: Host) -> None:
    package = fake(ONCE, "until [ -e end ]; do sleep 0.1; done; exit 0")
    host.install_packages({"changed": package}, {"changed": "CLEAN_END=reboot\nON_REBOOT=restart\n"})
    host.run("systemctl start microvm@changed")
    host.send(SETTINGS, {"changed.env": "CLEAN_END=reboot\nON_REBOOT=stop\n"})
    host.run(f"touch {STATE}/changed/work/end")
    host.wait_for_states({"microvm@changed": "inactive"})
    assert host.journal("changed") == ["MicroVM changed has rebooted and stays down"]
    assert runs(host, "changed") == [1]


def test_a_crash_loop_ends_as_failed(host: Host) -> None:
    host.install_packages({"loop": fake(ONCE, "exit 3")})
    host.run("systemctl start --no-block microvm@loop")
    host.wait_for_states({"microvm@loop": "failed", "microvm-set-booted@loop": "inactive"})
    assert runs(host, "loop") == [5]
    host.run(f"! test -L {STATE}/loop/booted")


@pytest.mark.parametrize(
    ("package", "moment"),
    [(fake(ONCE, "exec sleep infinity"), "running"), (fake(ONCE, "exit 3"), "auto-restart")],
    ids=["while it runs", "while it waits for its next start"],
)
def test_a_microvm_that_is_stopped_is_not_started_again(host: Host, package: Files, moment: str) -> None:
    host.install_packages({"stopped": package})
    host.run("systemctl start --no-block microvm@stopped")
    host.run(f"until [ $(systemctl show -P SubState microvm@stopped) = {moment} ]; do sleep 0.1; done", timeout=30)
    host.run("systemctl stop microvm@stopped")
    starts = runs(host, "stopped")
    # Longer than RestartSec=.
    host.run("sleep 3")
    assert host.states(["microvm@stopped"])["microvm@stopped"] in ("inactive", "failed")
    assert runs(host, "stopped") == starts
