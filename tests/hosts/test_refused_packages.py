# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A package that was rolled back from: what each later run, the list and the information say, and the way out."""

from __future__ import annotations

import json

import pytest

from .fleet import Fleet, declaration
from .host import Host

QEMU = """\
#!/bin/sh
case "$*" in
    *-version*) echo "QEMU emulator version 10.0.0"; exit ;;
    *"-m 600M"*) echo "vmm: cannot allocate 600M" >&2; exit 1 ;;
esac
exec sleep infinity
"""
"""Hypervisor that has no memory for one of the sizes."""


@pytest.mark.usefixtures("fake_qemu")
def test_a_refused_package_shows_until_the_way_out_is_taken(host: Host) -> None:
    host.send("/usr/local/bin", {"qemu-system-x86_64": QEMU})
    fleet = Fleet(host)
    options = {"rollback_on_failure": True, "on_crash": "stop"}
    good, other = declaration(0, **options), declaration(1)
    bad = declaration(0, **options, mem=600)
    fleet.apply([good, other])
    file = fleet.declare("changed.json", [bad, other])
    said = host.microvm(f"apply {file}", 1)
    assert "vmm: cannot allocate 600M; the previous package is running again" in said
    assert "vm0: rolled back, generation 1" in said and "vm1: unchanged" in said
    for words in (f"apply {file}", f"apply {file} --check"):
        said = host.microvm(words, 1)
        assert "microvm: vm0: the declared package is generation 2" in said
        assert "microvm generations vm0 --good 2" in said
    assert "microvm generations vm0 --good 2" in host.microvm("list", 2)
    vms = json.loads(host.microvm("list --json", 2))
    assert [(vm["name"], vm["condition"], vm["state"]) for vm in vms] == [
        ("vm0", "refused", "active"),
        ("vm1", "ok", "active"),
    ]
    warned = fleet.declare("warned.json", [{**bad, "on_refused": "warn"}, other])
    assert "microvm: vm0: the declared package is generation 2" in host.microvm(f"apply {warned}")
    host.microvm("generations vm0 --good 2")
    host.send("/usr/local/bin", {"qemu-system-x86_64": QEMU.replace("600M", "601M")})
    assert "vm0: changed, generation 2" in host.microvm(f"apply {file}")
    host.microvm("list")
    host.microvm("stop vm1")
    assert "vm1: it should run and does not (inactive)" in host.microvm("list", 3)
