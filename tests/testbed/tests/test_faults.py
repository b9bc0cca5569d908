# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever is killed when, or fills up, or comes at the same time: nothing is lost, and the next run completes it.

``MICROVM_FAULTS=1`` kills at every write-like system call, not at every so many, which takes much longer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .units import ROLE, UnitHost

pytestmark = pytest.mark.testbed

EVERY = int(os.environ.get("MICROVM_FAULTS", "20"))
STAND_IN = """\
#!/bin/sh
# Stands in for QEMU: it is the host's side that is tried.
if [ "$1" = --version ]; then echo QEMU emulator version 10.0.0; else exec sleep infinity; fi
"""
FLEET = [
    # Without a control socket the stand-in is not asked, but ended at once.
    {"name": f"vm{number}", "kernel": "/etc/hostname", "accel": "tcg", "ready": {"check": "none"}, "socket": None}
    for number in range(10)
]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UnitHost]:
    """A host with the command, strace and a hypervisor that sleeps."""
    packed = tmp_path_factory.mktemp("command") / "microvm"
    subprocess.run([sys.executable, ROLE / "files" / "pack.py", packed], check=True)
    one = UnitHost("faults")
    one.up("trixie")
    try:
        one.run("apt-get -qy install --no-install-recommends e2fsprogs strace")
        one.send("/usr/local/bin", {"microvm": packed.read_bytes().decode("latin-1"), "qemu-system-x86_64": STAND_IN})
        yield one
    finally:
        one.down()


def test_killed_at_any_write(host: UnitHost) -> None:
    host.send("/root", {"faults.py": Path(__file__).with_name("faults.py").read_text(encoding="utf-8")})
    output = host.run(f"python3 /root/faults.py {EVERY} || true", timeout=3600)
    results = [json.loads(line) for line in output.splitlines()]
    for result in results:
        print(f"{result['scenario']}: {result['kills']} kills among {result['calls']} calls")
    assert [result["scenario"] for result in results] == ["install", "update", "remove", "remove with volumes"]
    assert [problem for result in results for problem in result["lost"]] == []
    assert all(result["kills"] >= 3 for result in results)


def declare(host: UnitHost, file: str, vms: list[dict[str, object]]) -> None:
    """A file of declarations on the host."""
    host.send("/root", {file: json.dumps(vms)})


def all_resolve(host: UnitHost) -> None:
    """Whatever came between: each MicroVM has a package, and runs one."""
    found = host.run("for vm in /var/lib/microvms/vm*; do readlink -e $vm/current $vm/booted; done")
    assert len(found.split()) == 2 * len(FLEET)
    assert host.run("systemctl is-active 'microvm@vm*'").split() == ["active"] * len(FLEET)


def test_fifty_operations_at_once(host: UnitHost) -> None:
    """Five processes, ten MicroVMs, ten operations each: in the end all are as the last run wants them."""
    for number in range(5):
        declare(host, f"fleet{number}.yml", [{**vm, "mem": 64 + number} for vm in FLEET])
    line = (
        "for process in 0 1 2 3 4; do ("
        "for round in 1 2 3 4; do microvm apply /root/fleet$process.yml; microvm restart --no-wait vm$process; done;"
        "microvm list; microvm gc) > /root/log$process 2>&1 & done; wait;"
        "microvm apply /root/fleet0.yml > /dev/null; microvm apply /root/fleet0.yml --check"
    )
    output = host.run(line, timeout=600)
    assert "would be changed" not in output, output
    all_resolve(host)
    assert "Traceback" not in host.run("cat /root/log*")
    host.run("test -z \"$(find /var/lib/microvm-fleet -name '*.partial*')\"")


def test_a_full_disk(host: UnitHost) -> None:
    """The stores are on a small file system that is filled."""
    store = "/var/lib/microvm-fleet"
    host.run(f"mkdir /root/small; mount -t tmpfs -o size=8m none /root/small; cp -a {store}/. /root/small")
    host.run(f"mount --bind /root/small {store}; dd if=/dev/zero of={store}/filler bs=4k 2> /dev/null || true")
    declare(host, "more.yml", [{**vm, "mem": 99} for vm in FLEET])
    refused = host.run("microvm apply /root/more.yml 2>&1 || echo refused")
    assert "refused" in refused
    assert "No space left" in refused
    assert "Traceback" not in refused
    all_resolve(host)
    host.run(f"rm {store}/filler; microvm apply /root/more.yml")
    assert "would be changed" not in host.run("microvm apply /root/more.yml --check")
    host.run(f"umount {store}; rm -rf {store}/*; cp -a /root/small/. {store}; umount /root/small")
    all_resolve(host)


def test_a_state_directory_that_cannot_be_written(host: UnitHost) -> None:
    declare(host, "again.yml", [{**vm, "mem": 98} for vm in FLEET])
    host.run("mount --bind /var/lib/microvms /var/lib/microvms; mount -o remount,ro,bind /var/lib/microvms")
    refused = host.run("microvm apply /root/again.yml 2>&1 || echo refused")
    assert "refused" in refused
    assert "Read-only" in refused
    assert "Traceback" not in refused
    host.run("umount /var/lib/microvms")
    all_resolve(host)
    host.run("microvm apply /root/again.yml")
    assert "would be changed" not in host.run("microvm apply /root/again.yml --check")


def test_what_ran_runs_again_after_a_restart_of_the_host(host: UnitHost) -> None:
    declare(host, "last.yml", [{**vm, "autostart": vm["name"] != "vm3"} for vm in FLEET])
    host.run("microvm apply /root/last.yml")
    host.reboot()
    names = [f"microvm@{vm['name']}.service" for vm in FLEET if vm["name"] != "vm3"]
    host.run(f"for unit in {' '.join(names)}; do until systemctl is-active -q $unit; do sleep 0.5; done; done")
    assert host.run("systemctl is-active microvm@vm3.service || true").strip() == "inactive"
