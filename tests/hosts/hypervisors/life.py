# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks of the life cycle: begun, configured, reached, ended in each way, updated, removed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from _microvm.hypervisors.profile import Profile

from ..paths import RECORDS, STORE
from . import ROOT
from .cells import Check, FellShort, NotRun
from .guest import SECRET, Guest, last_line
from .image import ASKED, FLUSHED

UPDATED = "examination.updated=1"
"""Parameter of the guest's kernel, by which an update is seen."""

MULTIPLEXED = "-o ProxyCommand='/usr/lib/systemd/systemd-ssh-proxy %h %p' -o ProxyUseFdpass=yes vsock-mux/"
"""Options of ssh, as `microvm ssh` has them, and the beginning of a destination behind a Unix socket."""

ENDED = "stopped by the guest after"
"""Part of the unit's message about a guest that has ended by itself when it was stopped."""

PARSERS = "tests/unit/parity/test_parsers.py"


def require(condition: object, reason: str) -> None:
    """Raise FellShort with the reason unless a condition holds."""
    if not condition:
        raise FellShort(reason)


def parser_accepts(guest: Guest) -> None:
    """All command lines of the parity cases are accepted: the tests that ask parsers run with the programs here."""
    if guest.profile.packages:
        raise NotRun("asked by the target qemu_parser of tests/integration")
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-rs", PARSERS, "-k", guest.profile.name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    errors = [line[2:].strip() for line in done.stdout.splitlines() if line.startswith("E ")]
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    require(done.returncode == 0, next(iter(errors), last_line(done.stdout))[:300])
    if skipped:
        raise NotRun(skipped[0].partition(": ")[2])


def boots(guest: Guest) -> None:
    """The guest has booted, and no unit of it has failed."""
    guest.up()
    guest.inside("systemctl is-system-running --wait > /dev/null; true")
    failed = guest.inside("systemctl list-units --failed --plain --no-legend --no-pager")
    require(not failed, f"units of the guest have failed: {failed}")


def is_unchanged(guest: Guest) -> None:
    """A second run would change nothing."""
    output = guest.host.microvm(f"apply /root/{guest.name}.json --check", timeout=300)
    require("would be changed" not in output, f"a second run would change the MicroVM: {last_line(output)}")


def is_configured(guest: Guest) -> None:
    """Name, machine ID, address and mount are the declared ones; whoever logs in does so by a declared key, and the
    guest shows the host key that its host has made."""
    guest.up()
    require(guest.microvm("ssh", "hostname").strip() == guest.name, "microvm ssh does not reach the guest")
    seen = guest.inside("hostname; cat /etc/machine-id; ip -brief -4 address show net0; findmnt -n -o TARGET /data")
    machine = guest.host.run(
        f'python3 -c \'import json; print(json.load(open("{guest.directory()}/current/share/microvm/declaration.json"))'
        '["machine_id"])\''
    ).strip()
    wanted = (guest.name, machine.replace("-", ""), f"{guest.address}/24", "/data")
    missing = [word for word in wanted if word not in seen]
    require(not missing, f"the guest does not have {', '.join(missing)}; it says: {' '.join(seen.split())}")


def has_secrets(guest: Guest) -> None:
    """A file of the host is a credential in the guest."""
    guest.up()
    seen = guest.inside(
        "cat /run/credentials/@system/exam.secret /run/credentials/@initrd/exam.secret 2>/dev/null; true"
    )
    require(SECRET in seen, "the credential is not in the guest")


def answers_by_vsock(guest: Guest) -> None:
    """SSH reaches the guest by its vsock."""
    if not guest.place.has_vsock:
        raise NotRun("the host has no vsock")
    guest.up()
    socket = guest.host.run(f"cat {guest.directory()}/current/share/microvm/vsock-socket 2> /dev/null || true").strip()
    destination = f"{MULTIPLEXED}{guest.directory()}/work/{socket}" if socket else f"vsock/{guest.cid}"
    done = guest.ssh(destination, "hostname")
    require(done.stdout.strip() == guest.name, f"ssh {destination}: {last_line(done.stdout)}")


def reboots(guest: Guest) -> None:
    """The guest reboots itself and is back."""
    guest.up()
    before = guest.boot_id()
    guest.end_by("systemctl reboot")
    guest.wait_for_boot(before)


def updates(guest: Guest) -> None:
    """A changed declaration restarts the guest, and is what runs then."""
    guest.up()
    guest.with_options({"kernel_params": [UPDATED]}).apply()
    require(UPDATED in guest.inside("cat /proc/cmdline"), "the guest runs as before the update")


def rolls_back(guest: Guest) -> None:
    """The package before is what runs then."""
    if UPDATED not in guest.try_inside("cat /proc/cmdline"):
        updates(guest)
    guest.microvm("rollback")
    require(UPDATED not in guest.inside("cat /proc/cmdline"), "the guest runs as before the rollback")


def ends_gracefully(guest: Guest) -> None:
    """The guest says on its console that it was asked to end, and ends by itself."""
    guest.up()
    since = guest.now()
    guest.microvm("stop")
    guest.wait_until_down()
    journal = guest.journal(since)
    require(ASKED in journal, f"the guest was not asked to end: {last_line(journal)}")
    require(ENDED in journal, f"the guest was asked, and did not end by itself: {last_line(journal)}")


def keeps_data(guest: Guest) -> None:
    """The volume has what the guest wrote, and did not flush, before it ended gracefully."""
    guest.up()
    guest.inside(f"test ! -e {FLUSHED}; sync")
    guest.microvm("stop")
    guest.wait_until_down()
    image = f"{guest.directory()}/work/data.img"
    seen = guest.host.run(f"debugfs -R 'cat /{Path(FLUSHED).name}' {image} 2>&1 || true")
    require("gracefully" in seen, f"the guest wrote while it ended, and its volume does not have it: {last_line(seen)}")


def ends_deaf(guest: Guest) -> None:
    """The guest hangs, is asked in vain, and is ended after the time that is declared."""
    guest.up()
    guest.with_options({"stop_timeout": 30}).apply()
    guest.end_by("echo 0 > /proc/sys/kernel/panic; echo c > /proc/sysrq-trigger")
    time.sleep(10)
    begin = time.monotonic()
    guest.host.run(f"systemctl stop {guest.unit} || true", timeout=300)
    guest.wait_until_down(60)
    require(time.monotonic() - begin < 120, f"the stop took {time.monotonic() - begin:.0f} s; stop_timeout was 30 s")
    guest.host.run(f"systemctl reset-failed {guest.unit} 2> /dev/null || true")
    guest.apply("present")


def survives_kill(guest: Guest) -> None:
    """The hypervisor is killed, and started again."""
    guest.up()
    before = guest.boot_id()
    guest.host.run(f"kill -KILL {' '.join(guest.processes())}")
    guest.wait_for_boot(before)


def survives_panic(guest: Guest) -> None:
    """The guest's kernel panics, and the guest is back."""
    guest.up()
    before = guest.boot_id()
    guest.end_by("echo c > /proc/sysrq-trigger")
    guest.wait_for_boot(before)


def powers_off(guest: Guest) -> None:
    """The guest powers off, and stays down."""
    guest.up()
    guest.end_by("systemctl poweroff")
    guest.wait_until_down()
    require("failed" not in guest.state(), f"the unit is {guest.state()}")


def starts_after_power_off(guest: Guest) -> None:
    """The guest powers off, and is started again, as `on_poweroff` says."""
    guest.up()
    guest.with_options({"on_poweroff": "restart"}).apply()
    before = guest.boot_id()
    guest.end_by("systemctl poweroff")
    guest.wait_for_boot(before)
    guest.apply()


def stays_down_after_reboot(guest: Guest) -> None:
    """The guest reboots, and stays down, as `on_reboot` says."""
    guest.up()
    guest.with_options({"on_reboot": "stop"}).apply()
    guest.end_by("systemctl reboot")
    guest.wait_until_down()
    guest.apply("present")


def is_ready_by(check: str) -> Check:
    """Return the check that a start ends when the guest is up according to a value of `ready.check`."""

    def check_readiness(guest: Guest) -> None:
        """The start waits until the guest is up, and not for longer."""
        if check in ("vsock", "notify") and not guest.place.has_vsock:
            raise NotRun("the host has no vsock")
        guest.down()
        sockets = {"use_notify_sockets": True} if check == "notify" else {}
        guest.with_options({"ready": {"check": check}, **sockets}).apply()
        guest.wait_for_boot("")

    return check_readiness


def is_removed(guest: Guest) -> None:
    """Nothing is left of the MicroVM."""
    guest.microvm("remove", "--yes", "--volumes", "delete", "--confirm", "data.img")
    left = guest.host.run(
        f"ls -d {guest.directory()} {RECORDS}/{guest.name}.json {STORE}/*-{guest.name} 2> /dev/null;"
        f"ls -A {guest.directory()} 2> /dev/null; getent passwd microvm-{guest.name}; true"
    )
    require(not left.strip(), f"the removal leaves {' '.join(left.split())}")


def has_credentials(profile: Profile) -> bool:
    """Return whether secrets reach the guest at all."""
    return profile.credentials is not None
