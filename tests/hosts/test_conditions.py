# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the command says of MicroVMs that are down, have failed, or were started again by themselves."""

from __future__ import annotations

import json
from functools import partial
from operator import eq

from .host import Host
from .packages import STAY, fake


def test_a_failed_helper_is_a_failure_of_its_microvm(host: Host) -> None:
    host.install_packages({"web": fake(STAY, tap_up="echo 'no bridge br7' >&2; exit 3"), "db": fake(STAY)})
    host.microvm("start db")
    # The helper's own words, not that a dependency has failed.
    said = host.microvm("start web", 1)
    helper = "microvm-tap-interfaces@web.service, which microvm@web.service needs, has failed"
    assert said.startswith(f"microvm: web: {helper} (exit-code): no bridge br7")
    assert host.states(["microvm@web.service"]) == {"microvm@web.service": "inactive"}
    listed = host.microvm("list", 3)
    assert "microvm-tap-interfaces@web.service has failed (exit-code)" in listed
    vms = json.loads(host.run("microvm list --json || true"))
    assert [(vm["name"], vm["state"], vm["condition"]) for vm in vms] == [
        ("db", "active", "ok"),
        ("web", "failed", "failed"),
    ]
    host.run("systemctl stop microvm@web; systemctl reset-failed 'microvm*@web.service'")
    assert "ok" in host.microvm("list web")


def test_the_hypervisor_s_own_line_is_first_and_nothing_is_said_twice(host: Host) -> None:
    lines = ("echo booting; echo 'vmm: cannot lock data.img' >&2", "printf 'disk\\e[2J\\n'; sleep 0.5; exit 7")
    host.install_packages({"db": fake(*lines)}, {"db": "ON_CRASH=stop\n"})
    said = host.microvm("start db", 1)
    first, *others = said.splitlines()
    assert first.endswith("vmm: cannot lock data.img") and said.count("cannot lock") == 1
    assert "booting" in others and "disk\\x1b[2J" in others and "\x1b" not in said
    assert others[-1] == "More: microvm logs db"


def test_a_hypervisor_that_is_killed_counts_as_a_restart(host: Host) -> None:
    host.install_packages({"db": fake(STAY)})
    host.microvm("start db")
    for count in (1, 2):
        host.run("pkill -KILL -u microvm -x sleep")
        host.wait_for("restart", lambda: host.info("db")["restarts"], partial(eq, count))
        host.wait_for_states({"microvm@db.service": "active"})
    host.microvm("restart db")
    assert host.info("db")["restarts"] == 0
