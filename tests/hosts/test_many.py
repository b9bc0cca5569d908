# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""More MicroVMs than one process may have open files. The hypervisor is a fake QEMU."""

from __future__ import annotations

import pytest

from .fleet import Fleet, declaration
from .host import Host, active

COUNT = 300
OPEN_FILES = 256
SECONDS = 900


@pytest.mark.usefixtures("fake_qemu")
def test_300_microvms_are_installed_and_removed_in_one_call_each_with_256_open_files(host: Host) -> None:
    fleet = Fleet(host)
    present = [declaration(number, mem=16) for number in range(COUNT)]
    host.run(f"ulimit -n {OPEN_FILES}; microvm apply {fleet.declare('many.json', present)}", timeout=SECONDS)
    units = [f"microvm@{vm['name']}" for vm in present]
    host.wait_for_states(active(units), 120)
    fleet.assert_unchanged("/root/many.json")
    absent = fleet.declare("none.json", [{"name": vm["name"], "state": "absent"} for vm in present])
    host.run(f"ulimit -n {OPEN_FILES}; microvm apply {absent}", timeout=SECONDS)
    assert host.run("systemctl list-units --plain --no-legend 'microvm@*'") == ""
    assert "there are no MicroVMs" in host.microvm("list")
