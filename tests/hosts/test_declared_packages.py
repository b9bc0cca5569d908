# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""MicroVMs that are declared by packages which were made elsewhere. The guests of the packages are fakes that echo."""

from __future__ import annotations

from .fleet import Fleet
from .host import Host
from .packages import echoing


def test_a_declared_package_is_installed_updated_rolled_back_and_removed(host: Host) -> None:
    fleet = Fleet(host)
    web = {"name": "web", "runner": "/root/package", "autostart_order": 20}
    host.run("rm -rf /root/package")
    file = fleet.declare("web.json", [web])
    assert "web.json: " in host.microvm(f"validate {file}")
    assert "runner: /root/package is not a runner package" in host.microvm(f"apply {file} --check", 1)
    host.send("/root/package", echoing("one"))
    fleet.apply([web])
    info = host.info("web")
    assert (info["state"], info["generation"], info["foreign"]) == ("active", 1, False)
    assert "enabled" in host.run("systemctl is-enabled microvm@web")
    host.send("/root/package", echoing("two"))
    shown = host.microvm(f"apply {file} --check --diff")
    assert "+file: bin/microvm-run " in shown and "restart" in shown
    fleet.apply([web])
    assert host.info("web")["generation"] == 2
    assert "rolled back to generation 1" in host.microvm("rollback web")
    assert "microvm generations web --good 2" in host.microvm(f"apply {file}", 1)
    assert host.info("web")["generation"] == 1
    other = fleet.declare("other.json", [{**web, "mem": 1024}])
    assert "mem: is decided by the package" in host.microvm(f"apply {other}", 1)
    host.microvm("remove web --yes")
