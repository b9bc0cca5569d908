# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A hypervisor that was taken over tries to reach beyond its strict sandbox, which a declaration has by default."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..host import Host
from ..packages import STAY, fake, rendered, tiny
from ..paths import CONSOLES, FLEET, RECORDS, SETTINGS, STATE

INTRUDER = Path(__file__).with_name("intruder.py")
UNIT = "microvm@evil"

PLANTED = """\
import os, socket, time
os.umask(0)
for place in ("/run/planted", "/tmp/planted", "/var/tmp/planted", "/dev/shm/planted", "\\0planted", "\\0/planted/two"):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        server = socket.socket(socket.AF_UNIX, kind)
        if place[0] == "/" and os.path.exists(f"{place}.{kind.name}"):
            os.unlink(f"{place}.{kind.name}")
        server.bind(f"{place}.{kind.name}")
        if kind == socket.SOCK_STREAM:
            server.listen()
        globals()[f"{place}.{kind.name}"] = server
time.sleep(600)
"""
"""Services of the host that let everybody in."""

DIRECTORIES = (
    "/srv/planted",
    "/var/planted",
    "/run/planted.d",
    "/dev/shm/planted.d",
    "/tmp/planted.d",
    "/var/tmp/planted.d",
)
ROOTS = ("/", "/etc", "/usr", "/var", "/var/lib", "/var/log", "/var/crash", "/run", "/run/lock", "/opt", "/mnt", "/dev")
FILES = (
    "/proc/1/environ",
    "/proc/1/cmdline",
    "/proc/1/root",
    "/proc/kcore",
    "/proc/kmsg",
    "/proc/sysrq-trigger",
    "/sys/fs/cgroup",
    "/sys/fs/bpf",
    "/run/systemd/units",
    "/run/systemd/journal/streams",
    "/run/log/journal",
    RECORDS,
    f"{FLEET}/archive",
    "/etc/shadow",
    "/root",
    "/home",
    "/dev/shm/planted.txt",
    "/tmp/planted.txt",
    "/run/planted.txt",
    f"{CONSOLES}/prey",
    f"{STATE}/prey",
)
DEVICES = ("/dev/kvm", "/dev/net/tun", "/dev/vhost-net", "/dev/vhost-vsock", "/dev/mem", "/dev/kmsg", "/dev/fuse")
COMMANDS = (
    "systemctl list-units",
    "busctl list",
    "systemctl --user list-units",
    "loginctl list-sessions",
    "systemd-run true",
    "logger --socket-errors=on -p kern.emerg -t kernel forged",
    "echo forged | systemd-cat -t sshd",
    "systemd-notify --ready --pid=1",
    "journalctl -n 1 -o cat | grep .",
    "unshare --user --map-root-user true",
    "unshare --mount true",
    "ip link | grep .",
    "dmesg | grep .",
    "nsenter --target 1 --mount true",
    "chroot / true",
    "setpriv --reuid=0 true",
    "ipcs -m | grep 0x0",
)


@pytest.fixture
def planted(host: Host) -> Iterator[None]:
    """Services, files and shared memory of the host that everybody may use."""
    host.send("/root", {"planted.py": PLANTED})
    host.run("systemd-run --quiet --unit=planted python3 /root/planted.py")
    host.run(
        f"mkdir -p {' '.join(DIRECTORIES)} && chmod 1777 {' '.join(DIRECTORIES)};"
        "for directory in /tmp /dev/shm /run; do echo planted > $directory/planted.txt; done;"
        "ipcmk --shmem 4096 --mode 0666 > /root/ipc"
    )
    host.wait_for(
        "planted sockets", lambda: host.run("grep -c planted /proc/net/unix || true"), lambda seen: int(seen) >= 12
    )
    yield
    host.run(
        "systemctl stop planted; ipcrm --all=shm; rm -rf /root/planted.py /root/ipc /srv/planted /var/planted"
        " /run/planted* /dev/shm/planted* /tmp/planted* /var/tmp/planted*"
    )


def sockets(host: Host) -> list[str]:
    """Return every Unix socket of the host that has a name, abstract ones with an @."""
    lines = (line.split() for line in host.run("cat /proc/net/unix").splitlines()[1:])
    return sorted(
        {
            fields[7]
            for fields in lines
            if len(fields) > 7 and fields[7].startswith(("/run", "/tmp", "/var", "/dev", "@"))
        }
    )


def targets(host: Host) -> dict[str, list[str]]:
    """Return what of the host the intruder tries to reach."""
    prey = host.run("systemctl show --property=MainPID --value microvm@prey").strip()
    return {
        "sockets": [*sockets(host), "/dev/log", "/var/run/dbus/system_bus_socket"],
        "directories": [*DIRECTORIES, *ROOTS, STATE, CONSOLES, f"{CONSOLES}/prey", f"{STATE}/prey", "/proc/sys/kernel"],
        "files": [*FILES],
        "devices": [*DEVICES],
        "processes": ["1", prey],
        "commands": [*COMMANDS],
    }


def attack(host: Host, directory: Path, **options: Any) -> dict[str, object]:
    """Return the intruder's report, from the sandbox of a declaration."""
    package = rendered(
        directory, {"name": "evil", "hypervisor": "qemu", "mem": 128, "kernel": "/etc/hostname", **options}
    )
    files = {
        **package,
        "bin/microvm-run": "#!/usr/bin/env python3\n" + INTRUDER.read_text(),
        "targets.json": json.dumps(targets(host)),
    }
    host.run("rm -rf /root/evil")
    host.send("/root/evil", files)
    host.microvm("create evil --package /root/evil")
    host.send(SETTINGS, {"evil.env": "STOP_TIMEOUT=1\n"})
    host.microvm("start evil")
    report = f"cat {STATE}/evil/report.json {STATE}/evil/work/report.json 2>/dev/null || true"
    return dict(json.loads(host.wait_for("report", lambda: host.run(report), bool, 120)))


@pytest.fixture
def prey(host: Host, tmp_path: Path) -> None:
    """Another MicroVM, that runs."""
    host.run("rm -rf /root/prey")
    host.send(
        "/root/prey",
        {**rendered(tmp_path, {"name": "prey", "kernel": "/etc/hostname", "mem": 64, "accel": "tcg"}), **fake(STAY)},
    )
    host.microvm("create prey --package /root/prey")
    host.send(SETTINGS, {"prey.env": "STOP_TIMEOUT=1\n"})
    host.microvm("start prey")


@pytest.mark.usefixtures("planted", "prey")
@pytest.mark.parametrize("accel", ["tcg", "kvm"])
def test_a_hypervisor_reaches_nothing_beyond_its_strict_sandbox(host: Host, tmp_path: Path, accel: str) -> None:
    free = "df --output=used /run /tmp /dev/shm | tail -n +2"
    before = [int(used) for used in host.run(free).split()]
    report = attack(host, tmp_path, accel=accel)
    if accel == "kvm":
        report.pop("open /dev/kvm")
    got = {name: evidence for name, evidence in report.items() if evidence}
    print(f"{len(report)} tries, {len(report) - len(got)} held")
    assert len(report) > 150
    assert got == {}
    assert host.run("cat /srv/planted/* /var/planted/* 2>/dev/null || true") == ""
    after = [int(used) for used in host.run(free).split()]
    assert all(now - then < 4096 for then, now in zip(before, after, strict=True))


@pytest.mark.usefixtures("planted", "prey")
def test_a_hypervisor_with_a_tap_reaches_sockets_without_a_path_alone(host: Host, tmp_path: Path) -> None:
    host.run("ip link add name br-evil type bridge")
    report = attack(host, tmp_path, accel="tcg", interfaces=[{"bridge": "br-evil", "id": "evil-tap"}])
    host.run("systemctl stop microvm@evil; ip link del br-evil")
    report.pop("open /dev/net/tun")
    got = {name for name, evidence in report.items() if evidence}
    print(f"{len(report)} tries, {len(report) - len(got)} held, the others are abstract sockets")
    assert all(name.startswith("connect to @") for name in got)


@pytest.mark.usefixtures("planted", "prey")
def test_no_line_of_a_hypervisor_is_another_program_s_or_has_a_priority_of_its_own(host: Host, tmp_path: Path) -> None:
    attack(host, tmp_path, accel="tcg")
    selection = "journalctl -b -q -o json --no-pager --since=-5min"
    run = f"_SYSTEMD_INVOCATION_ID={host.invocation('microvm@evil')}"
    lines = [json.loads(line) for line in host.run(f"{selection} {run}").splitlines()]
    print(f"{len(lines)} hostile lines")
    assert {line["PRIORITY"] for line in lines} == {"7", "4"}
    assert {len(line["MESSAGE"]) for line in lines} <= set(range(1, 2049))
    forged = [json.loads(line) for line in host.run(f"{selection} | grep forged").splitlines()]
    assert len(forged) >= 6
    assert {line["SYSLOG_IDENTIFIER"] for line in forged} == {"microvm@evil"}
    host.run("systemctl stop microvm@evil")
    assert any(line.startswith("MicroVM evil: stopped by ") for line in host.journal("evil"))


@pytest.mark.parametrize("volumes", [[], [{"image": "data.img", "size": 16}]], ids=["diskless", "disk"])
def test_qemu_boots_and_stops_in_its_strict_sandbox(host: Host, tmp_path: Path, volumes: list[dict[str, Any]]) -> None:
    qemu = {"name": "real", "hypervisor": "qemu", "mem": 64, "accel": "tcg", "qemu": {"machine": "q35"}}
    host.send("/srv/guest", {"kernel": tiny(tmp_path)["guest"]})
    host.run("rm -rf /root/real")
    host.send("/root/real", rendered(tmp_path, {**qemu, "kernel": "/srv/guest/kernel", "volumes": volumes}))
    host.microvm("create real --package /root/real")
    host.microvm("start real")
    log = f"cat {CONSOLES}/real/console.log"
    host.wait_for("prompt", lambda: host.run(log), lambda seen: seen.endswith("login: "))
    settings = host.run("systemctl show --property=SystemCallFilter --value microvm@real").split()
    assert ("io_uring_setup" in settings) == bool(volumes)
    host.run("systemctl stop microvm@real; rm -rf /srv/guest")
    assert host.journal("real")[-1].startswith("MicroVM real: stopped by the guest after ")
