# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts of the host on which file systems, bridges and secrets come later than the MicroVMs that need them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .fleet import Fleet, declaration
from .host import Host, active
from .packages import echoing
from .paths import UNITS

RELEASED = "/run/released"
"""File that whatever is late waits for: the test creates it when it has seen the MicroVMs wait."""
LATE = f"""\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=sh -c 'until [ -e {RELEASED} ]; do sleep 0.1; done'
ExecStart=sh -c 'ip link add late0 type bridge && ip link set late0 up'
ExecStart=sh -c 'mkdir -m 0700 /run/vault && echo secret > /run/vault/key'
[Install]
WantedBy=multi-user.target
"""
MOUNT = """\
[Unit]
# As nofail of fstab(5): nothing but what uses it waits for it.
DefaultDependencies=no
Requires=late.service
After=late.service
Conflicts=umount.target
Before=umount.target
[Mount]
What=/srv/nas
Where=/mnt/late
Type=none
Options=bind
"""
NEEDED = "/var/lib/needed"
DATABASE = f"""\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=sh -c 'until [ -e {RELEASED} ]; do sleep 0.1; done; touch {NEEDED}'
"""


@pytest.fixture(name="late")
def _late(host: Host) -> Iterator[None]:
    """Make what is late, at once for now."""
    host.send(UNITS, {"late.service": LATE, "mnt-late.mount": MOUNT, "needed.service": DATABASE})
    host.run(f"mkdir -p /srv/nas; touch {RELEASED}; systemctl daemon-reload; systemctl enable -q --now late.service")
    host.run("systemctl start mnt-late.mount")
    yield
    host.stop_microvms()
    host.run(
        "systemctl disable -q --now mnt-late.mount needed.service late.service; ip link delete late0;"
        f"rm -rf {UNITS}/late.service {UNITS}/mnt-late.mount {UNITS}/needed.service /run/vault /srv/nas {NEEDED}"
    )


def vm(name: str, **options: object) -> dict[str, object]:
    """Return the declaration of a MicroVM of another name."""
    return {**declaration(0, **options), "name": name}


LATE_FLEET = [
    vm("disk", volumes=[{"image": "/mnt/late/disks/data.img", "size": 8}]),
    vm("files", shares=[{"proto": "virtiofs", "tag": "a", "source": "/mnt/late/files", "mount_point": "/a"}]),
    vm("lan", interfaces=[{"bridge": "late0"}]),
    vm("key", credential_files={"key": "/run/vault/key"}),
    vm("own", shares=[{"tag": "a", "source": "/run/own/files", "mount_point": "/a"}]),
    vm("unit", requires=["needed.service"], volumes=[{"image": NEEDED, "auto_create": False, "read_only": True}]),
]


def test_what_comes_late_is_waited_for(host: Host, fake_qemu: None, late: None) -> None:
    fleet, halted = Fleet(host), vm("halted", state="stopped")
    host.run(f"touch {NEEDED}")
    fleet.apply([*LATE_FLEET, halted])
    units = [f"microvm@{declared['name']}" for declared in LATE_FLEET]
    host.wait_for_states(active(units))
    host.run(f"rm {NEEDED}; rmdir /mnt/late/disks 2>/dev/null; true")
    waits = "until [ $(systemctl list-jobs --no-legend 'microvm@*' | grep -c waiting) = 5 ] &&"
    host.reboot(
        meanwhile=f"{waits} systemctl is-active -q microvm@own; do sleep 0.1; done; "
        f"systemctl is-active microvm-wait@lan microvm-wait@key mnt-late.mount > /root/states; touch {RELEASED}"
    )
    host.wait_for_states(active([*units, "mnt-late.mount"]) | {"microvm@halted": "inactive"}, 60)
    assert host.run("cat /root/states").split() == ["activating", "activating", "inactive"]
    assert host.run("stat -c %U /run/own/files").strip() == "microvm-own"
    assert host.run("ls /sys/class/net/late0/brif").strip() != ""
    host.run("test -e /srv/nas/disks/data.img")
    assert host.run("systemctl list-units --failed --plain --no-legend") == ""
    fleet.assert_unchanged(fleet.declare("fleet.json", [*LATE_FLEET, halted]))
    # Daemons and hypervisors leave a file system before it goes.
    host.run("systemctl stop mnt-late.mount")
    assert host.states(["microvm@disk", "microvm@files", "microvm-virtiofsd@files"]) == {
        "microvm@disk": "inactive",
        "microvm@files": "inactive",
        "microvm-virtiofsd@files": "inactive",
    }


def test_what_does_not_come_is_named_after_a_while(host: Host, fake_qemu: None) -> None:
    host.run("mkdir -m 0700 /root/vault && echo secret > /root/vault/key")
    declared = vm("key", credential_files={"key": "/root/vault/key"}, wait_timeout=1)
    fleet = Fleet(host)
    fleet.apply([{**declared, "state": "stopped"}])
    host.run("mv /root/vault/key /root/vault/other")
    host.run("systemctl start microvm@key", 1, timeout=60)
    assert host.states(["microvm-wait@key"]) == {"microvm-wait@key": "failed"}
    assert "missing after 1 s (wait_timeout): /root/vault/key" in "\n".join(host.messages("-t microvm-wait@key"))
    host.run("mv /root/vault/other /root/vault/key; systemctl start microvm@key; rm -r /root/vault")
    assert host.states(["microvm@key"]) == active(["microvm@key"])


def test_a_stop_ends_the_wait_and_is_no_failure(host: Host, fake_qemu: None) -> None:
    host.run("echo secret > /root/key")
    Fleet(host).apply([vm("key", credential_files={"key": "/root/key"}, state="stopped")])
    host.run("rm /root/key; systemctl start --no-block microvm@key")
    host.wait_for_states({"microvm-wait@key": "activating"})
    host.run("systemctl stop microvm@key", timeout=60)
    assert host.states(["microvm@key", "microvm-wait@key"]) == {
        "microvm@key": "inactive",
        "microvm-wait@key": "inactive",
    }


def test_drop_ins_of_operators_stay_whatever_happens_to_ours(host: Host, fake_qemu: None) -> None:
    """The last share goes, another package is installed, rolled back and updated, and the MicroVM is removed."""
    units = ("microvm@web", "microvm-virtiofsd@web", "microvm-wait@web", "microvm-tap-interfaces@web")
    own = " ".join(f"{UNITS}/{unit}.service.d/60-local.conf" for unit in units)
    host.run(f"for file in {own}; do mkdir -p ${{file%/*}} && echo '[Service]' > $file; done; systemctl daemon-reload")
    fleet, share = Fleet(host), {"proto": "virtiofs", "tag": "a", "source": "/srv", "mount_point": "/a"}
    host.send("/root/one", echoing("one"))
    host.send("/root/two", echoing("two"))
    # Ours has a user of its own, those of others have not.
    for shares in ([share], []):
        fleet.apply([vm("web", shares=shares, isolation="shared")])
    host.microvm("rollback web")
    for package in ("one", "two"):
        host.microvm(f"update web --package /root/{package}")
    host.microvm("rollback web")
    host.microvm("remove web --yes")
    host.run(f"ls {own}")
    assert host.run(f"ls {UNITS}/microvm*@web.service.d").count("conf") == len(units)
