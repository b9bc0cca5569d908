# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Role ``host`` on a host that was prepared by an earlier version."""

from __future__ import annotations

from .host import Host
from .paths import SCRIPTS, UNITS

SCRIPT = f"{SCRIPTS}/microvm-turn"
FILES = f"{UNITS}/microvm-turn@.service {SCRIPT}"


def test_units_of_earlier_versions_are_removed_with_their_failures(host: Host) -> None:
    unit = f"[Service]\nType=oneshot\nExecStart={SCRIPT}\n"
    host.send(UNITS, {"microvm-turn@.service": unit})
    host.run(f"cp /bin/false {SCRIPT}; systemctl daemon-reload; systemctl start microvm-turn@web || true")
    assert host.states(["microvm-turn@web"]) == {"microvm-turn@web": "failed"}
    host.install_role()
    host.run(f"! ls {FILES} 2>/dev/null")
    assert host.run("systemctl list-units --all --plain --no-legend 'microvm-turn@*'") == ""
    assert host.run("systemctl is-system-running") == "running\n"
