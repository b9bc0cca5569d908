# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The conventions of microvm.nix between packages and hosts, in both directions and in its older generations.

Packages of its kinds run with our units, with fake hypervisors; a package of ours with a real QEMU runs with units that
call it as those of microvm.nix do. Interfaces are the kernel's own, virtiofsd is real.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .host import Files, Host
from .packages import BASH, STAY, fake, tiny
from .paths import STATE, UNITS

MAC = "02:00:00:00:00:07"
SYSTEM = "/nix/store/abc-nixos-system-its"
HYPERVISOR = "socat -u UNIX-CONNECT:share.sock SYSTEM:'touch ready; exec cat' &"
"""Line of a hypervisor, which opens the socket of its share in the working directory."""
SHUTDOWN = "touch asked; kill $(pgrep --uid microvm sleep)\n"
MAKE_DEVICE = (
    "exec 2> /dev/null; while true; do link=/sys/class/net/its-mv device=/dev/tap$(cat $link/ifindex);"
    "[ -e $device ] || mknod $device c $(cat $link/macvtap/tap*/dev | tr : ' '); sleep 0.1; done"
)
"""Does what udev does on other hosts."""

SHARE = "share/microvm"
LISTS: Files = {
    f"{SHARE}/tap-interfaces": "its-tap\n",
    f"{SHARE}/virtiofs/files/source": "/srv/its\n",
    f"{SHARE}/virtiofs/files/socket": "share.sock\n",
}
MACVTAPS: Files = {f"{SHARE}/macvtap-interfaces": f"its-mv {MAC} host0 bridge\n"}
FACTS: Files = {f"{SHARE}/hypervisor": "qemu\n", f"{SHARE}/vsock-cid": "1042\n"}

SCRIPTS: Files = {
    "bin/tap-up": "if [ -e /sys/class/net/its-tap ]; then ip link delete its-tap; fi\n"
    "ip tuntap add name its-tap mode tap user microvm vnet_hdr multi_queue\nip link set its-tap up\n",
    "bin/tap-down": "ip link delete its-tap\n",
    "bin/macvtap-up": f"ip link add link host0 name its-mv address {MAC} type macvtap mode bridge\n"
    "ip link set its-mv allmulticast on\necho 1 > /proc/sys/net/ipv6/conf/its-mv/disable_ipv6\nip link set its-mv up\n"
    "device=/dev/tap$(< /sys/class/net/its-mv/ifindex)\nuntil [ -e $device ]; do sleep 0.1; done\n"
    "chown microvm:kvm $device\n",
    "bin/macvtap-down": "ip link delete its-mv\n",
    "bin/pci-setup": "touch devices-are-set-up\n",
    "bin/virtiofsd-run": "PATH=$PATH:/usr/libexec\n"
    "virtiofsd --socket-path=share.sock --socket-group=kvm --shared-dir=/srv/its --rlimit-nofile $(ulimit -Hn) "
    "--thread-pool-size 2 --posix-acl --xattr --cache=auto --inode-file-handles=prefer &\n"
    "until [ -S share.sock ]; do sleep 0.1; done\nsystemd-notify --ready\nwait\n",
    "bin/virtiofsd-shutdown": "pkill -x virtiofsd\n",
    "bin/microvm-register": "echo $1 > registered\n",
    "bin/microvm-unregister": "mv registered unregistered\n",
}
"""Scripts as packages of microvm.nix have them, of whichever generation."""


@dataclass(frozen=True)
class Generation:
    """What packages of a generation have besides what all have, and what their interfaces are like."""

    files: Files
    has_queues: bool = False
    has_macvtap: bool = True


def scripts(*names: str) -> Files:
    """Return some of the scripts."""
    return {f"bin/{name}": f"{BASH}set -eou pipefail\n{SCRIPTS[f'bin/{name}']!s}" for name in names}


INTERFACES = scripts("tap-up", "tap-down", "macvtap-up", "macvtap-down")
DEVICES = scripts("pci-setup", "virtiofsd-run")
GENERATIONS = {
    "2022": Generation(LISTS, has_macvtap=False),
    "2023": Generation({**LISTS, **MACVTAPS, f"{SHARE}/tap-flags": "vnet_hdr\nmulti_queue\n"}, has_queues=True),
    "2024": Generation(
        {**LISTS, **MACVTAPS, **DEVICES, **scripts("virtiofsd-shutdown"), f"{SHARE}/tap-flags": "vnet_hdr\n"}
    ),
    "2026": Generation(
        {**LISTS, **MACVTAPS, **FACTS, **INTERFACES, **DEVICES, **scripts("microvm-register", "microvm-unregister")},
        has_queues=True,
    ),
}


@pytest.fixture(autouse=True)
def _device(host: Host) -> Iterator[None]:
    """Make the device of the macvtap whenever there is one."""
    host.run(f"systemd-run --quiet --unit=its-udev sh -c {shlex.quote(MAKE_DEVICE)}")
    yield
    host.run("systemctl stop its-udev; rm -rf /dev/tap[0-9]* /root/its /srv/its")


def interfaces(host: Host) -> str:
    """Return the interfaces of MicroVMs, with what can be set of them."""
    return host.run("ip -d link show type tun; ip -d link show type macvtap")


@pytest.mark.parametrize("year", GENERATIONS)
def test_a_package_of_each_generation_runs_with_our_units(host: Host, year: str) -> None:
    generation = GENERATIONS[year]
    package = {**fake(HYPERVISOR, STAY, microvm_shutdown=SHUTDOWN), **generation.files}
    host.send("/root/its", package)
    host.run(f"ln -s {SYSTEM} /root/its/{SHARE}/system; mkdir -p /srv/its && touch /srv/its/marker")
    host.microvm("create its --package /root/its")
    host.run("systemctl start microvm@its")
    working = f"{STATE}/its/work"
    host.wait_for("connection to the share", lambda: host.run(f"ls {working}"), lambda seen: "ready" in seen)
    shown = interfaces(host)
    expected = ["its-tap", "user microvm", "vnet_hdr on"]
    expected += ["its-mv", MAC, "mode bridge", "allmulti 1"] if generation.has_macvtap else []
    assert [word for word in expected if word not in shown] == []
    assert ("multi_queue" in shown) == generation.has_queues
    assert host.run("ls /proc/$(pgrep -x virtiofsd | tail -n 1)/root").split() == ["marker"]
    assert host.run(f"readlink {STATE}/its/booted/{SHARE}/system").strip() == SYSTEM
    process = host.run("systemctl show --property=MainPID --value microvm@its")
    if year == "2026":
        assert host.run(f"cat {working}/registered") == process
    assert host.run(f"ls {STATE}/its").split().count("devices-are-set-up") == ("bin/pci-setup" in package)
    host.run("systemctl stop microvm@its")
    host.wait_for("end of the interfaces", lambda: interfaces(host), lambda seen: seen == "")
    host.wait_for("end of virtiofsd", lambda: host.run("pgrep -x virtiofsd || true"), lambda seen: seen == "")
    assert {*host.run(f"ls {working}").split()} == {
        "asked",
        "ready",
        "share.sock",
        *(["unregistered"] if year == "2026" else []),
    }


PLACE = "/srv/nixos"
CURRENT, BOOTED = f"{PLACE}/%i/current", f"{PLACE}/%i/booted"
LINK_BOOTED = f"/bin/sh -c 'cd {PLACE}/%i && rm -f booted && ln -s $(readlink current) booted'"
ACCOUNTS = "BindReadOnlyPaths=/srv/accounts/passwd:/etc/passwd /srv/accounts/group:/etc/group\n"
"""The accounts of a host of microvm.nix: its user is in group kvm, and there is no other group for it."""
HELPERS = ("tap-interfaces", "macvtap-interfaces", "virtiofsd")
ITS_UNITS = [f"nixos-{helper}@tiny" for helper in HELPERS]


def its_units(year: str) -> Files:
    """Return units that call packages as those of microvm.nix of a year do."""
    order = "".join(f"Requires=nixos-{helper}@%i.service\nAfter=nixos-{helper}@%i.service\n" for helper in HELPERS)
    marks = {
        "2025": f"ExecStartPre={LINK_BOOTED}\nExecStopPost=/bin/rm {PLACE}/%i/booted\n",
        "2026": f"ExecStartPost=+/bin/bash -c 'if [ -x {CURRENT}/bin/microvm-register ]; then exit 1; fi'\n",
    }[year]
    booted = {"2025": "", "2026": "Requires=nixos-set-booted@%i.service\nAfter=nixos-set-booted@%i.service\n"}[year]
    main = (
        f"[Unit]\n{order}{booted}ConditionPathExists={CURRENT}/bin/microvm-run\n[Service]\nType=simple\n"
        f"WorkingDirectory={PLACE}/%i\nUser=microvm\nGroup=kvm\nExecStart={CURRENT}/bin/microvm-run\n{marks}"
        f"ExecStop={BOOTED}/bin/microvm-shutdown\nTimeoutSec=150\nRestart=always\nRestartSec=5s\n{ACCOUNTS}"
    )
    virtiofsd = {
        "2025": f"ExecStop=/bin/sh -c 'cd {PLACE}/%i && exec booted/bin/virtiofsd-shutdown'\n",
        "2026": "KillMode=mixed\n",
    }[year]
    files = {
        "nixos@.service": main,
        "nixos-virtiofsd@.service": _helper("virtiofsd-run")
        + f"Type=notify\nNotifyAccess=all\nWorkingDirectory={PLACE}/%i\n"
        + f"ExecStart={CURRENT}/bin/virtiofsd-run\nPrivateTmp=yes\nRestart=always\nRestartSec=5s\n{virtiofsd}",
        "nixos-set-booted@.service": "[Unit]\nPartOf=nixos@%i.service\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        f"User=microvm\nGroup=kvm\nExecStart={LINK_BOOTED}\nExecStop=/bin/rm {PLACE}/%i/booted\n",
    }
    for kind in ("tap", "macvtap"):
        files[f"nixos-{kind}-interfaces@.service"] = (
            f"{_helper(f'{kind}-up')}Type=oneshot\nRemainAfterExit=yes\n"
            f"ExecStart={CURRENT}/bin/{kind}-up\nExecStop={BOOTED}/bin/{kind}-down\n"
        )
    return files


def _helper(script: str) -> str:
    """Return the beginning of a helper unit, which runs if the package has the script."""
    order = "PartOf=nixos@%i.service\nAfter=nixos-set-booted@%i.service\n"
    return f"[Unit]\n{order}ConditionPathExists={CURRENT}/bin/{script}\n[Service]\n{ACCOUNTS}"


@pytest.fixture(name="its_host")
def _its_host(host: Host, tmp_path: Path) -> Iterator[Host]:
    """Host with a package of ours where microvm.nix would have installed it, and without our units of it."""
    package = tiny(
        tmp_path,
        isolation="shared",
        interfaces=[
            {"id": "its-tap"},
            {"id": "its-mv", "type": "macvtap", "mac": MAC, "macvtap": {"link": "host0", "mode": "bridge"}},
        ],
        shares=[{"tag": "files", "proto": "virtiofs", "source": "files"}],
        volumes=[{"image": "data.img", "size": 8}],
    )
    place = f"{PLACE}/tiny/package".encode()
    content = {path: text.encode() if isinstance(text, str) else text for path, text in package.items()}
    host.send(
        f"{PLACE}/tiny/package",
        {path: text.replace(f"{STATE}/tiny/package".encode(), place) for path, text in content.items()},
    )
    host.run(f"cd {PLACE}/tiny && ln -s package current && chown microvm:kvm . && mkdir files && touch files/marker")
    host.run(
        "mkdir -p /srv/accounts && cd /srv/accounts && cp /etc/passwd /etc/group . && sed -i /^microvm:/d group &&"
        'sed -i -E "s/^(microvm:[^:]*:[0-9]+):[0-9]+:/\\1:$(getent group kvm | cut -d: -f3):/" passwd'
    )
    yield host
    host.run(
        "systemctl stop 'nixos*@tiny.service'; ip link delete its-tap 2> /dev/null; ip link delete its-mv 2> /dev/null;"
        f"rm -rf {PLACE} /srv/accounts {UNITS}/nixos*@.service;"
        "systemctl daemon-reload; systemctl reset-failed 'nixos*' 2> /dev/null; true"
    )


def start_with_its_units(host: Host, year: str) -> None:
    """Start the package, and assert that the MicroVM has all that the package brings."""
    host.send(UNITS, its_units(year))
    host.run("systemctl daemon-reload; systemctl start nixos@tiny")
    host.wait_for_states(dict.fromkeys(["nixos@tiny", *ITS_UNITS], "active"))
    shown = interfaces(host)
    assert [word for word in ("its-tap", "user microvm", "vnet_hdr on", "its-mv", MAC) if word not in shown] == []
    assert host.run("ls /proc/$(pgrep -x virtiofsd | tail -n 1)/root").split() == ["marker"]
    # QEMU has a control socket when it has opened the interfaces and connected to the share.
    socket = f"{PLACE}/tiny/tiny.sock"
    host.wait_for("control socket", lambda: host.run(f"ls {socket} 2>&1 || true"), lambda seen: seen == f"{socket}\n")
    assert host.run(f"cd {PLACE}/tiny; stat -c '%U:%G' data.img; readlink booted").split() == ["microvm:kvm", "package"]


def stop_with_its_units(host: Host) -> None:
    """Stop the MicroVM, and assert that its guest has powered itself off."""
    host.run("systemctl stop nixos@tiny")
    ended = host.run("systemctl show --property=Result,ExecMainCode,ExecMainStatus nixos@tiny")
    assert {*ended.split()} == {"Result=success", "ExecMainCode=1", "ExecMainStatus=0"}
    host.wait_for("end of virtiofsd", lambda: host.run("pgrep -x virtiofsd || true"), lambda seen: seen == "")


def test_a_package_of_ours_runs_with_its_units(its_host: Host) -> None:
    start_with_its_units(its_host, "2026")
    stop_with_its_units(its_host)
    its_host.wait_for("end of the interfaces", lambda: interfaces(its_host), lambda seen: seen == "")
    assert its_host.run(f"cd {PLACE}/tiny && ls -d booted *.sock *.sock.pid 2> /dev/null || true") == ""


def test_a_package_of_ours_runs_again_with_older_units_that_leave_its_interfaces(its_host: Host) -> None:
    # They remove `booted` before they run scripts in it.
    for _start in range(2):
        start_with_its_units(its_host, "2025")
        stop_with_its_units(its_host)
    assert "its-tap" in interfaces(its_host)
