# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Shares end and come back with their MicroVM. virtiofsd is real, the hypervisor that connects to it mostly a fake."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from .host import ROOT, Files, Host, active
from .packages import FAKE_QEMU, STAY, fake
from .paths import STATE
from .small_guest import run_in_guest

PAGE = (ROOT / "docs" / "shares.md").read_text()
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


def test_secrets_of_another_generation_reach_a_guest_that_runs(host: Host) -> None:
    """Secrets are written as sops-nix does; the guest of a small QEMU is connected to the MicroVM's own virtiofsd."""
    host.send("/opt/fake/bin", {"qemu-system-x86_64": FAKE_QEMU})
    [declared] = yaml.safe_load(PAGE.partition("## Secrets")[2].partition("```yaml\n")[2].partition("```")[0])
    options = {"kernel": "/etc/hostname", "accel": "tcg", "ready": {"check": "none"}, "socket": None}
    vm = {
        **options,
        **declared,
        "image": None,
        "qemu": {"package": "/opt/fake"},
        "virtiofsd": {"inode_file_handles": "never"},
    }
    vm["shares"] = [{key: value for key, value in share.items() if key != "mount_point"} for share in vm["shares"]]
    change = (
        "mkdir -p /run/secrets.d/{0} && echo {0} > /run/secrets.d/{0}/token && chmod 0400 /run/secrets.d/{0}/token &&"
        "ln -sfn {0} /run/secrets.d/current && ln -sfn /run/secrets.d/{0} /run/secrets;"
    )
    host.run(change.format(1))
    host.send("/root", {"secrets.json": json.dumps([vm])})
    host.microvm("apply /root/secrets.json")
    credential = f"cat /run/credentials/microvm@{declared['name']}.service/token"
    assert host.run(credential) == "1\n"
    # The line in the guest's output comes before the change.
    seen = "until grep -q 'token 1' /root/seen 2> /dev/null; do sleep 0.1; done"
    host.send("/root", {"change": f"#!/bin/sh\n{seen}\n{change.format(2)}\nrm -r /run/secrets.d/1\n"})
    host.run("rm -f /root/seen; systemd-run --quiet --unit=change-secrets /root/change")
    in_guest = (
        "mkdir -p /dev; mount -t devtmpfs dev /dev; mount -t virtiofs secrets /mnt\n"
        "echo token $(cat /mnt/current/token) | tee /dev/ttyS1\n"
        "for try in $(seq 300); do grep -q 2 /mnt/current/token && break; sleep 0.2; done\n"
        "cat /mnt/current/token; ls /mnt/1 /mnt/current"
    )
    socket = f"{STATE}/{declared['name']}/sockets/{declared['name']}-virtiofs-secrets.sock"
    lines = run_in_guest(host, in_guest, {"secrets": socket}, "-serial file:/root/seen")
    assert lines[0] == "token 1" and lines[1] == "2" and lines[-1] == "token" and "/mnt/1: No such file" in lines[2]
    assert host.run(credential) == "1\n"
    host.microvm(f"restart {declared['name']}")
    assert host.run(credential) == "2\n"
    host.run("rm -rf /opt/fake /run/secrets /run/secrets.d /root/seen /root/change")
