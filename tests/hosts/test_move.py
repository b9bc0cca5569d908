# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that a MicroVM which is being moved to another host starts by no road. The hypervisor is a fake."""

from __future__ import annotations

import json
from pathlib import Path

from .fleet import Fleet, declaration
from .host import Host
from .paths import FLEET, TARGET

LEAVE_AND_RETURN = """\
- hosts: all
  gather_facts: false
  module_defaults:
    microvm.fleet.microvm_move: {name: vm2, peer: elsewhere}
  tasks:
    - microvm.fleet.microvm_move: {state: held}
    - microvm.fleet.microvm_move: {state: held}
      check_mode: true
      register: again
    - assert: {that: [again is not changed, "again.side == 'source'", not again.running]}
    - microvm.fleet.microvm_move: {state: released}
      register: back
    - assert: {that: [back is changed, back.running, back.side is none]}
"""


def test_a_held_microvm_starts_by_no_road(host: Host, fake_qemu: None) -> None:
    file = Fleet(host).declare("held.json", [declaration(0), declaration(1)])
    host.microvm(f"apply {file}")
    host.run("systemctl stop microvm@vm0")
    host.send(f"{FLEET}/moves", {"vm0.hold": json.dumps({"side": "source", "peer": "elsewhere"})})
    host.run("! systemctl start microvm@vm0")
    # As the host's boot does it.
    host.run(f"systemctl restart {TARGET}")
    assert "vm0 is being moved to elsewhere" in host.run("! microvm start vm0 2>&1")
    assert "vm0 is being moved to elsewhere" in host.run(f"! microvm apply {file} 2>&1")
    assert host.run("systemctl is-active microvm@vm0 microvm@vm1").split() == ["inactive", "active"]
    host.run(f"rm {FLEET}/moves/vm0.hold && systemctl start microvm@vm0")


def test_what_is_held_stays_so_until_it_is_taken_back(host: Host, fake_qemu: None, tmp_path: Path) -> None:
    host.microvm(f"apply {Fleet(host).declare('leave.json', [declaration(2)])}")
    host.play(tmp_path, LEAVE_AND_RETURN)
    assert host.run("systemctl is-active microvm@vm2; systemctl is-enabled microvm@vm2").split() == [
        "active",
        "enabled",
    ]
