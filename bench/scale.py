# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how the module's time grows with the number of MicroVMs of a host: seconds on the host, without Ansible.

The MicroVMs are real units with real packages; their hypervisor is a fake that sleeps, since 500 guests would take
more memory than such a machine has.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from commands import ENVIRONMENT, TESTBED, Failure, on_host, output

BED = "bench"
COUNTS = (1, 10, 100, 500)
LOOP = 20
"""Number of calls of the singular module that are timed; a loop over more takes proportionally longer."""
FAKE = """\
#!/bin/sh
if [ "$1" = --version ]; then echo QEMU emulator version 10.0.0; else exec sleep infinity; fi
"""
MODULE_ENVIRONMENT = {**ENVIRONMENT, "ANSIBLE_KEEP_REMOTE_FILES": "1", "ANSIBLE_PIPELINING": "0"}
"""Environment in which Ansible leaves a module on the host."""


def run(command: str, text: str | None = None) -> str:
    """Run a shell command on the host. Returns its standard output."""
    return on_host(BED, command, text)


def ansible(directory: Path, *arguments: str) -> None:
    """Call Ansible once for the host."""
    inventory = directory / "inventory.yml"
    output([TESTBED, "inventory", f"--name={BED}", f"--output={inventory}"])
    output(["ansible", "host1", f"--inventory={inventory}", *arguments], environment=MODULE_ENVIRONMENT)


def declaration(index: int) -> dict[str, Any]:
    """Declaration of a MicroVM that the fake runs."""
    own = {"name": f"vm{index}", "kernel": "/etc/hostname", "accel": "tcg", "mem": 16}
    return {**own, "ready": {"check": "none"}, "socket": None}


def payload(directory: Path, module: str, parameters: dict[str, Any]) -> str:
    """Have Ansible copy a module to the host and unpack it there. Returns the command that runs it."""
    run("rm -rf ~/.ansible/tmp")
    ansible(directory, "-m", f"microvm.fleet.{module}", "-a", json.dumps(parameters))
    packed = run("ls ~/.ansible/tmp/*/AnsiballZ_*.py").split()[0]
    stored = f"/root/{module}.py"
    run(
        f"mv {packed} {stored}; rm -rf /root/debug_dir /root/{module}; python3 {stored} explode; "
        f"mv /root/debug_dir /root/{module}"
    )
    return f"cd /root; rm -f debug_dir; ln -s {module} debug_dir; python3 {stored} execute"


def timed(command: str, module: str, parameters: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Return the seconds of one run of an unpacked module, and its result."""
    arguments = json.loads(run(f"cat /root/{module}/args"))
    values = {key: value for key, value in arguments["ANSIBLE_MODULE_ARGS"].items() if key.startswith("_ansible")}
    arguments["ANSIBLE_MODULE_ARGS"] = {**values, **parameters}
    run(f"cat > /root/{module}/args", json.dumps(arguments))
    begin = time.monotonic()
    answer = run(command)
    return time.monotonic() - begin, json.loads(answer)


def prepare(directory: Path) -> None:
    """Boot a host with the units and a hypervisor that sleeps."""
    output([TESTBED, "up", f"--name={BED}", "1"])
    run("cat > /usr/local/bin/qemu-system-x86_64; chmod 755 /usr/local/bin/qemu-system-x86_64", FAKE)
    ansible(directory, "-m", "include_role", "-a", "name=microvm.fleet.host")


def scale() -> dict[str, float]:
    """Return the figures by name."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as work:
        directory = Path(work)
        prepare(directory)
        many = payload(directory, "microvm_vms", {"vms": []})
        single = payload(directory, "microvm_vm", {**declaration(0), "state": "present"})
        done, no_change = 0, {}
        for count in COUNTS:
            parameters = {"vms": [declaration(index) for index in range(count)]}
            seconds, answer = timed(many, "microvm_vms", parameters)
            if not answer["changed"]:
                raise Failure(f"nothing was changed by the installation of {count} MicroVMs")
            figures[f"{count - done} new MicroVMs installed and started, s"] = round(seconds, 2)
            done = count
            times = []
            for _repetition in range(3):
                seconds, answer = timed(many, "microvm_vms", parameters)
                times.append(seconds)
                if answer["changed"]:
                    actions = [action for vm in answer["vms"] for action in vm["actions"]]
                    raise Failure(f"a run that should change nothing did: {actions}")
            no_change[count] = min(times)
            figures[f"no change, {count} MicroVMs, s"] = round(no_change[count], 2)
        each = (no_change[COUNTS[-1]] - no_change[COUNTS[-2]]) / (COUNTS[-1] - COUNTS[-2])
        figures["no change, each further MicroVM, ms"] = round(1000 * each, 2)
        loop = sum(timed(single, "microvm_vm", declaration(index))[0] for index in range(LOOP)) / LOOP
        figures["loop of the singular module over 100 / one call for 100"] = round(100 * loop / no_change[100], 1)
    output([TESTBED, "down", f"--name={BED}"])
    return figures


if __name__ == "__main__":
    for name, value in scale().items():
        print(f"{name:56} {value:>8}")
