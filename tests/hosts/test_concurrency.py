# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many runs of the command at the same time."""

from __future__ import annotations

from .fleet import FLEET, Fleet
from .host import Host
from .paths import FLEET as FLEET_DIRECTORY


def test_fifty_operations_at_once_end_in_the_state_that_the_last_one_declares(host: Host, fleet: Fleet) -> None:
    """Five processes, ten MicroVMs, ten operations each."""
    files = [fleet.declare(f"fleet{n}.yml", [{**vm, "mem": 64 + n} for vm in FLEET]) for n in range(5)]
    line = (
        "for process in 0 1 2 3 4; do ("
        "for round in 1 2 3 4; do microvm apply /root/fleet$process.yml; microvm restart --no-wait vm$process; done;"
        "microvm list; microvm gc) > /root/log$process 2>&1 & done; wait;"
        f"microvm apply {files[0]}"
    )
    host.run(line, timeout=600)
    fleet.assert_unchanged(files[0])
    fleet.assert_whole()
    assert "Traceback" not in host.run("cat /root/log*")
    assert host.run(f"find {FLEET_DIRECTORY} -name '*.partial*'") == ""
