# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time for 200 taps on a bridge, made and removed by microvm_tap's operation, and by iproute2 in a shell loop.

All of it runs in a network namespace of its own, in processes that do nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "plugins" / "module_utils"))

from _microvm.host.netlink import load_links
from _microvm.operations.taps import TapsRequest, reconcile_taps
from commands import Failure, output

COUNT = 200
BRIDGE = "bench0"
LOOP = f"""\
set -e
ip link add {BRIDGE} type bridge
begin=${{EPOCHREALTIME/./}}
for n in {{1..{COUNT}}}; do
    ip tuntap add name tap$n mode tap user 1000 vnet_hdr
    ip link set dev tap$n master {BRIDGE}
    bridge link set dev tap$n isolated on
    ip link set dev tap$n up
done
made=${{EPOCHREALTIME/./}}
for n in {{1..{COUNT}}}; do ip link delete dev tap$n; done
end=${{EPOCHREALTIME/./}}
echo "[$((made - begin)), $((end - made))]"
"""
"""Script that prints microseconds."""


def isolated(*command: str) -> list[str]:
    """Return a command in a network namespace of its own."""
    return ["unshare", "--net", "--mount", "sh", "-c", 'mount -t sysfs sysfs /sys && exec "$@"', "taps", *command]


def taps() -> dict[str, float]:
    """Return the figures by name."""
    module = json.loads(output(isolated(sys.executable, __file__, "inside")))
    loop = [microseconds / 1e6 for microseconds in json.loads(output(isolated("bash", "-c", LOOP)))]
    return {
        f"{COUNT} taps made by microvm_tap, s": round(module["made"], 2),
        f"{COUNT} taps without a change, s": round(module["unchanged"], 2),
        f"{COUNT} taps removed by microvm_tap, s": round(module["removed"], 2),
        f"{COUNT} taps made by ip in a shell loop, s": round(loop[0], 2),
        f"{COUNT} taps removed by ip in a shell loop, s": round(loop[1], 2),
    }


def timed(declared: list[dict[str, object]], is_changing: bool) -> float:
    """Return the seconds of one run."""
    begin = time.monotonic()
    result = reconcile_taps(TapsRequest(declared, "/nonexistent"))
    seconds = time.monotonic() - begin
    if result["changed"] != is_changing or any(tap["failed"] for tap in result["taps"]):
        raise Failure(f"taps were not as expected: {result['taps'][0]}")
    return seconds


def measured() -> dict[str, float]:
    """Measure here."""
    subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
    # Imported before, as the modules of Ansible are.
    load_links().close()
    names = [f"tap{number}" for number in range(COUNT)]
    present: list[dict[str, object]] = [
        {"name": name, "owner": "1000", "bridge": BRIDGE, "isolated": True} for name in names
    ]
    return {
        "made": timed(present, True),
        "unchanged": timed(present, False),
        "removed": timed([{"name": name, "state": "absent"} for name in names], True),
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["inside"]:
        print(json.dumps(measured()))
    else:
        for name, value in taps().items():
            print(f"{name:56} {value:>8}")
