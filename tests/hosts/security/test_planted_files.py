# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hypervisor puts something else in the place of the files that the unit's scripts read or write."""

from __future__ import annotations

import time

from ..host import Host, active
from ..packages import STAY, fake
from ..paths import CONSOLES

FILES = ("microvm.ended", "microvm.pid", "microvm.events.in", "microvm.events.out")
CONSOLE_FILES = ("console.log", "console.log.old", "console.in", "hypervisor.pid", "stopping")

KINDS = {
    "fifo": 'mkfifo "$file"',
    "directory": 'mkdir -p "$file/a/b" && touch "$file/a/b/c"',
    "endless": 'ln -s /dev/zero "$file"',
    "huge": 'truncate -s 1T "$file"',
    "binary": 'head -c 1000000 /dev/urandom > "$file"',
    "nowhere": 'ln -s /nowhere/at/all "$file"',
    "itself": 'ln -s "$(basename "$file")" "$file"',
    "number": 'echo "1 ../../../../proc/1/stat" > "$file"',
}
SECONDS = 60
"""Far less than the time limits of the units."""


def planting(name: str, kind: str, end: str) -> str:
    """Return a hypervisor that plants things at its first start, and does nothing of that kind at the next."""
    files = " ".join([*FILES, *(f"{CONSOLES}/{name}/{file}" for file in CONSOLE_FILES)])
    plant = f'for file in {files}; do rm -rf "$file"; {KINDS[kind]}; done 2>/dev/null; touch planted'
    return f"if [ -e planted ]; then {STAY}; fi\n{plant}\n{end}"


def test_what_a_hypervisor_plants_blocks_neither_its_end_nor_a_stop_nor_the_next_start(host: Host) -> None:
    ends = {"ends": "exit 0", "stays": STAY}
    vms = {f"{end}-{kind}": planting(f"{end}-{kind}", kind, line) for end, line in ends.items() for kind in KINDS}
    host.install_packages({name: fake(script) for name, script in vms.items()})
    staying = [f"microvm@{name}" for name in vms if name.startswith("stays-")]
    host.run(f"systemctl start {' '.join(f'microvm@{name}' for name in vms)}")
    host.wait_for_states({f"microvm@{name}": "inactive" for name in vms if name.startswith("ends-")}, SECONDS)
    begin = time.monotonic()
    host.run(f"systemctl stop {' '.join(staying)}")
    assert time.monotonic() - begin < SECONDS
    assert set(host.states(staying).values()) == {"inactive"}
    units = [f"microvm@{name}" for name in vms]
    host.run(f"systemctl start {' '.join(units)}")
    host.wait_for_states(active(units), SECONDS)
    assert host.run(f"cat {' '.join(f'{CONSOLES}/{name}/hypervisor.pid' for name in vms)}").count("\n") == len(vms)
    print(f"{len(vms) * (len(FILES) + len(CONSOLE_FILES))} tries held")
