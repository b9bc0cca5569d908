# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Declarations that several tests begin with."""

from __future__ import annotations

from typing import Any

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import HostImage
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import Declaration, parse_vms

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1bGsgb2YgYSBrZXkgdGhhdCBvcGVucyBub3RoaW5n operator@example"
IMAGES: list[HostImage] = [
    {
        "name": "base",
        "path": "/images/0123",
        "store_disk_type": "erofs",
        "kernel_lacks": [],
        "uses_host_key": False,
        "nix": False,
    }
]

SMALL: dict[str, Any] = {"name": "small", "kernel": "/boot/vmlinuz"}
FULL: dict[str, Any] = {
    "name": "web",
    "image": "base",
    "mem": "1G",
    "interfaces": [{"bridge": "br0"}],
    "volumes": [{"image": "data.img", "size": 64, "mount_point": "/data"}],
    "shares": [{"tag": "site", "source": "/srv/site", "mount_point": "/srv/www"}],
    "guest": {"authorized_keys": [KEY], "networks": [{"addresses": ["10.0.0.2/24"], "gateway": "10.0.0.1"}]},
}


def parse(*raw: dict[str, Any]) -> list[Declaration]:
    """The declarations of one host that was given IMAGES."""
    return parse_vms(raw, IMAGES)
