# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Block devices as volumes: a real one (a loop device), the kernel's access lists and the unit's own device filter."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from .fleet import Declaration, Fleet, declaration
from .host import ROOT, Host
from .packages import STAY, fake
from .paths import STATE, UNITS

DEVICE, OTHER = "/dev/vg13/data", "/dev/other13"
USER = "microvm-vm7"

HYPERVISOR = f"""\
#!/bin/sh
case "$*" in *-version*) echo "QEMU emulator version 10.0.0"; exit ;; esac
for device in {DEVICE} {OTHER}; do
    if dd if=$device of=/dev/null count=1; then echo "$device opened"; else echo "$device denied"; fi
done > seen 2> errors
dd if=/dev/zero of={DEVICE} bs=512 seek=8000 count=1 conv=notrunc && echo written >> seen
exec sleep infinity
"""

SETFACL = """\
#!/usr/bin/python3
import os, re, struct, sys
NAME, ANY = "system.posix_acl_access", 0xffffffff
action, entry, _dash, path = sys.argv[1:]
_user, number, *access = entry.split(":")
entries = [(1, 6, ANY), (4, 6, ANY), (0x10, 6, ANY), (0x20, 0, ANY)]
if action == "--modify":
    entries.insert(1, (2, {"r": 4, "rw": 6}[access[0]], int(number)))
    os.setxattr(path, NAME, struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries))
elif NAME in os.listxattr(path):
    os.removexattr(path, NAME)
"""
"""What setfacl(1) does, for devices that one user is given: the package acl is not on the hosts of the test bed."""

MAKE = f"""\
set -e
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
number=$(losetup --find | tr -dc 0-9)
[ -e /dev/loop$number ] || mknod /dev/loop$number b 7 $number
chown root:disk /dev/loop$number && chmod 0660 /dev/loop$number
truncate -s 16M /srv/disk13.img && losetup /dev/loop$number /srv/disk13.img
mkdir -p /dev/vg13 && ln -s ../loop$number {DEVICE}
mknod -m 0666 {OTHER} b 7 $((number + 1))
"""
"""Makes a logical volume, as far as a MicroVM can see it, and another device that any user may open."""


@pytest.fixture
def disk(host: Host) -> Iterator[Host]:
    """Host with a blank block device."""
    host.send("/usr/local/bin", {"qemu-system-x86_64": HYPERVISOR, "setfacl": SETFACL})
    host.run(MAKE)
    yield host
    host.run(f"losetup --detach $(readlink -f {DEVICE}); rm -rf /dev/vg13 {OTHER} /srv/disk13.img")
    host.run("rm /usr/local/bin/qemu-system-x86_64 /usr/local/bin/setfacl")


def vm(**options: object) -> Declaration:
    """Return a MicroVM that has the device."""
    volume = {"image": DEVICE, "auto_create": False, "fs_type": "ext4", "label": "data13", **options}
    return declaration(7, state="started", volumes=[volume])


def identity(host: Host) -> str:
    """Return the UUID of the file system on the device, and its label."""
    return host.run(f"blkid --probe --output value --match-tag UUID {DEVICE}; e2label {DEVICE}")


def may_open(host: Host, user: str) -> bool:
    """Return whether the access list of the device has a user."""
    test = f"setpriv --reuid={user} --clear-groups test -w {DEVICE}"
    return host.run(f"{test} && echo yes || echo no").strip() == "yes"


@pytest.mark.parametrize("profile", ["strict", "compat"])
def test_a_blank_device_is_formatted_once_and_given_to_one_microvm_while_it_runs(disk: Host, profile: str) -> None:
    file = Fleet(disk).declare("disk.json", [{**vm(format="if_blank"), "profile": profile}])
    disk.microvm(f"apply {file}")
    seen = f"{STATE}/vm7/work/seen"
    disk.wait_for(
        "end of the probe", lambda: disk.run(f"cat {seen} 2>&1 || true").splitlines(), lambda seen: len(seen) == 3
    )
    assert disk.run(f"cat {seen}").splitlines() == [f"{DEVICE} opened", f"{OTHER} denied", "written"]
    made = identity(disk)
    assert made.split()[1] == "data13"
    assert (may_open(disk, USER), may_open(disk, "nobody")) == (True, False)
    disk.microvm("restart vm7")
    assert identity(disk) == made
    disk.microvm("stop vm7")
    disk.wait_for("end of the access", lambda: may_open(disk, USER), lambda may: not may)
    disk.microvm("remove vm7 --volumes delete --yes")
    assert identity(disk) == made
    assert disk.run(f"stat -L -c '%F %U:%G %a' {DEVICE}") == "block special file root:disk 660\n"


def test_a_device_with_data_or_a_mount_is_left_alone(disk: Host) -> None:
    # Beyond the first signatures that any program looks for, so that only the first bytes tell.
    disk.run(f"printf secret | dd of={DEVICE} bs=1 seek=100 conv=notrunc status=none")
    before = disk.run(f"head -c 4096 {DEVICE} | sha256sum")
    file = Fleet(disk).declare("disk.json", [vm(format="if_blank")])
    disk.microvm(f"apply {file}")
    assert "has data without a known signature" in "\n".join(disk.journal("vm7"))
    assert disk.run(f"head -c 4096 {DEVICE} | sha256sum") == before
    disk.microvm("stop vm7")
    disk.run(f"mkfs.ext4 -q -F {DEVICE} && mkdir -p /run/media13 && mount {DEVICE} /run/media13")
    assert "is mounted on the host, at /run/media13" in disk.microvm("start vm7 2>&1; journalctl -b -n 40 -o cat", 0)
    disk.run("umount /run/media13 && rmdir /run/media13")


def test_a_rule_and_a_drop_in_give_a_device_to_a_package_without_a_declaration(disk: Host) -> None:
    """Hosts of the test bed have no udev: the rule is verified, and the test does what it says."""
    page = (ROOT / "docs" / "guests.md").read_text().partition("### Devices of packages without a declaration")[2]
    rule, drop_in = (re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)[0] for language in ("udev", "ini"))
    disk.send("/root", {"db.rules": rule})
    disk.run("udevadm verify --no-style /root/db.rules")
    owner, group, mode = (re.findall(rf'{key}="([^"]*)"', rule)[0] for key in ("OWNER", "GROUP", "MODE"))
    number = disk.run(f"readlink -f {DEVICE}").strip()
    disk.run(f"chown {owner}:{group} {number} && chmod {mode} {number}")
    probe = f"if head -c 512 {DEVICE} > /dev/null; then echo opened > seen; else echo denied > seen; fi"
    disk.send("/root/db", fake(probe, STAY))
    disk.microvm("create db --package /root/db")
    directory, seen = f"{UNITS}/microvm@db.service.d", f"cat {STATE}/db/work/seen 2> /dev/null || true"
    for expected in ("denied", "opened"):
        disk.microvm("restart db")
        disk.wait_for("end of the probe", lambda: disk.run(seen).strip(), bool)
        assert disk.run(seen).strip() == expected
        disk.send(directory, {"60-db.conf": drop_in.replace("/dev/vg0/db", DEVICE)})
        disk.run(f"chmod 0644 {directory}/60-db.conf; systemctl daemon-reload; rm {STATE}/db/work/seen")
