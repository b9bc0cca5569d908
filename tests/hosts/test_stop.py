# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stops of MicroVMs: the guest is asked, then its hypervisor is ended, then killed. The hypervisors are fakes."""

from __future__ import annotations

import re

from .host import Host
from .packages import STAY, fake
from .paths import CONSOLES, STATE

READY = "touch ready"
UNTIL_ASKED = "until [ -e asked ]; do sleep 0.1; done"


def begin(host: Host, *names: str) -> None:
    """Start MicroVMs and wait until their hypervisors are ready."""
    host.run("systemctl start " + " ".join(f"microvm@{name}" for name in names))
    host.run(f"cd {STATE}; for vm in {' '.join(names)}; do until [ -e $vm/work/ready ]; do sleep 0.1; done; done")


def last_words(host: Host, *names: str) -> dict[str, str]:
    """Return the last line of each MicroVM's journal, without the number of seconds."""
    return {name: re.sub(r"[0-9]+ s$", "N s", host.journal(name)[-1]) for name in names}


def test_each_step_of_a_stop_is_tried_and_the_last_line_names_the_one_that_worked(host: Host) -> None:
    deaf, limit = "trap '' TERM", "STOP_TIMEOUT=1\n"
    packages = {
        # The script that asks returns before the hypervisor ends.
        "polite": fake(READY, UNTIL_ASKED, microvm_shutdown="touch asked\n"),
        # The hypervisor ends while the script still waits.
        "prompt": fake(READY, UNTIL_ASKED, microvm_shutdown="touch asked; sleep 600\n"),
        "hung": fake(READY, STAY, microvm_shutdown="sleep 600\n"),
        "mute": fake(READY, STAY),
        "deaf": fake(deaf, READY, "while :; do sleep 1; done", microvm_shutdown="exit 3\n"),
    }
    host.install_packages(packages, dict.fromkeys(("hung", "deaf"), limit))
    begin(host, *packages)
    host.run("systemctl stop " + " ".join(f"microvm@{name}" for name in packages))
    assert set(host.states(f"microvm@{name}" for name in packages).values()) == {"inactive"}
    assert last_words(host, *packages) == {
        "polite": "MicroVM polite: stopped by the guest after N s",
        "prompt": "MicroVM prompt: stopped by the guest after N s",
        "hung": "MicroVM hung: stopped by SIGTERM after N s",
        "mute": "MicroVM mute: stopped by SIGTERM after N s",
        "deaf": "MicroVM deaf: stopped by SIGKILL after N s",
    }
    assert "MicroVM hung: the guest has not ended within 1 s" in host.journal("hung")
    assert "MicroVM deaf: the guest could not be asked, or has not ended (status 3)" in host.journal("deaf")


def test_a_guest_that_powered_off_before_the_stop_is_not_asked(host: Host) -> None:
    host.install_packages({"gone": fake(READY, microvm_shutdown="touch asked\n")})
    begin(host, "gone")
    host.wait_for_states({"microvm@gone": "inactive"})
    host.run("systemctl stop microvm@gone")
    assert host.journal("gone") == ["MicroVM gone has powered off and stays down"]
    host.run(f"! test -e {STATE}/gone/work/asked")


def test_stopped_microvms_leave_no_process_no_file_and_no_interface(host: Host) -> None:
    interfaces = {"share/microvm/tap-interfaces": "left-tap\n"}
    host.install_packages({"left": {**fake(READY, "sleep infinity &", "sleep infinity", "true"), **interfaces}})
    begin(host, "left")
    assert "left-tap" in host.traces() and "microvm-start left" in host.traces()
    host.stop_microvms()
    assert host.traces() == ""
    assert host.run(f"ls {CONSOLES} {STATE}/left/work").split() == [f"{CONSOLES}:", f"{STATE}/left/work:", "ready"]
