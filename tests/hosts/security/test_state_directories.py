# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attacks on what root executes, follows, reads and removes for a MicroVM.

The attackers are the MicroVM's user, from inside of its unit and beside it, and somebody who may use /dev/kvm.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product

import pytest

from ..host import Host
from ..packages import STAY, echoing, fake
from ..paths import CONSOLES, STATE

SECRET = "/root/secret"
ACCOUNTS = {"own": "microvm-own", "shared": "microvm"}
"""Users of the MicroVMs, by name."""
FILE = "/root/fleet.json"


@pytest.fixture(name="fleet_host")
def _fleet_host(host: Host, fake_qemu: None) -> Iterator[Host]:
    """Host with two stopped MicroVMs, somebody in group kvm, and a secret of root's."""
    host.run(f"useradd --groups kvm mallory; (umask 077; echo secret > {SECRET})")
    apply(host, {"own": {}, "shared": {"isolation": "shared"}}, state="stopped")
    yield host
    host.run(f"userdel mallory; rm -f {SECRET} /tmp/executed")


def apply(host: Host, vms: dict[str, dict[str, object]], status: int = 0, **options: object) -> str:
    """Apply declarations with a volume each."""
    fixed = {"kernel": "/etc/hostname", "accel": "tcg", "ready": {"check": "none"}, "socket": None}
    volumes = [{"image": "disk.img", "size": 8}, {"image": "below/data.img", "size": 8}]
    declared = [{"name": name, **fixed, "volumes": volumes, **options, **own} for name, own in vms.items()]
    host.send("/root", {"fleet.json": json.dumps(declared)})
    return host.microvm(f"apply {FILE}", status, timeout=300)


def attack(host: Host, user: str, *lines: str) -> int:
    """Run lines of a shell as a user with all of its groups. Returns how many have succeeded."""
    script = "\n".join(f"( {line} ) >/dev/null 2>&1 && echo succeeded" for line in lines) + "\ntrue\n"
    host.send("/tmp", {"attack": f"#!/bin/sh\n{script}"})
    return host.run(f"setpriv --reuid={user} --regid=$(id -g {user}) --init-groups /tmp/attack").count("succeeded")


def test_nobody_but_root_makes_what_root_executes_or_follows(fleet_host: Host) -> None:
    entries = [
        "booted",
        "booted.partial",
        "old",
        "old.partial",
        "current.partial",
        "flake",
        "sockets/share.sock",
        "new",
    ]
    entries += ["sockets/share.sock.pid", "work.former", ".hidden"]
    program = "#!/bin/sh\\ntouch /tmp/executed\\n"
    tries = succeeded = 0
    for name, user in product(ACCOUNTS, [*ACCOUNTS.values(), "mallory", "nobody"]):
        path = f"{STATE}/{name}"
        lines = [f"mkdir -p {path}/{entry}/bin" for entry in entries]
        lines += [f"ln -s /etc {path}/{entry}" for entry in entries]
        lines += [f"rm -f {path}/{entry} && ! test -e {path}/{entry} && test -e {path}" for entry in ("current",)]
        lines += [f"ln -sfn /tmp {path}/current", f"mv {path} {path}.away", f"mkdir {STATE}/mine"]
        lines += [
            f"mkdir -p {path}/booted/bin && printf '{program}' > {path}/booted/bin/{script}" for script in SCRIPTS
        ]
        tries, succeeded = tries + len(lines), succeeded + attack(fleet_host, user, *lines)
    print(f"{tries} tries to make or replace what root executes or follows, {tries - succeeded} held")
    assert succeeded == 0
    fleet_host.run("systemctl start microvm@own microvm@shared && systemctl stop microvm@own microvm@shared")
    fleet_host.run("! test -e /tmp/executed")


SCRIPTS = ("tap-down", "macvtap-down", "pci-teardown", "microvm-unregister", "virtiofsd-run")


def test_nobody_but_its_user_makes_or_reads_what_a_guest_has(fleet_host: Host) -> None:
    tries = succeeded = 0
    for name, user in product(ACCOUNTS, [*ACCOUNTS.values(), "mallory", "nobody"]):
        if user == ACCOUNTS[name]:
            continue
        work = f"{STATE}/{name}/work"
        lines = [f"touch {work}/disk.img", f"mkdir {work}/below", f"ls {work}", f"ln -s /etc/shadow {work}/disk.img"]
        tries, succeeded = tries + len(lines), succeeded + attack(fleet_host, user, *lines)
    print(f"{tries} tries to make a guest's disk before its start, or to see it, {tries - succeeded} held")
    assert succeeded == 0


def test_a_hypervisor_cannot_reach_root_s_links_from_its_unit(host: Host) -> None:
    tries = [
        f"{verb} ../{entry}" for verb in ("mkdir", "ln -s /etc", "touch") for entry in ("booted.partial", "old", "x")
    ]
    tries += ["ln -sfn /tmp ../current", "mv ../booted ../gone", "rm ../booted", "chmod 777 ..", "mv ../work ../gone"]
    attempts = [f"{line} 2>/dev/null && echo '{line}' >> broken" for line in tries]
    host.send("/root/hostile", fake(*attempts, "touch done", STAY))
    host.send("/root/next", echoing("next"))
    host.microvm("create web --package /root/hostile")
    host.run(f"systemctl start microvm@web; until [ -e {STATE}/web/work/done ]; do sleep 0.1; done")
    print(f"{len(tries)} tries of a hypervisor to change what is root's, all held")
    host.run(f"! test -e {STATE}/web/work/broken || ! cat {STATE}/web/work/broken")
    host.microvm("update web -R --package /root/next")
    host.microvm("rollback web 1 --keep")


def test_a_machine_is_registered_by_no_number_of_its_user_s(host: Host) -> None:
    forged = [
        f"cd {CONSOLES}/*; while :; do echo 1 > hypervisor.pid; ln -sfn {SECRET} hypervisor.pid; done &",
    ]
    register = 'echo "$1" > /root/registered\n'
    host.run(f"(umask 077; echo 4711 > {SECRET})")
    for number in range(5):
        name = f"forger{number}"
        host.install_packages({name: fake(*forged, STAY, microvm_register=register)})
        host.run(f"systemctl start microvm@{name}")
        process = host.run(f"systemctl show --property=MainPID --value microvm@{name}")
        assert process not in ("1\n", "4711\n")
        assert host.run("cat /root/registered") == process
        host.run(f"systemctl stop microvm@{name}")
    print("5 tries to register another process, all held")
    host.run(f"rm {SECRET} /root/registered")


HOSTILE_NAMES = (r"$'\xff\xfe.img'", r"$'\e[2J\e]0;owned\a'", r"$'two\nlines'", "'-rf'", "'work'", r"$'\u202egnp'")


def test_names_that_a_hypervisor_chooses_neither_fail_a_run_nor_reach_a_terminal(fleet_host: Host) -> None:
    for name, user in ACCOUNTS.items():
        made = [f"cd {STATE}/{name}/work && mkdir -p -- {entry}" for entry in HOSTILE_NAMES]
        made += [f"cd {STATE}/{name}/work && touch -- {entry[:-1]}.partial'" for entry in HOSTILE_NAMES]
        bash = [f'bash -c "{line.replace(chr(34), "")}"' for line in made]
        assert attack(fleet_host, user, *bash) >= len(HOSTILE_NAMES)
    outputs = [apply(fleet_host, {"own": {}, "shared": {"isolation": "shared"}}, state="stopped")]
    outputs += [fleet_host.microvm(f"info {name}") for name in ACCOUNTS]
    outputs += [fleet_host.microvm(f"remove {name} --yes") for name in ACCOUNTS]
    outputs.append(fleet_host.microvm("gc"))
    assert all(character.isprintable() or character in "\n\t" for output in outputs for character in output)
    print(f"{2 * 2 * len(HOSTILE_NAMES)} names, none reached the terminal")
    fleet_host.run(f"rm -rf {STATE}/own {STATE}/shared")


DEEP = "import os\nfor _ in range(5000):\n    os.mkdir('d')\n    os.chdir('d')\n"


@pytest.mark.parametrize("entry", ["microvm.pid", "disk.img.partial", "microvm.events.in"])
def test_a_deep_tree_does_not_make_a_removal_impossible(fleet_host: Host, entry: str) -> None:
    line = f'mkdir {STATE}/own/work/{entry}; cd {STATE}/own/work/{entry} && python3 -c "{DEEP}"'
    assert attack(fleet_host, "microvm-own", line) == 1
    fleet_host.microvm("remove own --yes", timeout=120)
    fleet_host.run(f"! test -e {STATE}/own")


VICTIMS = ("/etc/passwd", "/root/secret", "/etc")


@pytest.mark.parametrize("volumes", ["archive", "delete"])
def test_a_volume_that_became_a_link_is_neither_moved_nor_deleted(fleet_host: Host, volumes: str) -> None:
    confirm = {"confirm": ["disk.img", "below/data.img"]} if volumes == "delete" else {}
    absent: dict[str, object] = {"state": "absent", "on_absent": {"volumes": volumes, **confirm}}
    before = fleet_host.run("ls -la /etc | sha256sum; cat /etc/passwd /root/secret | sha256sum")
    for victim in VICTIMS:
        work = f"{STATE}/own/work"
        lines = [f"mkdir -p {work}/below; rm -rf {work}/disk.img; ln -s {victim} {work}/disk.img"]
        lines += [f"rm -rf {work}/below; ln -s {victim} {work}/below; ! test -d {victim} || ln -s /etc {work}/x"]
        attack(fleet_host, "microvm-own", *lines)
        apply(fleet_host, {"own": absent}, status=1)
        assert fleet_host.run("ls -la /etc | sha256sum; cat /etc/passwd /root/secret | sha256sum") == before
    print(f"{2 * len(VICTIMS)} links in the place of volumes, all held")
