# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shares end and come back with their MicroVM. virtiofsd is real, the hypervisor that connects to it is a fake."""

from __future__ import annotations

import re

import pytest

from .host import Files, Host, active
from .packages import STAY, fake
from .paths import STATE

UNIT, DAEMON = "microvm@shares", "microvm-virtiofsd@shares"
UNITS = (UNIT, DAEMON)
CONNECT = "socat -u UNIX-CONNECT:share.sock SYSTEM:'touch ready; exec cat'"
"""Lines of a hypervisor: it is ready when it is connected, and this ends with the connection."""


def package(*lines: str) -> Files:
    """Return a package that only lists its share, as early packages of microvm.nix did."""
    lists = {"socket": "share.sock\n", "source": f"{STATE}/shares/work/files\n"}
    return {**fake(*lines), **{f"share/microvm/virtiofs/out/{name}": text for name, text in lists.items()}}


IGNORANT = package(f"{CONNECT} &", STAY)
"""MicroVM whose hypervisor keeps running without its shares."""


def begin(host: Host, files: Files) -> None:
    """Start the MicroVM and the daemon of its share, and wait until the hypervisor is connected."""
    host.install_packages({"shares": files})
    host.run(f"systemctl start {UNIT}; until [ -e {STATE}/shares/work/ready ]; do sleep 0.1; done")
    assert host.states(UNITS) == active(UNITS)


def kill_daemon(host: Host) -> None:
    """Kill virtiofsd as the kernel does when it is out of memory."""
    host.run("pkill -KILL -x virtiofsd")


def test_virtiofsd_is_confined(host: Host) -> None:
    begin(host, IGNORANT)
    assert "S" in host.run(f"stat --dereference --format %A {STATE}/shares/work/share.sock").upper()
    exposure = host.run(f"systemd-analyze security --no-pager {DAEMON} | tail -n 1")
    assert float(re.findall(r"[0-9.]+(?= [A-Z])", exposure)[0]) <= 4.0


def test_a_microvm_that_lost_its_shares_is_started_again_but_not_for_ever(host: Host) -> None:
    begin(host, IGNORANT)
    seen = set()
    for kills in range(1, 5):
        seen.add(host.invocation(UNIT))
        assert len(seen) == kills
        kill_daemon(host)
        host.wait_for("another start", lambda: host.invocation(UNIT), lambda now: now not in seen)
        host.wait_for_states(active(UNITS))
    assert "MicroVM shares has lost its shares and is started again" in host.journal("shares")
    kill_daemon(host)
    host.wait_for_states({UNIT: "failed"})
    cause = f"{UNIT}.service has failed (exit-code, since virtiofsd, which serves its shares, has ended (exit-code))"
    assert cause in host.microvm("info shares") and cause in host.microvm("list", 3)
    host.wait_for("end of virtiofsd", lambda: host.run("pgrep -x virtiofsd || true"), lambda now: now == "")


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(IGNORANT, id="the host sees the loss first"),
        pytest.param(package(CONNECT, "exit 1"), id="the hypervisor sees the loss first"),
    ],
)
def test_shares_come_back_whoever_sees_their_loss_first(host: Host, files: Files) -> None:
    begin(host, files)
    before = host.invocation(UNIT)
    kill_daemon(host)
    host.wait_for("another start", lambda: host.invocation(UNIT), lambda now: now != before)
    host.wait_for_states(active(UNITS))
    assert host.journal("shares")[-1].endswith("and is started again")


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param("true", id="at once"),
        pytest.param(f"until [ -e {STATE}/shares/work/ready ]; do sleep 0.1; done", id="when it is connected"),
    ],
)
def test_shares_end_after_their_microvm(host: Host, meanwhile: str) -> None:
    host.install_packages({"shares": IGNORANT})
    host.run(f"systemctl start {UNIT}; {meanwhile}; systemctl stop {UNIT}")
    host.wait_for_states(dict.fromkeys(UNITS, "inactive"))
    assert host.run(f"ls {STATE}/shares {STATE}/shares/sockets").split()[-1] == f"{STATE}/shares/sockets:"
    assert {*host.run(f"ls {STATE}/shares/work").split()} <= {"files", "ready", "share.sock"}
    order = host.run(f"journalctl -b --no-pager -o cat -u {UNIT} -u {DAEMON} -n 30")
    assert order.rindex(f"Stopped {UNIT}") < order.rindex(f"Stopping {DAEMON}")


def test_a_start_that_loses_its_shares_names_them(host: Host) -> None:
    """The daemon goes as soon as the hypervisor is connected, each time."""
    host.install_packages({"shares": package(f"{CONNECT} &", "until [ -e ready ]; do sleep 0.1; done; exit 1")})
    end = "until pkill -KILL -x virtiofsd; do sleep 0.05; done"
    loop = f"for kill in 1 2 3 4 5 6 7; do {end}; sleep 0.2; done"
    host.run(f"systemd-run --quiet --collect --unit=microvm-test-end-daemons bash -c '{loop}'")
    try:
        output = host.microvm("start shares", 1)
    finally:
        host.run("systemctl stop microvm-test-end-daemons 2>/dev/null; true")
    assert "virtiofsd" in output.splitlines()[0] and "has ended" in output.splitlines()[0]


def test_the_foreground_reaches_the_shares_too(host: Host) -> None:
    host.install_packages({"shares": package("readlink share.sock", "test -S share.sock")})
    assert host.microvm("run shares").splitlines()[-1] == f"{STATE}/shares/sockets/share.sock"
