# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The units of role ``host`` under a real systemd. Where it says stand-in, a few lines of bash play the hypervisor; the
guest of ``tiny`` is a real one of QEMU, of a hundred bytes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from .units import ROOT, STATE, Files, UnitHost

pytestmark = pytest.mark.testbed

BASH = "#!/usr/bin/env bash\n"
FIRST_THEN_STAY = BASH + 'echo x >> runs\nif [ "$(wc -l < runs)" -gt 1 ]; then exec sleep infinity; fi\n'
"""Stand-in: what follows is done at the first start only."""

# At 0x200 of a kernel as of 1991, in real mode, beyond what QEMU writes into its header: enables the power button, says
# `login: `, and echoes what comes over the serial line; a line break asks for another prompt. `p` powers off, as the
# button does; `r` resets; `f` writes lines for ever.
GUEST = (
    "fafcba0206b80001efbaf803bedc002eac84c07403eeebf7ba0006edf6c401751fbafd03eca80174efbaf803ecee3c70740e"
    "3c7274133c6674153c0a75daebc9ba0406b80020efebf7b0fee664ebfab079b96400eee2fdb00aeeebf36c6f67696e3a2000"
)


@pytest.fixture(scope="module", name="host")
def _host() -> Iterator[UnitHost]:
    host = UnitHost("units")
    host.down()
    host.up("trixie")
    yield host
    host.down()


def stand_in(*lines: str, **scripts: str) -> Files:
    """A package whose hypervisor is a script; other scripts by their names with underscores."""
    others = {f"bin/{name.replace('_', '-')}": BASH + text for name, text in scripts.items()}
    return {"bin/microvm-run": "\n".join(lines) + "\n", **others}


def tiny(directory: Path) -> Files:
    """A package of ours, for QEMU, and the guest that it boots."""
    declared = {"name": "tiny", "hypervisor": "qemu", "mem": 64, "accel": "tcg", "qemu": {"machine": "q35"}}
    (directory / "tiny.json").write_text(json.dumps({**declared, "kernel": f"{STATE}/tiny/package/guest"}))
    command, target = str(ROOT / "bin/microvm"), str(directory / "package")
    subprocess.run([sys.executable, command, "render", str(directory / "tiny.json"), "--output", target], check=True)
    files = {str(path.relative_to(directory / "package")): path for path in (directory / "package").rglob("*")}
    texts = {name: path.read_text(encoding="utf-8") for name, path in files.items() if path.is_file()}
    code = bytes(0x200) + b"\xeb\x7e" + bytes(0x7E) + bytes.fromhex(GUEST)
    return {**texts, "guest": code.ljust(0x2000, b"\0").decode("latin-1")}


def test_what_follows_an_end_is_what_was_asked_for(host: UnitHost) -> None:
    """Poweroff, reboot and crash by the settings; a loop of crashes ends, and shows."""
    once, first = BASH + "echo x >> runs", FIRST_THEN_STAY
    packages = {
        "off": stand_in(once, "exit 0"),
        "off-again": stand_in(first, "exit 0"),
        "reset": stand_in(first, "exit 0"),
        "reset-once": stand_in(once, "exit 0"),
        "crash": stand_in(first, "exit 3"),
        "crash-once": stand_in(once, "exit 3"),
        "abort": stand_in(first, "kill -ABRT $$"),
        "loop": stand_in(once, "exit 3"),
    }
    settings = {
        "off-again": "ON_POWEROFF=restart\n",
        "reset": "CLEAN_END=reboot\n",
        "reset-once": "CLEAN_END=reboot\nON_REBOOT=stop\n",
        "crash-once": "ON_CRASH=stop\n",
    }
    host.make(packages, settings)
    host.run("systemctl start --no-block " + " ".join(f"microvm@{name}" for name in packages))
    wanted = {
        "off": "inactive",
        "off-again": "active",
        "reset": "active",
        "reset-once": "inactive",
        "crash": "active",
        "crash-once": "failed",
        "abort": "active",
        "loop": "failed",
    }
    host.wait_for(lambda: host.states(packages) == wanted)
    runs = host.run(
        f"cd {STATE}; wc -l < off/runs; wc -l < reset-once/runs; wc -l < crash-once/runs; wc -l < loop/runs"
    )
    assert runs.split() == ["1", "1", "1", "5"]
    assert host.journal("off") == ["MicroVM off has powered off and stays down"]
    assert "MicroVM reset has rebooted and is started again" in host.journal("reset")
    assert "MicroVM crash-once has crashed (status 3) and stays down" in host.journal("crash-once")
    assert "MicroVM abort has crashed (status 134) and is started again" in host.journal("abort")
    # Helpers come and go with it, so the link tells what the next start has run.
    assert host.run(f"ls -d {STATE}/crash/booted {STATE}/loop/booted 2>/dev/null || true").split() == [
        f"{STATE}/crash/booted"
    ]


def test_a_stop_goes_by_steps(host: UnitHost) -> None:
    """Each is said, and the last line says which one it was. Stand-ins."""
    deaf, settings = "trap '' TERM", "STOP_TIMEOUT=1\n"
    packages = {
        "polite": stand_in(BASH, "touch on; while [ -e on ]; do sleep 0.1; done", microvm_shutdown="read -r; rm on\n"),
        "hung": stand_in(BASH, "exec sleep infinity", microvm_shutdown="sleep 60\n"),
        "mute": stand_in(BASH, "exec sleep infinity"),
        "deaf": stand_in(BASH, deaf, "while :; do sleep 1; done", microvm_shutdown="exit 3\n"),
        "gone": stand_in(BASH, "sleep 0.1", microvm_shutdown="touch asked\n"),
    }
    host.make(packages, {"hung": settings, "deaf": settings})
    every = " ".join(f"microvm@{name}" for name in packages)
    host.run(f"systemctl start {every}; sleep 0.5; systemctl stop {every}")
    assert set(host.states(packages).values()) == {"inactive"}
    ends = {name: re.sub(r"[0-9]+ s$", "N s", host.journal(name)[-1]) for name in packages}
    assert ends == {
        "polite": "MicroVM polite: stopped by the guest after N s",
        "hung": "MicroVM hung: stopped by SIGTERM after N s",
        "mute": "MicroVM mute: stopped by SIGTERM after N s",
        "deaf": "MicroVM deaf: stopped by SIGKILL after N s",
        "gone": "MicroVM gone has powered off and stays down",
    }
    assert "MicroVM hung: the guest has not ended within 1 s" in host.journal("hung")
    assert "MicroVM deaf: the guest could not be asked, or has not ended (status 3)" in host.journal("deaf")


def test_packages_of_every_age_get_their_interfaces(host: UnitHost) -> None:
    """By their lists, or by their own scripts. Stand-ins, on the kernel's own interfaces."""
    lists = {
        "share/microvm/tap-interfaces": "old-tap1\nold-tap2\n",
        "share/microvm/macvtap-interfaces": "old-mv 02:00:00:00:00:07 host0 bridge\n",
    }
    own = {
        "tap_up": "ip tuntap add name new-tap mode tap user microvm\n",
        "tap_down": "ip link delete new-tap\n",
        "microvm_register": 'echo "$1" > registered\n',
        "microvm_unregister": "mv registered unregistered\n",
    }
    stay = "exec sleep infinity"
    host.make({"old": {**stand_in(BASH, stay), **lists}, "new": stand_in(BASH, stay, **own)})
    # What udev does on other hosts.
    link = "/sys/class/net/old-mv"
    device = f"/dev/tap$(cat {link}/ifindex) c $(cat {link}/macvtap/tap*/dev | tr : ' ')"
    make = f"until [ -e {link}/macvtap ]; do sleep 0.1; done; mknod {device}"
    host.run(f"({make}) >/dev/null 2>&1 & systemctl start microvm@old microvm@new")
    shown = host.run("ip -d link show type tun; ip -d link show type macvtap; stat --format %U:%G:%a /dev/tap[0-9]*")
    for word in ("old-tap1", "old-tap2", "vnet_hdr on", "user microvm", "new-tap", "02:00:00:00:00:07", "mode bridge"):
        assert word in shown
    assert "microvm:kvm:600" in shown
    assert host.run(f"cat {STATE}/new/registered") == host.run("cut -d ' ' -f 1 /run/microvms/new/hypervisor.pid")
    host.run("systemctl stop microvm@old microvm@new")
    host.wait_for(lambda: host.run("ip link show type tun; ip link show type macvtap") == "")
    assert host.run(f"ls {STATE}/new").split() == ["current", "package", "unregistered"]


def console(host: UnitHost, keys: str = "") -> str:
    """What is on the console of ``tiny``, a moment after keys were typed."""
    typed = f"printf '{keys}' > /run/microvms/tiny/console.in; sleep 0.3; " if keys else ""
    return host.run(f"{typed}tail -c 300 /run/microvms/tiny/console.log || true")


def test_a_guest_has_a_console_and_says_how_it_ends(host: UnitHost, tmp_path: Path) -> None:
    """QEMU: a prompt shows at once, keys get answers; a reboot is told from a power-off, and a stop is heard."""
    host.make({"tiny": tiny(tmp_path)})
    host.run("systemctl start microvm@tiny")
    host.wait_for(lambda: console(host).endswith("login: "))
    assert console(host, "hi\\n").endswith("login: hi\nlogin: ")
    before = host.run("systemctl show --property=InvocationID microvm@tiny")
    console(host, "r")
    host.wait_for(lambda: console(host).endswith("login: "))
    assert host.run("systemctl show --property=InvocationID microvm@tiny") != before
    assert "MicroVM tiny has rebooted and is started again" in host.journal("tiny")
    host.run("systemctl stop microvm@tiny")
    assert re.fullmatch(r"MicroVM tiny: stopped by the guest after [0-9] s", host.journal("tiny")[-1])
    host.run("systemctl start microvm@tiny")
    host.wait_for(lambda: console(host).endswith("login: "))
    console(host, "p")
    host.wait_for(lambda: host.states(["tiny"]) == {"tiny": "inactive"})
    assert host.journal("tiny")[-1] == "MicroVM tiny has powered off and stays down"


def test_a_flood_on_the_console_is_bounded(host: UnitHost) -> None:
    """QEMU, and a stand-in that is quicker: neither the log nor the journal grows with it, and nobody waits."""
    host.make({"flood": stand_in(BASH, "exec yes '<0>all work and no play makes a dull guest'")})
    host.run("journalctl --rotate -q; systemctl start microvm@flood microvm@tiny")
    host.wait_for(lambda: console(host).endswith("login: "))
    console(host, "f")
    host.run("sleep 3")
    sizes = host.run("stat --format %s /run/microvms/flood/console.log* /run/microvms/tiny/console.log*").split()
    assert len(sizes) >= 3 and all(int(size) <= 512 * 1024 for size in sizes)
    lines = int(host.run("journalctl -b -q --no-pager -o cat -t microvm@flood | wc -l"))
    # journald lets pass more than the burst where the disk has much room.
    assert 900 < lines <= 6 * 1000
    assert host.journal("flood") == []
    # This guest hears nothing any more; what the host says of it is not lost in the flood.
    host.send("/etc/microvm-fleet/vms", {"tiny.env": "STOP_TIMEOUT=1\n"})
    host.run("systemctl stop microvm@flood microvm@tiny")
    assert host.journal("tiny")[-1].startswith("MicroVM tiny: stopped by SIGTERM after ")


def shares(host: UnitHost) -> str:
    """Whether the MicroVM with shares and its daemons are there: two words."""
    return host.run("systemctl is-active microvm@shares microvm-virtiofsd@shares || true")


def test_shares_end_and_come_back_with_their_microvm(host: UnitHost) -> None:
    """A package that only lists its shares, with a stand-in that connects as a hypervisor does; virtiofsd is real."""
    lists = {"socket": "share.sock\n", "source": f"{STATE}/shares/files\n"}
    run = stand_in(BASH, "socat -u UNIX-CONNECT:share.sock - &", "exec sleep infinity")
    host.make({"shares": {**run, **{f"share/microvm/virtiofs/out/{name}": text for name, text in lists.items()}}})
    host.run("systemctl start microvm@shares")
    assert shares(host) == "active\nactive\n"
    assert "S" in host.run(f"stat --format %A {STATE}/shares/share.sock").upper()
    exposure = host.run("systemd-analyze security --no-pager microvm-virtiofsd@shares | tail -n 1")
    assert float(re.findall(r"[0-9.]+(?= [A-Z])", exposure)[0]) <= 4.0
    seen = set()
    for kills in range(1, 5):
        seen.add(host.run("systemctl show --property=InvocationID microvm@shares"))
        assert len(seen) == kills
        host.run("pkill -KILL -x virtiofsd")
        host.wait_for(lambda: host.run("systemctl show --property=InvocationID microvm@shares") not in seen)
        host.wait_for(lambda: shares(host) == "active\nactive\n")
    assert "MicroVM shares has lost its shares and is started again" in host.journal("shares")
    # Not for ever.
    host.run("pkill -KILL -x virtiofsd")
    host.wait_for(lambda: host.states(["shares"]) == {"shares": "failed"})
    host.wait_for(lambda: host.run("pgrep -x virtiofsd || true") == "")
    host.run("systemctl reset-failed; systemctl start microvm@shares; sleep 0.5; systemctl stop microvm@shares")
    host.wait_for(lambda: shares(host) == "inactive\ninactive\n")
    assert host.run(f"ls {STATE}/shares").split() == ["current", "files", "package"]
    order = host.run("journalctl -b --no-pager -o cat -u microvm@shares -u microvm-virtiofsd@shares -n 30")
    assert order.rindex("Stopped microvm@shares") < order.rindex("Stopping microvm-virtiofsd@shares")


def turns(host: UnitHost) -> list[tuple[float, str]]:
    """When it was whose turn at this start of the host."""
    lines = host.run("journalctl -b --no-pager -o short-monotonic -g 'it is the turn of'").splitlines()
    return [(float(re.findall(r"[0-9.]+", line)[0]), line.rpartition(" ")[2]) for line in lines]


def test_a_start_of_the_host_is_in_order_and_bounded(host: UnitHost) -> None:
    """Two at once, each for three seconds, by their order and then by name; who is stopped waits no more. Stand-ins."""
    orders = {
        "boot-z": "99",
        "boot-a": "90",
        "boot-b": "050",
        "boot-c": "50",
        "boot-d": "10",
        "boot-e": "9",
        "boot-f": "",
    }
    settings: Mapping[str, str] = {name: f"BOOT_ORDER={order}\n" for name, order in orders.items() if order}
    host.make({name: stand_in(BASH, "exec sleep infinity") for name in orders}, settings)
    host.send("/etc/microvm-fleet", {"boot.env": "BOOT_PARALLEL=2\nBOOT_SETTLE=3\n"})
    host.run("systemctl enable -q " + " ".join(f"microvm@{name}" for name in orders))
    host.reboot(meanwhile="systemctl stop microvm@boot-z")
    states = host.states(orders)
    assert states.pop("boot-z") == "inactive" and set(states.values()) == {"active"}
    taken = turns(host)
    assert [name for _time, name in taken] == ["boot-e", "boot-d", "boot-b", "boot-c", "boot-f", "boot-a"]
    # Whole seconds are counted.
    assert all(later[0] - earlier[0] >= 2 for earlier, later in zip(taken, taken[2:], strict=False))
    assert taken[1][0] - taken[0][0] < 2
    # Later on, nobody waits.
    host.run("systemctl restart microvm@boot-a")
    host.wait_for(lambda: host.run("ls -A /run/microvm-fleet/boot/queue") == "", 5)


def test_nothing_of_them_is_left(host: UnitHost) -> None:
    """No process, no file below /run, no interface, when all have been stopped."""
    host.run("systemctl stop 'microvm@*'")
    assert host.run("pgrep -u microvm -a || true; ls /run/microvms; pgrep -a microvm || true") == ""
    host.wait_for(lambda: host.run("systemctl list-units --plain --no-legend 'microvm-*@*' --state=active") == "")
