# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time of ``ansible-inventory --list`` for 1,000 guests, from the declarations of 20 hosts with templates."""

from __future__ import annotations

import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from commands import output

HOSTS, GUESTS_OF_EACH = 20, 50


def host(number: int) -> dict[str, Any]:
    """Return the variables of a host with typical MicroVMs."""
    return {
        "ansible_host": f"192.0.2.{number + 1}",
        "subnet": f"10.{number}",
        "microvm_networks": [{"name": "br0", "address": "{{ subnet }}.0.1/16", "nat": True}],
        "microvm_vms": [
            {
                "name": f"vm{number}-{index}",
                "mem": "1G",
                "tags": ["web", "eu"],
                "interfaces": [{"bridge": "br0"}],
                "volumes": [{"image": "data.img", "size": "10G", "mount_point": "/data"}],
                "guest": {
                    "authorized_keys": ["{{ key }}"],
                    "networks": [{"addresses": [f"{{{{ subnet }}}}.1.{index + 2}/16"], "gateway": "{{ subnet }}.0.1"}],
                },
            }
            for index in range(GUESTS_OF_EACH)
        ],
    }


def inventory() -> dict[str, float]:
    """Return the figures by name."""
    with tempfile.TemporaryDirectory() as work:
        hosts, guests = Path(work, "hosts.yml"), Path(work, "guests.microvm.yml")
        defaults = {"microvm_images": [{"name": "base"}], "microvm_defaults": {"image": "base"}}
        variables = {**defaults, "key": "ssh-ed25519 AAAA"}
        group = {"hosts": {f"host{number}": host(number) for number in range(HOSTS)}, "vars": variables}
        hosts.write_text(json.dumps({"microvm_hosts": group}))
        guests.write_text("plugin: microvm.fleet.guests\n")
        without, complete = _measured(hosts), _measured(hosts, guests)
    return {
        "1,000 guests as inventory, whole command, s": round(complete.seconds, 1),
        "1,000 guests as inventory, whole command, s of one core": round(complete.processor_seconds, 1),
        "its hosts alone, s of one core": round(without.processor_seconds, 1),
    }


class Measured(NamedTuple):
    """Time of a command."""

    seconds: float
    processor_seconds: float


def _measured(*sources: Path) -> Measured:
    """Return the shorter of two times: the first run may have compiled and read what the second has at hand."""
    return min(_once(*sources) for _repetition in range(2))


def _once(*sources: Path) -> Measured:
    begin, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    words = [f"--inventory={source}" for source in sources]
    listed = json.loads(output(["ansible-inventory", *words, "--list"]))
    seconds, end = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    expected = HOSTS * GUESTS_OF_EACH if len(sources) > 1 else 0
    assert len(listed.get("microvm_guests", {}).get("hosts", ())) == expected
    return Measured(seconds, end.ru_utime - begin.ru_utime + end.ru_stime - begin.ru_stime)


if __name__ == "__main__":
    for name, value in inventory().items():
        print(f"{name:56} {value:>8}")
