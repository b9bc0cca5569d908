# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time of Ansible for 1,000 guests as inventory, from the declarations of 20 hosts with templates."""

from __future__ import annotations

import json
import resource
import tempfile
from pathlib import Path
from typing import Any

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
        without, seconds = _seconds(hosts), _seconds(hosts, guests)
    return {
        "1,000 guests as inventory, s of one core": round(seconds, 1),
        "its hosts alone, s of one core": round(without, 1),
    }


def _seconds(*sources: Path) -> float:
    begin = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [f"--inventory={source}" for source in sources]
    listed = output(["ansible-inventory", *words, "--graph"])
    expected = HOSTS * GUESTS_OF_EACH if len(sources) > 1 else 0
    assert len({line for line in listed.splitlines() if "--vm" in line}) == expected, listed[-2000:]
    end = resource.getrusage(resource.RUSAGE_CHILDREN)
    return end.ru_utime - begin.ru_utime + end.ru_stime - begin.ru_stime


if __name__ == "__main__":
    for name, value in inventory().items():
        print(f"{name:56} {value:>8}")
