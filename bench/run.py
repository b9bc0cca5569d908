# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure on the demo's hosts and print a table and JSON. Compare ratios rather than seconds: machines are noisy."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from commands import ROOT, Failure, on_host, output
from devices import devices
from hypervisors import hypervisors
from inventory import inventory
from networks import networks
from rendering import rendering
from scale import scale
from shares import shares
from taps import taps

sys.path.insert(0, str(ROOT / "plugins" / "module_utils"))

from _microvm.declaration.names import CURRENT_LINK, STATE_DIRECTORY, unit_name

STATE = Path("/run/microvm-fleet-demo")
REPETITIONS = 3


def playbook(name: str) -> float:
    """Return the seconds of one run on the demo's hosts."""
    command = ["ansible-playbook", f"--inventory={STATE}/testbed.yml", "--inventory=docs/examples/first-fleet"]
    begin = time.monotonic()
    output([*command, f"--extra-vars=@{STATE}/variables.yml", name])
    return time.monotonic() - begin


def run(*command: str) -> str:
    """Run a command on the first host. Returns its standard output."""
    return on_host("demo", " ".join(command))


def guest_start() -> float:
    """Return the seconds from a restart of a MicroVM to the banner of its SSH server, while another one idles."""
    run("systemctl", "restart", unit_name("data1"))
    begin = time.monotonic()
    run(
        "sh", "-c", "'until timeout 2 bash -c \"head -c 4 < /dev/tcp/10.66.1.12/22\" | grep -q SSH; do sleep 0.1; done'"
    )
    return time.monotonic() - begin


def sizes() -> dict[str, int]:
    """Return the sizes of the files of the image that the MicroVM uses, in bytes."""
    link = run("readlink", "-e", f"{STATE_DIRECTORY}/data1/{CURRENT_LINK}").strip()
    command_line = run("cat", f"{link}/share/microvm/command-line")
    directory = re.search(r"-kernel (\S+)/kernel", command_line)
    if directory is None:
        raise RuntimeError(f"{link} runs no image of this collection")
    names = ("root.erofs", "kernel", "initrd")
    return {name: int(run("stat", "--format=%s", f"{directory[1]}/{name}")) for name in names}


def main() -> int:
    """Run the demo, then measure on its hosts."""
    subprocess.run([ROOT / "demo/run"], check=True)
    print("\nMeasuring, about ten minutes\n", flush=True)
    no_change, ping = [], []
    for _repetition in range(REPETITIONS):
        ping.append(playbook("bench/ping.yml"))
        no_change.append(playbook("microvm.fleet.site"))
    figures = {
        "site.yml without a change, 2 hosts with 2 MicroVMs, s": round(statistics.median(no_change), 1),
        "playbook that gathers facts and pings, s": round(statistics.median(ping), 1),
        "ratio": round(statistics.median(no_change) / statistics.median(ping), 2),
        "guest: restart to SSH banner, s": round(guest_start(), 1),
        "1,000 packages rendered, s of one core": round(rendering(), 2),
        **inventory(),
        **{f"size of {name}, MB": round(size / 1e6, 1) for name, size in sizes().items()},
        **taps(),
        **networks(),
        **scale(),
        **shares(),
        **devices(),
        **hypervisors(),
    }
    for name, value in figures.items():
        print(f"{name:56} {value:>8}")
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"\nThe benchmark has failed: {failure}")
