# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that the host starts its MicroVMs when it boots."""

from __future__ import annotations

from .fleet import FLEET, Fleet
from .host import Host, active


def test_microvms_run_again_after_a_start_of_the_host_unless_they_are_not_to(host: Host, fleet: Fleet) -> None:
    fleet.apply([{**vm, "autostart": vm["name"] != "vm3"} for vm in FLEET])
    host.reboot()
    units = [f"microvm@{vm['name']}.service" for vm in FLEET]
    host.wait_for_states(active(units) | {"microvm@vm3.service": "inactive"}, 120)
