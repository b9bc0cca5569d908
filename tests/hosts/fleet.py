# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ten declared MicroVMs with a fake hypervisor, and their invariants."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .host import Host
from .paths import STATE

Declaration = dict[str, object]


def declaration(number: int, **options: object) -> Declaration:
    """Return the declaration of a MicroVM for the fake QEMU; without a control socket, a stop ends it with a signal."""
    fixed = {"kernel": "/etc/hostname", "accel": "tcg", "ready": {"check": "none"}, "socket": None}
    return {"name": f"vm{number}", **fixed, **options}


FLEET = [declaration(number) for number in range(10)]


class Fleet:
    """The MicroVMs of ``FLEET`` on a host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def declare(self, file: str, vms: Sequence[Declaration]) -> str:
        """Write declarations into a file on the host, and return its path."""
        self._host.send("/root", {file: json.dumps(vms)})
        return f"/root/{file}"

    def apply(self, vms: Sequence[Declaration]) -> None:
        """Apply declarations, and assert that this succeeds and leaves nothing to change."""
        file = self.declare("fleet.json", vms)
        self._host.microvm(f"apply {file}", timeout=600)
        self.assert_unchanged(file)

    def assert_unchanged(self, file: str) -> None:
        """Assert that a further run would change nothing."""
        assert "would be changed" not in self._host.microvm(f"apply {file} --check")

    def assert_whole(self) -> None:
        """Assert that each MicroVM has a package, and runs one."""
        links = self._host.run(f"for vm in {STATE}/vm*; do readlink -e $vm/current $vm/booted; done")
        assert len(links.split()) == 2 * len(FLEET)
        assert self._host.run("systemctl is-active 'microvm@vm*'").split() == ["active"] * len(FLEET)
