# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time in which nft loads the rules of a network with 500 MicroVMs in one transaction, and those of one of its taps.

All of it runs in namespaces of its own, with a directory /run of its own.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "plugins" / "module_utils"))

from _microvm.declaration.names import TAP_RULES_DIRECTORY
from _microvm.declaration.networks.parse import parse_networks
from _microvm.resources.networks.rules import rules
from _microvm.runner.scripts import sources
from commands import output

COUNT = 500
SUBNET = ipaddress.IPv4Network("10.64.0.0/16")
RULES = Path("/run/network.nft")
LISTED = "/run/networks.list"


def networks() -> dict[str, float]:
    """Return the figures by name."""
    mounted = 'mount -t tmpfs none /run && exec "$@"'
    command = ["unshare", "--net", "--mount", "sh", "-c", mounted, "networks", sys.executable, __file__, "inside"]
    figures = json.loads(output(command))
    return {
        f"rules of {COUNT} MicroVMs loaded, s": figures["all"],
        f"rules of one of {COUNT} taps replaced, s": figures["single"],
    }


def mac(number: int) -> str:
    """Return the MAC address of a guest."""
    return f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}"


def address(number: int) -> str:
    """Return the address of a guest."""
    return str(SUBNET[number + 10])


def timed(command: list[str]) -> float:
    """Return the seconds that a command takes."""
    begin = time.monotonic()
    subprocess.run(command, check=True)
    return round(time.monotonic() - begin, 2)


def bind(script: str) -> list[str]:
    """Return the command that runs a script after our functions."""
    given = f"network_list={LISTED} tap_rules={TAP_RULES_DIRECTORY} network_unit=none network_settings=/run/none"
    return ["bash", "-c", f"set -euo pipefail\n{given}\n{sources.BIND_TAPS}\n{script}"]


def measured() -> dict[str, float]:
    """Measure here."""
    leases = [{"mac": mac(number), "address": address(number)} for number in range(COUNT)]
    ports = [{"host": {"port": 10000 + n}, "guest": {"address": address(n), "port": 80}} for n in range(COUNT)]
    declared = {"name": "bench0", "address": f"{SUBNET[1]}/16", "nat": True, "dhcp_server": {}}
    RULES.write_text(rules(parse_networks([{**declared, "leases": leases, "forward_ports": ports}]), ["eth0"]))
    lines = [f"tap_elements tap{n} {mac(n)} {SUBNET} '' {address(n)} > $tap_rules/tap{n}.nft" for n in range(COUNT)]
    subprocess.run(bind("\n".join(["mkdir -p $tap_rules", *lines])), check=True)
    load = ["nft", "-f", str(RULES)]
    # The tables are there from the second time on, as in a run.
    subprocess.run(load, check=True)
    single = f"delete_elements tap7; add_elements tap7 bench0 {mac(7)} {SUBNET} '' {address(7)}"
    return {"all": timed(load), "single": timed(bind(single))}


if __name__ == "__main__":
    if sys.argv[1:] == ["inside"]:
        print(json.dumps(measured()))
    else:
        for name, value in networks().items():
            print(f"{name:56} {value:>8}")
