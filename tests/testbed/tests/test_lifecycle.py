# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real hosts: they boot, they can be reached, and whatever is killed when, nothing is left."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .. import cgroup, ssh
from ..paths import Bed
from .operations import TESTBED, command, leftovers

pytestmark = pytest.mark.testbed

BED = Bed("lifecycle")
HOST = BED.host(1)
BOOT = "systemctl show --property=UserspaceTimestampMonotonic"
"""Prints on a host what another start of it would not."""


def up() -> None:
    """Bed with a running host."""
    command("up", "1", "--name", BED.name)


def down() -> None:
    """Bed without a running host."""
    command("down", "--name", BED.name)


def on_host(line: str) -> str:
    """Return what the shell prints for ``line`` on the host."""
    return command("ssh", "--name", BED.name, "host1", line)


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Every test begins and ends with nothing, which is also what every test proves of ``down``."""
    down()
    yield
    down()
    assert leftovers(BED) == []


@pytest.mark.parametrize("suite", ["trixie", "bookworm"])
def test_a_host_is_a_debian_server(suite: str) -> None:
    """All units start, apt works from the local repository, nothing leads out, and a second `up` changes nothing."""
    command("up", "1", "--name", BED.name, "--suite", suite)
    assert on_host("systemctl is-system-running; . /etc/os-release; echo $VERSION_CODENAME; hostname").split() == [
        "running",
        suite,
        "host1",
    ]
    boot = on_host(f"{BOOT}; echo kept > /root/marker")
    on_host("apt-get -q update && apt-get -qy install socat >/dev/null && socat -V >/dev/null")
    command("ssh", "--name", BED.name, "host1", "timeout 20 socat - TCP:192.0.2.1:80", status=1)
    command("up", "1", "--name", BED.name, "--suite", suite)
    assert on_host(f"{BOOT}; cat /root/marker") == boot + "kept\n"


CAPABILITIES = {
    *("audit_control", "audit_write", "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "ipc_lock"),
    *("ipc_owner", "kill", "lease", "linux_immutable", "mknod", "net_admin", "net_bind_service", "net_broadcast"),
    *("net_raw", "setfcap", "setgid", "setpcap", "setuid", "sys_admin", "sys_boot", "sys_chroot", "sys_nice"),
    *("sys_ptrace", "sys_resource", "sys_tty_config"),
}
"""All that a host may have. The machine may lack some of them."""

LIBRARY = "import ctypes, sys, time; library = ctypes.CDLL(None); sys.exit(%s == -1)"
ATTACKS = {
    "set the clock": "date --set=@$(date +%s)",
    "set the clock by a system call": "python3 -c 'import time; time.clock_settime(time.CLOCK_REALTIME, time.time())'",
    "shift the clock": "python3 -c '%s'" % (LIBRARY % "library.adjtimex((ctypes.c_long * 64)(0x0100))"),
    "load a module": "python3 -c '%s'" % (LIBRARY % 'library.syscall(313, 0, b"", 0)'),
    "read the messages of the kernel": "python3 -c '%s'" % (LIBRARY % "library.klogctl(10, 0, 0)"),
    "reach the ports of devices": "python3 -c '%s'" % (LIBRARY % "library.iopl(3)"),
    "read the memory": "mknod /root/mem c 1 1; head -c 1 /root/mem | grep -q .",
    "record the ends of processes": "touch /root/ends; python3 -c '%s'" % (LIBRARY % 'library.acct(b"/root/ends")'),
}
"""Lines that must fail on a host. One that succeeds does no harm: the clock is set to what it is."""


def test_hosts_have_no_power_over_the_machine() -> None:
    """A host has the capabilities that tests of the product need, and cannot set the clock that it shares."""
    up()
    names = on_host("capsh --decode=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/1/status)")
    capabilities = {name.removeprefix("cap_") for name in names.strip().partition("=")[2].split(",")}
    print(f"capabilities of a host: {', '.join(sorted(capabilities))}")
    assert capabilities <= CAPABILITIES
    outputs = {attack: on_host(f"({line}) >/dev/null 2>&1 && echo succeeded; true") for attack, line in ATTACKS.items()}
    print(f"tries of a host to reach the machine: {len(outputs)}")
    assert {attack for attack, output in outputs.items() if output} == set()


def test_beds_stand_side_by_side() -> None:
    up()
    command("up", "1", "--name", "lifecycle-2")
    try:
        on_host("touch /root/here")
        assert command("ssh", "--name", "lifecycle-2", "host1", "ls /root") == ""
        assert on_host("ls /root") == "here\n"
    finally:
        command("down", "--name", "lifecycle-2")


def test_hosts_power_off_in_order() -> None:
    """`down` lets units stop: what a unit writes when it stops arrives."""
    up()
    stop = "ExecStop=sh -c 'echo stopped >> /root/stops'"
    on_host(f"touch /root/stops; systemd-run --quiet --property={shlex.quote(stop)} sleep infinity")
    # What is open can be read when it has been deleted.
    with (HOST.upper / "root" / "stops").open(encoding="ascii") as stops:
        down()
        assert stops.read() == "stopped\n"


def test_hosts_reboot() -> None:
    """A host comes back by itself, with what it had on its disk."""
    up()
    before = on_host(f"touch /root/kept; {BOOT}")
    ssh.probe(HOST, ["systemctl reboot"])
    _wait_until(lambda: ssh.probe(HOST, [BOOT]).stdout not in ("", before))
    assert on_host("systemctl is-system-running --wait; ls /root") == "running\nkept\n"


def test_connections_that_are_kept_open_go() -> None:
    """Ansible's persistent connections end with the bed."""
    up()
    control = ["-o", "ControlMaster=auto", "-o", "ControlPersist=600", "-o", f"ControlPath={BED.state}/ssh/%C"]
    subprocess.run(
        ["ssh", "-F", BED.ssh_config, *control, "host1", "true"], check=True, timeout=90, stderr=subprocess.DEVNULL
    )
    assert list((BED.state / "ssh").iterdir())


@pytest.mark.parametrize("part", ["supervisor", "payload"])
def test_a_killed_host_is_made_anew(part: str) -> None:
    up()
    on_host("touch /root/marker")
    (HOST.cgroup / part / "cgroup.kill").write_text("1", encoding="ascii")
    # Being killed takes a moment, in which a host is whole.
    assert cgroup.wait_until_empty(HOST.cgroup / part, 60)
    up()
    assert on_host("ls /root") == ""


@pytest.mark.parametrize("milliseconds", [50, 100, 150, 180, 200, 220, 240, 260, 280, 300, 350, 400, 600, 1000, 1500])
@pytest.mark.parametrize("next_command", ["up", "down"])
def test_up_may_be_killed_at_any_moment(milliseconds: int, next_command: str) -> None:
    """The next `up` completes it, the next `down` removes it."""
    _killed_after(milliseconds, "up", "1", "--name", BED.name)
    if next_command == "up":
        up()
        assert on_host("systemctl is-system-running") == "running\n"
    else:
        down()
        assert leftovers(BED) == []


@pytest.mark.parametrize("milliseconds", [100, 150, 200, 250, 300, 350, 400, 450])
def test_down_may_be_killed_at_any_moment(milliseconds: int) -> None:
    """The next `down` goes on where it ended."""
    up()
    _killed_after(milliseconds, "down", "--name", BED.name)


def _killed_after(milliseconds: int, *words: str) -> None:
    process = subprocess.Popen([TESTBED, *words], stderr=subprocess.DEVNULL)
    time.sleep(milliseconds / 1000)
    process.kill()
    process.wait()


@pytest.mark.parametrize("seconds", [0.5, 4, 9])
def test_a_killed_build_ends_and_leaves_nothing_finished(seconds: float, tmp_path: Path) -> None:
    """All of mmdebstrap dies with the command that ran it; what it wrote is deleted by the next one."""
    program = (
        "import pathlib as p, sys; from testbed import cache, trees; cache.CACHE = p.Path(sys.argv[1]);"
        " trees.ensure('trixie')"
    )
    environment = {**os.environ, "PYTHONPATH": str(TESTBED.parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], env=environment, stderr=subprocess.DEVNULL
    )
    begin = time.monotonic()
    # On a busy machine, it may begin later.
    _wait_until(lambda: any(tmp_path.glob("*.partial")))
    time.sleep(max(0.0, seconds - (time.monotonic() - begin)))
    process.kill()
    process.wait()
    _wait_until(lambda: not _users_of(tmp_path))
    assert {path.suffix for path in tmp_path.iterdir()} == {"", ".partial"}
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")


def _wait_until(predicate: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not predicate():
        assert time.monotonic() < end
        time.sleep(0.05)


def _users_of(directory: Path) -> list[bytes]:
    """Command lines, of other processes, that name ``directory``."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if bytes(directory) in line and process.name != str(os.getpid()):
            found.append(line)
    return found
