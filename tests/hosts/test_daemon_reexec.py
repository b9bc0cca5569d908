# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""systemd executes itself again and again, as updates of its package let it do, while MicroVMs are changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from .fleet import Fleet, declaration
from .host import Host, active

COUNT = 12
LOOP = "while :; do systemctl daemon-reexec && echo >> /run/reexecs; systemctl show > /dev/null && sleep 4; done"
SECONDS = 600


@pytest.fixture
def reexecs(host: Host) -> Iterator[None]:
    """systemd executes itself all the time."""
    host.run("rm -f /run/reexecs")
    host.run(
        f"setsid --fork sh -c '{LOOP}' < /dev/null > /dev/null 2>&1 & sleep 1; pgrep --full /run/reexecs > /run/loop"
    )
    yield
    host.run(
        "kill $(cat /run/loop); rm -f /run/loop; "
        # Whatever other tests have left failed.
        "until systemctl is-system-running | grep -q -e running -e degraded; do sleep 0.2; done"
    )
    print(f"systemd has executed itself {host.run('wc -l < /run/reexecs').strip()} times")


@pytest.mark.usefixtures("fake_qemu", "reexecs")
def test_runs_survive_systemd_that_executes_itself(host: Host) -> None:
    fleet = Fleet(host)
    for mem in (64, 72):
        file = fleet.declare("many.json", [declaration(number, mem=mem) for number in range(COUNT)])
        host.run(f"microvm apply {file} --parallel 8", timeout=SECONDS)
    units = [f"microvm@vm{number}" for number in range(COUNT)]
    host.wait_for_states(active(units), 60)
    starts = Counter(host.messages("--grep '^Started microvm@vm' _PID=1"))
    assert set(starts.values()) == {2}, f"a MicroVM was restarted more often than it was asked for: {starts}"
    assert len(starts) == COUNT
    host.run(
        "microvm restart vm0 vm1 vm2 && microvm stop vm3 vm4 && microvm start vm3 vm4 && microvm list", timeout=SECONDS
    )
    absent = fleet.declare("none.json", [{"name": f"vm{number}", "state": "absent"} for number in range(COUNT)])
    host.run(f"microvm apply {absent} --parallel 8", timeout=SECONDS)
    assert int(host.run("wc -l < /run/reexecs")) > 3
