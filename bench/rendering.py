# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processor time for 1,000 packages of all hypervisors on Linux in turn, from declarations to digests."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "plugins" / "module_utils"))

from _microvm.declaration.names import IMAGE_STORE
from _microvm.declaration.vms.parse import parse_vms
from _microvm.hypervisors.facts import HostFacts
from _microvm.hypervisors.profiles import PROFILES
from _microvm.runner.render import render

COUNT = 1000
ON_LINUX = [name for name, profile in PROFILES.items() if "x86_64-linux" in profile.systems]


def declaration(index: int) -> dict[str, Any]:
    """Return a typical declaration: an image, a volume, a tap with a static address, a key."""
    return {
        "name": f"vm{index}",
        "hypervisor": ON_LINUX[index % len(ON_LINUX)],
        "image": f"{IMAGE_STORE}/base",
        "vcpu": 2,
        "mem": "1G",
        "interfaces": [{"bridge": "br0"}],
        "volumes": [{"image": "data.img", "size": "10G", "mount_point": "/data"}],
        "guest": {
            "authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1bGsgb2YgYSBrZXkgdGhhdCBvcGVucyBub3RoaW5n"],
            "networks": [{"addresses": [f"10.{index // 250}.{index % 250}.2/24"], "gateway": "10.0.0.1"}],
        },
    }


def rendering() -> float:
    """Return the seconds of one core."""
    raw = [declaration(index) for index in range(COUNT)]
    begin = time.process_time()
    for parsed in parse_vms(raw):
        assert render(parsed, HostFacts()).digest
    return time.process_time() - begin


if __name__ == "__main__":
    print(f"{rendering():.2f} s")
