# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``accel: auto`` boots a kernel that is declared: QEMU, taken over by it, is held, and check mode boots nothing."""

from __future__ import annotations

import json
import shlex
import struct
import time

import pytest

from ..host import Host
from ..paths import FLEET, RUNTIME, SETTINGS, STATE, UNITS

COMMAND = "/usr/local/bin/microvm"
CACHE = f"{RUNTIME}/accelerator.json"
KERNEL = "/srv/secret/kernel"
DECLARED = {
    "name": "guest",
    "hypervisor": "qemu",
    "mem": 64,
    "kernel": KERNEL,
    "interfaces": [],
    "state": "present",
    "isolation": "shared",
}

PLACES = (
    "/",
    "/etc",
    "/usr/local/bin",
    "/root",
    "/var",
    "/var/tmp",
    "/tmp",
    "/dev",
    "/dev/shm",
    "/dev/mqueue",
    "/opt",
    "/srv",
)

TAKEN_OVER = f"""#!/bin/bash
case "$*" in *-version*) echo "QEMU emulator version 10.0.0"; exit ;; esac
tries=0 broke=0
attempt() {{
    tries=$((tries + 1))
    if "$@" > /dev/null 2>&1; then broke=$((broke + 1)) && echo "BROKE: $*"; fi
}}
for place in {" ".join(PLACES)} /run /run/systemd {RUNTIME} {STATE} {FLEET} {SETTINGS} {UNITS} /sys/fs/cgroup; do
    attempt touch "$place/planted"
done
for file in /etc/shadow /srv/secret/other {CACHE} /root/.ssh/authorized_keys; do attempt cat "$file"; done
for directory in /srv/secret /root {FLEET} {STATE} /var/lib/dpkg /proc/1; do attempt ls "$directory"; done
for socket in /run/systemd/journal/socket /run/systemd/private /run/dbus/system_bus_socket /run/systemd/notify; do
    attempt test -e "$socket"
done
for device in /dev/net/tun /dev/fuse /dev/vhost-net /dev/loop-control /dev/tty; do attempt sh -c ": < $device"; done
attempt sh -c 'ip link | grep -v "lo:" | grep -q UP'
attempt socat -u /dev/null TCP:198.18.0.11:22
attempt test "$(id -u)" -eq 0
attempt grep -qE '^Cap(Inh|Prm|Eff|Bnd|Amb):.*[1-9a-f]' /proc/self/status
attempt grep -q '^NoNewPrivs:.*0' /proc/self/status
attempt unshare -Ur true
attempt kill -0 1
for descriptor in 0 1 2; do attempt test -t $descriptor; done
(setsid sh -c 'trap "" TERM HUP; sleep 4331; sleep 4332' < /dev/null > /dev/null 2>&1 &)
kernel=$(cat /run/kernel)
echo "tries: $tries"
if [ "$broke" -eq 0 ] && [ "$kernel" = declared ] && : <> /dev/kvm; then echo "Linux version: held"; fi
"""

CONFINED = f"""
import sys
sys.path.insert(0, "{COMMAND}")
from _microvm.host.transient import run_confined
print(run_confined("test", ["/usr/local/bin/qemu-system-x86_64"], 20, ["DeviceAllow=/dev/kvm rw"]).text)
"""
"""Prints what the attacks print, which the accelerator is not interested in."""

FLOOD = """#!/bin/sh
case "$*" in *-version*) echo "QEMU emulator version 10.0.0"; exit ;; esac
exec yes
"""

BASE = 0x100000
"""Address of the kernel in the guest's memory."""


def saying(words: bytes) -> bytes:
    """Return a kernel of 512 bytes (ELF, with the note of PVH) that prints words on the serial line, and halts."""
    entry, text = BASE + 0xE0, BASE + 0x100
    code = bytes.fromhex("fafcbe") + struct.pack("<I", text) + bytes.fromhex("66baf803ac84c07403eeebf8f4ebfd")
    note = struct.pack("<III4sQ", 4, 8, 18, b"Xen\0", entry)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, entry, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 7, 0, BASE, BASE, 0x200, 0x200, 0x1000)
    notes = struct.pack("<IIQQQQQQ", 4, 4, 0xC0, BASE + 0xC0, BASE + 0xC0, len(note), len(note), 4)
    return ((header + load + notes).ljust(0xC0, b"\0") + note).ljust(0xE0, b"\0") + (
        code.ljust(0x20, b"\0") + words
    ).ljust(0x120, b"\0")


@pytest.fixture
def declared(host: Host) -> str:
    """Declaration of a MicroVM whose kernel only its user can read, on a host that has tried no kernel yet."""
    host.run(f"rm -f {CACHE}; mkdir -p /srv/secret; echo declared > {KERNEL}; echo x > /srv/secret/other")
    host.run(f"chgrp microvm /srv/secret {KERNEL}; chmod 0710 /srv/secret; chmod 0600 /srv/secret/other")
    host.run(f"chmod 0640 {KERNEL}; test -e /dev/kvm")
    host.send("/root", {"auto.json": json.dumps(DECLARED)})
    return "/root/auto.json"


def accelerator(host: Host) -> str:
    """Return the accelerator of the package that is installed."""
    return host.run(f"grep -o 'accel=[a-z]*' {STATE}/guest/current/bin/microvm-run | head -n 1").strip()


def test_a_hypervisor_that_the_kernel_has_taken_over_is_held(host: Host, declared: str) -> None:
    host.send("/usr/local/bin", {"qemu-system-x86_64": TAKEN_OVER})
    try:
        predicted = host.microvm(f"apply --check {declared}")
        assert "decided by the first run that is not in check mode" in predicted
        host.run(f"test ! -e {CACHE}")
        host.microvm(f"apply {declared}")
        print(host.run(f"python3 -c {shlex.quote(CONFINED)}"))
        # It prints a kernel's first words if nothing that it has tried succeeded.
        assert accelerator(host) == "accel=kvm"
        assert host.run("pgrep -af '[s]leep 433[0-9]' || true") == ""
        left = f"systemctl list-units --all --no-legend 'microvm-accelerator*'; ls {RUNTIME} | grep accelerator-; true"
        assert host.run(left) == ""
        assert "decided by" not in host.microvm(f"apply --check {declared}")
    finally:
        host.run("rm /usr/local/bin/qemu-system-x86_64")


@pytest.mark.parametrize("content", ["{", "null", "[]", "[" * 50_000, '{"x": 1}', "x" * 100_000])
def test_a_corrupt_answer_is_asked_for_again(host: Host, declared: str, content: str) -> None:
    host.send("/usr/local/bin", {"qemu-system-x86_64": FLOOD})
    host.send(RUNTIME, {"accelerator.json": content})
    begin = time.monotonic()
    try:
        host.microvm(f"apply {declared}")
    finally:
        host.run("rm /usr/local/bin/qemu-system-x86_64")
    # A kernel that says nothing is given 20 s.
    assert time.monotonic() - begin < 20
    assert accelerator(host) == "accel=tcg"
    assert set(json.loads(host.run(f"cat {CACHE}")).values()) == {"tcg"}


QEMU = (
    "/usr/bin/qemu-system-x86_64 -M microvm,accel={accel},acpi=on,pic=off,pit=off,rtc=on -cpu {cpu} -m 256M -nodefaults"
    " -no-user-config -no-reboot -nographic -serial stdio"
)


def test_the_answer_in_the_sandbox_is_that_of_root(host: Host, declared: str) -> None:
    host.send("/srv/secret", {"kernel": saying(b"Linux version 0.0\r\n")})
    boot = f"{QEMU.format(accel='kvm', cpu='host')} -kernel {KERNEL}"
    runs = "Linux version 0.0" in host.run(f"timeout 10 {boot} < /dev/null || true")
    print(f"KVM of this machine runs the kernel: {runs}")
    host.microvm(f"apply {declared}")
    assert accelerator(host) == ("accel=kvm" if runs else "accel=tcg")


def test_qemu_runs_in_the_sandbox(host: Host) -> None:
    host.send("/srv", {"kernel": saying(b"Linux version 0.0\r\n")})
    # A translator of whose code no page is both written and executed, as KVM needs none.
    words = [*QEMU.format(accel="tcg", cpu="max").split(), "-accel", "tcg,split-wx=on", "-kernel", "/run/kernel"]
    words = [word.replace("accel=tcg,", "") for word in words]
    confined = f"""
import sys
sys.path.insert(0, "{COMMAND}")
from _microvm.host.transient import run_confined
print(run_confined("test", {words}, 20, ["BindReadOnlyPaths=/srv/kernel:/run/kernel"], b"version 0.0"))
"""
    output = host.run(f"chmod 0644 /srv/kernel; python3 -c {shlex.quote(confined)}; rm /srv/kernel")
    assert "Linux version 0.0" in output, output


ASKED = """#!/bin/sh
for place in /etc /root /srv /tmp /run /var/lib; do : > "$place/planted"; done
echo "QEMU emulator version 10.0.0"
"""


def test_a_declared_program_is_asked_for_its_version_in_the_sandbox(host: Host, declared: str) -> None:
    host.send("/opt/hypervisor/bin", {"qemu-system-x86_64": ASKED})
    declaration = {**DECLARED, "accel": "tcg", "qemu": {"package": "/opt/hypervisor"}}
    host.send("/root", {"path.json": json.dumps(declaration)})
    host.microvm("apply --check /root/path.json")
    host.microvm("apply /root/path.json")
    assert host.run("find /etc /root /srv /tmp /run /var/lib -maxdepth 1 -name planted; rm -r /opt/hypervisor") == ""
