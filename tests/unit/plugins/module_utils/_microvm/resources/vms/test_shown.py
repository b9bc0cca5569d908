# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that diffs show: those that somebody has set."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.changes import normal
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.shown import set_options

IMAGES: Any = [
    {
        "name": "base",
        "path": "/images/77",
        "store_disk_type": "squashfs",
        "kernel_lacks": [],
        "uses_host_key": False,
        "nix": False,
    }
]

CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a kernel alone": ({"kernel": "/k"}, ["name: db", "kernel: /k"]),
    "an image, with its build": ({"image": "base"}, ["name: db", "image: base", "kernel: /images/77/kernel"]),
    "an image in a directory": (
        {"image": "/images/88"},
        ["name: db", "image: /images/88", "kernel: /images/88/kernel"],
    ),
    "identities that follow from the name are not shown": (
        {
            "kernel": "/k",
            "interfaces": [{"bridge": "br3"}],
            "shares": [{"proto": "virtiofs", "tag": "t", "source": "/s"}],
        },
        [
            "name: db",
            "kernel: /k",
            "interfaces[0].bridge: br3",
            "shares[0].tag: t",
            "shares[0].source: /s",
            "shares[0].proto: virtiofs",
        ],
    ),
    "and those that somebody has set are": (
        {
            "kernel": "/k",
            "mem": "2G",
            "socket": None,
            "machine_id": "5" * 32,
            "interfaces": [{"bridge": "br3", "mac": "02:00:00:00:00:77"}],
            "graphics": {"socket": "other.sock"},
            "guest": {"hostname": "mail"},
        },
        [
            "name: db",
            "mem: 2048",
            "socket: null",
            "kernel: /k",
            f"machine_id: {'5' * 32}",
            "interfaces[0].mac: 02:00:00:00:00:77",
            "interfaces[0].bridge: br3",
            "graphics.socket: other.sock",
            "guest.hostname: mail",
        ],
    ),
    "lists and control characters are in one line": (
        {"kernel": "/k", "pre_start": "a\nb", "kernel_params": ["quiet", "x=ü"]},
        ["name: db", "pre_start: a\\nb", "kernel: /k", 'kernel_params: ["quiet", "x=ü"]'],
    ),
}


@pytest.mark.parametrize(("raw", "lines"), CASES.values(), ids=CASES.keys())
def test_only_what_somebody_has_set_is_shown(raw: dict[str, Any], lines: list[str]) -> None:
    declaration = parse_vm({"name": "db", **raw}, IMAGES)
    assert sorted(set_options(declaration)) == sorted(lines)
    # As it is read back from a package.
    assert set_options(normal(declaration)) == set_options(declaration)


def test_a_declaration_that_this_version_refuses_is_shown_whole() -> None:
    declaration = {**normal(parse_vm({"name": "db", "kernel": "/k"})), "initial_balloon_mem": 4096}
    lines = set_options(declaration)  # type: ignore[arg-type]
    assert "initial_balloon_mem: 4096" in lines and "guest.hostname: db" in lines
