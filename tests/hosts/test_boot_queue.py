# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts of the host: MicroVMs go through the boot queue. The hypervisors are fakes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from .host import Files, Host, active
from .packages import STAY, fake
from .paths import CONFIGURATION, RUNTIME, SETTINGS, UNITS

HELPER = "microvm-boot-queue"
"""Unit in which a MicroVM waits."""
LEAVES = "leaving the boot queue"
QUEUE = f"{RUNTIME}/boot/queue"
ORDERS = {"boot-a": "90", "boot-b": "050", "boot-c": "50", "boot-d": "10", "boot-e": "9", "boot-f": ""}


@pytest.fixture(autouse=True)
def _boot_settings(host: Host) -> Iterator[None]:
    """Set the boot queue to two MicroVMs at once, each for three seconds."""
    file = f"{CONFIGURATION}/boot.env"
    host.run(f"cp -p {file} /root/boot.env")
    host.send(CONFIGURATION, {"boot.env": "BOOT_PARALLEL=2\nBOOT_SETTLE=3\n"})
    yield
    host.run(f"mv /root/boot.env {file}")


def enable(host: Host, orders: Mapping[str, str]) -> None:
    """Install MicroVMs that start with the host, each with its order or the default order."""
    settings = {name: f"BOOT_ORDER={order}\n" for name, order in orders.items() if order}
    host.install_packages({name: fake(STAY) for name in orders}, settings)
    host.run("systemctl enable -q " + " ".join(f"microvm@{name}" for name in orders))


def starts(host: Host) -> list[tuple[float, str]]:
    """Return when each MicroVM left the boot queue at this start of the host."""
    lines = host.run(f"journalctl -b -q --no-pager -o short-monotonic -g '{LEAVES}' || true").splitlines()
    return [(float(re.findall(r"[0-9.]+", line)[0]), re.findall(r"MicroVM (\S+)", line)[0]) for line in lines]


def test_microvms_start_in_order_and_a_bounded_number_at_once(host: Host) -> None:
    """Start MicroVMs by their order and then by name."""
    host.send(CONFIGURATION, {"boot.env": "BOOT_PARALLEL=2\nBOOT_SETTLE=6\n"})
    enable(host, ORDERS)
    host.reboot()
    host.wait_for_states(active([f"microvm@{name}" for name in ORDERS]))
    left = starts(host)
    assert [name for _time, name in left] == ["boot-e", "boot-d", "boot-b", "boot-c", "boot-f", "boot-a"]
    # Whole seconds are counted.
    assert all(later[0] - earlier[0] >= 5 for earlier, later in zip(left, left[2:], strict=False))
    assert left[1][0] - left[0][0] < 5


@dataclass(frozen=True)
class Order:
    """Moment at which a MicroVM loses its start, and the shell's lines that force it."""

    stop: str
    files: Files = field(default_factory=dict)


IN_THE_QUEUE = f"until ls {QUEUE}/*-boot-z 2>/dev/null; do sleep 0.1; done; "
HOLD = """\
[Service]
Type=oneshot
ExecStart=sh -c 'until [ -e /run/released ]; do sleep 0.1; done'
"""
ORDERS_OF_STOP = {
    "a stop before its way to the queue has begun": Order(
        "until [ $(systemctl show -P ActiveState hold) = activating ]; do sleep 0.1; done;"
        f"systemctl stop microvm@boot-z; touch /run/released; rm {UNITS}/hold.service",
        {
            "hold.service": HOLD,
            f"{HELPER}@boot-z.service.d/hold.conf": "[Unit]\nWants=hold.service\nAfter=hold.service\n",
        },
    ),
    "a stop in the queue, seen by SIGTERM": Order(IN_THE_QUEUE + "systemctl stop microvm@boot-z"),
    "a cancelled job, seen by the queue": Order(
        IN_THE_QUEUE + "systemctl cancel $(systemctl show -P Job microvm@boot-z.service)"
    ),
}


@pytest.mark.parametrize("order", [pytest.param(order, id=name) for name, order in ORDERS_OF_STOP.items()])
def test_a_microvm_that_is_stopped_while_the_host_starts_leaves_no_trace_in_the_queue(host: Host, order: Order) -> None:
    enable(host, {**ORDERS, "boot-z": "99"})
    host.send(UNITS, order.files)
    host.run("systemctl daemon-reload; systemctl reset-failed")
    host.reboot(meanwhile=order.stop)
    host.wait_for_states(active([f"microvm@{name}" for name in ORDERS]) | {"microvm@boot-z": "inactive"})
    assert "boot-z" not in [name for _time, name in starts(host)]
    assert host.run(f"ls -A {QUEUE}") == ""
    assert host.run("systemctl list-units --failed --plain --no-legend 'microvm*'") == ""
    assert host.run("systemctl is-system-running || true") == "running\n"
    # After a cancelled job, systemd does not look for helpers that nothing needs any more, but after a stop it does.
    host.run("systemctl stop microvm@boot-z")


def test_a_stop_before_the_script_of_the_queue_has_set_its_trap_is_no_failure(host: Host) -> None:
    enable(host, {"boot-a": "90"})
    host.send("/root", {"die": "kill -TERM $$\n"})
    host.send(SETTINGS, {"boot-a.env": "BASH_ENV=/root/die\n"})
    host.run(f"systemctl start {HELPER}@boot-a")
    shown = host.run(f"systemctl show -p ActiveState -p Result -p ExecMainStatus {HELPER}@boot-a")
    assert shown.split() == ["Result=success", "ExecMainStatus=15", "ActiveState=inactive"]


def test_a_microvm_that_is_started_later_does_not_wait(host: Host) -> None:
    enable(host, {"later": "90"})
    for verb in ("start", "restart"):
        host.run(f"systemctl {verb} microvm@later", timeout=60)
        host.run(f"! ls {QUEUE}/* 2>/dev/null")
    assert "later" not in [name for _time, name in starts(host)]
