# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real virtual machines: each has a kernel, an IOMMU and a KVM of its own, and leaves nothing."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Iterator

import pytest

from .. import cgroup, requirements, ssh, vm
from ..commands import BedError
from ..paths import Bed
from .operations import TESTBED, command, leftovers

pytestmark = pytest.mark.testbed

BED = Bed("vm-bed")
UP = ("up", "2", "--kind", "vm", "--name", BED.name)
IOMMU_GROUPS = """
import json, pathlib
groups = pathlib.Path("/sys/kernel/iommu_groups").glob("*/devices")
print(json.dumps([sorted(device.name.removeprefix("0000:") for device in group.iterdir()) for group in groups]))
"""
"""Program that prints the devices of each IOMMU group."""

FIRMWARE = r"""
code = b"\xb0\x10\xe6\xf4\xf4"  # mov al, 16; out 0xf4, al; hlt
open("/run/firmware", "wb").write((b"\xf4" * 0xFFF0 + code).ljust(0x10000, b"\xf4"))
"""
"""Program that writes a guest: when it has run, QEMU's debugging device ends QEMU with status 33."""

GUEST = "-machine q35,accel=kvm -cpu host -m 16 -bios /run/firmware -device isa-debug-exit,iobase=0xf4"


@pytest.fixture(scope="module", autouse=True)
def _hosts() -> Iterator[None]:
    """Two hosts at once, for all tests; afterwards nothing is left."""
    try:
        requirements.check()
        vm.check(vm.SUITE, 2)
    except BedError as error:
        pytest.skip(str(error))
    command("down", "--name", BED.name)
    command(*UP, seconds=1800)
    yield
    command("down", "--name", BED.name)
    assert leftovers(BED) == []


def on_host(line: str, number: int = 1, status: int = 0) -> str:
    """Return what the shell prints for ``line`` on a host."""
    return command("ssh", "--name", BED.name, f"host{number}", line, status=status)


def python(program: str) -> str:
    """Return the command that runs a program of Python."""
    return f"python3 -c {shlex.quote(program)}"


def test_a_host_is_a_debian_server_with_what_roles_install() -> None:
    facts = "systemctl is-system-running; . /etc/os-release; echo $VERSION_CODENAME; hostname; systemd-detect-virt"
    assert on_host(facts).split() == ["running", vm.SUITE, "host1", "qemu"]
    on_host("systemctl is-active systemd-networkd && python3 -c 'import apt, pyroute2' && qemu-system-x86_64 --version")


def test_a_thawed_host_has_the_time_of_now() -> None:
    """Its state may be months old."""
    begin = time.time()
    seen = float(on_host("date +%s.%N"))
    assert begin - 5 < seen < time.time() + 1


def test_a_guest_runs_with_kvm_to_its_end() -> None:
    on_host(f"{python(FIRMWARE)} && timeout 120 qemu-system-x86_64 -nodefaults -display none {GUEST}", status=33)


def test_devices_are_in_the_documented_iommu_groups() -> None:
    groups = json.loads(on_host(python(IOMMU_GROUPS)))
    for expected in (
        ["01:00.0"],
        ["02:00.0"],
        ["03:00.0"],
        ["04:00.0", "04:00.1"],
        ["05:00.0"],
        ["00:10.5", "06:00.0"],
    ):
        assert expected in groups
    assert any({"08:01.0", "08:02.0"} <= set(group) for group in groups)


def test_modules_can_be_loaded_and_devices_are_real() -> None:
    on_host("modprobe --all vfio-pci vhost_net vhost_vsock macvtap dummy && test -c /dev/vfio/vfio")
    on_host("cd /sys/bus/pci/devices/0000:05:00.0 && echo 2 > sriov_numvfs && test -e virtfn1 && echo 0 > sriov_numvfs")


def test_hosts_of_one_state_are_different_hosts() -> None:
    """They reach each other on the bed's bridge, and do not draw the same random numbers."""
    on_host(f"timeout 20 bash -c '< /dev/tcp/{BED.host(2).address}/22'")
    facts = "hostname; cat /sys/class/net/host0/address /proc/sys/kernel/random/uuid"
    assert not set(on_host(facts).split()) & set(on_host(facts, 2).split())


def test_a_second_up_changes_nothing_and_a_broken_host_is_made_anew() -> None:
    on_host("touch /run/kept")
    (BED.host(2).cgroup / "payload/cgroup.kill").write_text("1", encoding="ascii")
    assert cgroup.wait_until_empty(BED.host(2).cgroup, 60)
    command(*UP)
    on_host("test -e /run/kept")
    on_host("true", 2)


def test_a_host_reboots_as_the_same_host() -> None:
    """What it has on its disk, name, address and keys among it, outlives the reboot."""
    boot = "cat /proc/sys/kernel/random/boot_id"
    before = on_host(f"touch /root/kept; {boot}", 2)
    ssh.probe(BED.host(2), ["systemctl reboot"])
    end = time.monotonic() + 600
    while (seen := ssh.probe(BED.host(2), [boot]).stdout) in ("", before):
        assert time.monotonic() < end, seen
        time.sleep(0.5)
    assert on_host("systemctl is-system-running --wait; hostname; ls /root", 2).split() == ["running", "host2", "kept"]


@pytest.mark.parametrize("seconds", [0.3, 1.5])
def test_up_may_be_killed_at_any_moment(seconds: float) -> None:
    bed = Bed("vm-killed")
    process = subprocess.Popen([TESTBED, "up", "1", "--kind", "vm", "--name", bed.name], stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.kill()
    process.wait()
    command("down", "--name", bed.name)
    assert leftovers(bed) == []
