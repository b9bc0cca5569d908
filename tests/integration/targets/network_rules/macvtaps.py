# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests on macvtaps: what one can forge without rules, and that none of it comes through with them."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import stat
import struct
import subprocess
import time
from pathlib import Path

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.accounts import Account
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import TAP_RULES_DIRECTORY
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.host_setup.files import script_files
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks import configuration as files
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.macvtaps import (
    macvtap_members,
    unloaded_macvtaps,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.observe import observe
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.observe_macvtaps import (
    can_filter_macvtaps,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.state import Observed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.units import watch_script
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts import interfaces, sources
from frames import (
    BROADCAST,
    IPV4,
    REPLY,
    VLAN,
    arp,
    echo_request,
    echo_request6,
    ethernet,
    ipv4,
    ipv6,
    mac_bytes,
    neighbour,
    router_advertisement,
    udp,
    udp6,
)

PATIENCE = 60
NETWORK_LIST = "/run/networks.list"
NETWORKS = parse_networks(
    [
        {"name": "wire0", "mode": "macvtap", "link": "lan0"},
        {"name": "wire1", "mode": "macvtap", "link": "lan1", "macvtap": {"mode": "private"}},
    ]
)
ROOT = Account("root", "root")
STATE = "/run/state"
PREFIX = "2001:db8::"
ROUTER = ("02:00:00:00:00:fe", "192.0.2.1")


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def bash(script: str) -> None:
    given = f"tap_rules={TAP_RULES_DIRECTORY!r} network_list={NETWORK_LIST!r} network_unit=none network_settings=none"
    functions = sources.MAKE_MACVTAP + sources.JOIN_MACVTAP + sources.BIND_TAPS + sources.BIND_MACVTAP
    subprocess.run(["bash", "-c", f"set -euo pipefail\n{given}\n{functions}\n{script}"], check=True)


class Wire:
    """Network beyond the link, as a station sees it."""

    def __init__(self, interface: str) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind((interface, 0))

    def read(self) -> bytes:
        return self.socket.recv(4096)

    def fileno(self) -> int:
        return self.socket.fileno()


class Guest:
    """Guest at the far end of a macvtap that joins the network; bound to nothing if it lists no address."""

    def __init__(self, name: str, number: int, *listed: str, network: str = "wire0") -> None:
        self.name, self.network = name, network
        self.mac, self.address = f"02:00:00:00:00:{number:02x}", f"192.0.2.{number}"
        self.link_local, self.own6 = (f"{prefix}ff:fe00:{number:x}" for prefix in ("fe80::", PREFIX))
        bash(f"join_macvtap {NETWORK_LIST} {name} root root {network} {self.mac}")
        if listed:
            self.bind(*listed)
        # Another namespace may have a macvtap of the same number, and so of the same path in /dev.
        (number_file,) = Path(f"/sys/class/net/{name}/macvtap").glob("tap*/dev")
        os.mknod(f"/run/{name}", stat.S_IFCHR | 0o600, os.makedev(*map(int, number_file.read_text().split(":"))))
        self.file = os.open(f"/run/{name}", os.O_RDWR | os.O_NONBLOCK)
        # IFF_TAP and IFF_NO_PI: without the header of virtio.
        fcntl.ioctl(self.file, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1002))

    def bind(self, *listed: str) -> None:
        bash(f"bind_macvtap {self.name} {self.network} {self.mac} {' '.join(listed)}")

    @property
    def identity(self) -> tuple[str, str]:
        return self.mac, self.address

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            os.write(self.file, frame)

    def read(self) -> bytes:
        return os.read(self.file, 4096)

    def fileno(self) -> int:
        return self.file


def until(receiver: Wire | Guest, last: bytes) -> list[bytes]:
    """Return what comes before a certain frame."""
    frames, deadline = [], time.monotonic() + PATIENCE
    while True:
        ready, *_others = select.select([receiver], [], [], max(0, deadline - time.monotonic()))
        assert ready, f"the frame {last.hex()} has not come, but {[frame.hex() for frame in frames]}"
        frame = receiver.read()
        if frame == last:
            return frames
        frames.append(frame)


def received(sender: Guest, receivers: list[Wire | Guest], frames: list[bytes], number: int) -> int:
    """Send frames, then one that may pass; return how many of them come to anybody."""
    last = arp(sender.identity, (BROADCAST, f"192.0.2.{100 + number}"))
    sender.send(*frames, last)
    seen = {frame for receiver in receivers for frame in until(receiver, last)}
    return sum(frame in seen for frame in frames)


def attacks(a: Guest, b: Guest) -> dict[str, list[bytes]]:
    """Return what a guest must not send, whether or not its addresses are known: to a neighbour, and to the wire."""
    frames = {}
    for where, mac, address, address6 in (
        ("neighbour", b.mac, b.address, b.own6),
        ("wire", ROUTER[0], ROUTER[1], f"{PREFIX}1"),
    ):
        both, other = (a.mac, mac), "02:66:66:66:66:66"
        frames[where] = [
            udp((other, mac), (a.address, address), (1, 2)),
            udp((b.mac, ROUTER[0]), (a.address, address), (1, 2)),
            arp((other, a.address), (mac, address), REPLY, source=a.mac),
            udp(both, (a.address, "255.255.255.255"), (67, 68), bytes(240)),
            udp(both, (a.address, address), (1067, 68), bytes(240)),
            udp6(both, (a.link_local, address6), (547, 546), bytes(8)),
            ipv6(both, (a.link_local, "ff02::1"), 58, struct.pack("!BBHIQQ", 137, 0, 0, 0, 0, 0)),
            ipv6(both, (a.link_local, "ff02::1"), 44, struct.pack("!BBHI", 58, 0, 0, 1) + bytes(8)),
            ethernet(mac, a.mac, 0x88B5, b"hello" * 10),
            # A query of IGMP, PIM, a redirect, advertisements of routers of multicasts, and headers that are none.
            ipv4(both, (a.address, address), 2, b"\x11" + bytes(7)),
            ipv4(both, (a.address, address), 103, bytes(8)),
            ipv4(both, (a.address, address), 1, b"\x05\x01" + bytes(34)),
            ipv6(both, (a.link_local, "ff02::6a"), 58, struct.pack("!BBHHH", 151, 20, 0, 125, 2)),
            ipv6(both, (a.link_local, "ff02::d"), 103, bytes(8)),
            ethernet(mac, a.mac, IPV4, b"\x44" + udp(both, (a.address, address), (1, 2))[15:]),
            arp(a.identity, (mac, address))[:18] + b"\x08" + arp(a.identity, (mac, address))[19:],
        ]
    inner = udp((a.mac, b.mac), (a.address, b.address), (1, 2))[14:]
    frames["neighbour"].append(ethernet(b.mac, a.mac, VLAN, struct.pack("!HH", 1, IPV4) + inner))
    frames["everybody"] = [arp((other, a.address), (BROADCAST, b.address)), router_advertisement(a.mac)]
    return frames


def of_addresses(a: Guest, b: Guest) -> list[bytes]:
    """Return what a guest whose addresses are known must not send, and others may: addresses of others."""
    return [
        arp((a.mac, b.address), (BROADCAST, ROUTER[1])),
        arp((a.mac, ROUTER[1]), b.identity, REPLY),
        udp((a.mac, b.mac), ("192.0.2.77", b.address), (1, 2)),
        udp((a.mac, ROUTER[0]), (b.address, ROUTER[1]), (1, 2)),
        udp6((a.mac, b.mac), (b.own6, f"{PREFIX}7"), (1, 2)),
        neighbour(136, (a.mac, b.mac), (a.own6, b.own6), f"{PREFIX}1"),
        neighbour(135, (a.mac, BROADCAST), ("::", "ff02::1"), b.own6),
        arp((a.mac, "0.0.0.0"), (BROADCAST, b.address)),
    ]


def permitted(a: Guest, b: Guest) -> list[bytes]:
    """Return what a guest with known addresses sends."""
    return [
        arp(a.identity, b.identity, REPLY),
        arp((a.mac, "0.0.0.0"), (BROADCAST, a.address)),
        udp((a.mac, BROADCAST), ("0.0.0.0", "255.255.255.255"), (68, 67), bytes(240)),
        udp((a.mac, b.mac), (a.address, b.address), (1, 2)),
        ipv4((a.mac, b.mac), (a.address, "224.0.0.22"), 2, b"\x22" + bytes(7)),
        echo_request((a.mac, ROUTER[0]), (a.address, ROUTER[1])),
        echo_request6((a.mac, b.mac), (a.own6, b.own6)),
        echo_request6((a.mac, b.mac), (f"{PREFIX}5", b.own6)),
        neighbour(135, (a.mac, BROADCAST), ("::", "ff02::1"), a.link_local),
        neighbour(136, (a.mac, b.mac), (a.own6, b.own6), a.own6),
        neighbour(136, (a.mac, b.mac), (a.own6, b.own6), f"{PREFIX}5"),
    ]


def check_frames(wire: Wire) -> list[Guest]:
    """Send the same frames without rules, with those of known addresses, and with those of others."""
    a, b = Guest("mv-a", 11), Guest("mv-b", 12, "192.0.2.12", "dhcp")
    everybody: list[Wire | Guest] = [wire, b]
    forged = [frame for frames in attacks(a, b).values() for frame in frames]
    addresses, own = of_addresses(a, b), permitted(a, b)
    assert received(a, everybody, [*forged, *addresses], 1) == len({*forged, *addresses})
    a.bind(a.address, f"{PREFIX}5")
    assert received(a, everybody, [*forged, *addresses], 2) == 0
    assert received(a, everybody, own, 3) == len(own)
    a.bind("dhcp")
    assert received(a, everybody, forged, 4) == 0
    assert received(a, everybody, [*addresses, *own], 5) == len(addresses) + len(own)
    a.bind(a.address, f"{PREFIX}5")
    print(f"macvtaps: without rules {len(forged)} + {len(addresses)} forged frames come through, with rules none")
    return [a, b]


def check_private(wire: Wire) -> None:
    """Guests of a private network reach the wire, and not each other."""
    x, y = (Guest(f"mv-{name}", number, "dhcp", network="wire1") for name, number in (("x", 21), ("y", 22)))
    x.send(arp(x.identity, (BROADCAST, y.address)), udp((x.mac, y.mac), (x.address, y.address), (1, 2)))
    last = arp(x.identity, (BROADCAST, "192.0.2.99"))
    x.send(last)
    until(wire, last)
    # What comes in from the wire does come to both.
    wire.socket.send(arp(ROUTER, (BROADCAST, y.address)))
    assert [frame for frame in until(y, arp(ROUTER, (BROADCAST, y.address))) if frame[6:12] == mac_bytes(x.mac)] == []
    for guest in (x, y):
        run("ip", "link", "delete", "dev", guest.name)
    bash("unbind_missing_macvtaps")
    assert nothing_of("mv-x", "mv-y")
    print("macvtaps: guests of a private network do not reach each other")


def check_watch(wire: Wire, a: Guest, b: Guest) -> None:
    """Delete the rules; they come back, and a run sees it meanwhile."""
    forged = [udp(("02:66:66:66:66:66", ROUTER[0]), (a.address, ROUTER[1]), (1, 2))]
    run("nft", "flush", "ruleset")
    observed = observe_here()
    assert macvtap_members(observed, NETWORKS[0]) == ("mv-a", "mv-b")
    assert list(unloaded_macvtaps(observed, NETWORKS[0])) == ["mv-a", "mv-b"]
    assert received(a, [wire], forged, 6) == 1
    Path("/run/watch").write_text(watch_script("/run/network.nft"))
    with subprocess.Popen(["bash", "/run/watch"]) as watch:
        await_tables("mv-a", "mv-b")
        run("nft", "delete", "table", "netdev", "microvm_mv-a")
        await_tables("mv-a")
        run("nft", "flush", "ruleset")
        await_tables("mv-a", "mv-b")
        watch.terminate()
    assert received(a, [wire, b], forged, 7) == 0
    assert list(unloaded_macvtaps(observe_here(), NETWORKS[0])) == []
    print("macvtaps: deleted rules come back")


def observe_here() -> Observed:
    """Observe without systemd."""
    systemd.show = lambda units: {unit: systemd.Unit() for unit in units}
    return observe()


def await_tables(*macvtaps: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(f"microvm_{name}\n" in run("nft", "list", "tables", "netdev") for name in macvtaps):
        assert time.monotonic() < deadline, "the rules do not come back"
        time.sleep(0.01)


def microvm_package(action: str) -> int:
    """Run the script of the units, for a MicroVM whose second interface cannot be made."""
    return subprocess.run(["bash", "/run/microvm-package", action, "web"], check=False).returncode


def write_package(kind: str, *names: str) -> None:
    package = Path(STATE, "web", "current")
    (package / "bin").mkdir(parents=True, exist_ok=True)
    (package / "share/microvm").mkdir(parents=True, exist_ok=True)
    declared = [
        {
            "id": name,
            "bridge": "wire0" if kind == "macvtap" else None,
            "mac": f"02:00:00:00:01:{number:02x}",
            "macvtap": {},
        }
        for number, name in enumerate(names)
    ]
    if kind == "macvtap":
        scripts = (interfaces.macvtap_up("web", declared, ROOT), interfaces.macvtap_down("web", declared))
    else:
        scripts = (interfaces.tap_up("web", declared, (), ROOT), interfaces.tap_down("web", declared, ROOT))
    for end, script in zip(("up", "down"), scripts):
        path = package / "bin" / f"{kind}-{end}"
        path.write_text(script)
        path.chmod(0o755)
    lines = [f"{each['id']} wire0 {each['mac']} dhcp\n" for each in declared]
    name, texts = ("macvtap-guests", lines) if kind == "macvtap" else ("tap-interfaces", [f"{n}\n" for n in names])
    (package / "share/microvm" / name).write_text("".join(texts))


def check_units() -> None:
    """Start and stop MicroVMs; a start that fails halfway leaves nothing, and takes nothing from others."""
    scripts = script_files(STATE)
    Path("/run/microvm-package").write_text(scripts["microvm-package"])
    write_package("macvtap", "mv-p", "mv-q")
    assert microvm_package("macvtap-up") == 0
    await_tables("mv-p", "mv-q")
    assert microvm_package("macvtap-down") == 0
    assert nothing_of("mv-p", "mv-q")
    # Neither is a macvtap, nor a tap, that it may replace.
    run("ip", "link", "add", "other0", "type", "bridge")
    for kind in ("macvtap", "tap"):
        write_package(kind, "mv-p", "other0")
        assert microvm_package(f"{kind}-up") != 0
        assert nothing_of("mv-p"), kind
        assert Path("/sys/class/net/other0").exists()
    Path(NETWORK_LIST).write_text("")
    write_package("macvtap", "mv-p")
    assert microvm_package("macvtap-up") != 0
    print("macvtaps: a start that fails leaves no interface")


def nothing_of(*names: str) -> bool:
    rest = run("nft", "list", "ruleset") + " ".join(os.listdir("/sys/class/net") + os.listdir(TAP_RULES_DIRECTORY))
    return not any(name in rest for name in names)


def main() -> None:
    run("ip", "link", "set", "lo", "up")
    # Without IPv6, the host itself sends nothing on either.
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
    for number in "01":
        run("ip", "link", "add", f"lan{number}", "type", "veth", "peer", "name", f"far{number}")
        for name in (f"lan{number}", f"far{number}"):
            run("ip", "link", "set", name, "up")
    texts = files.configuration(NETWORKS)
    Path("/run/network.nft").write_text(texts[files.RULES])
    Path(TAP_RULES_DIRECTORY).mkdir(parents=True)
    Path(NETWORK_LIST).write_text(texts[files.NETWORK_LIST])
    interfaces.NETWORK_LIST = NETWORK_LIST
    run("nft", "-f", "/run/network.nft")
    before = run("nft", "list", "ruleset")
    assert can_filter_macvtaps() and run("nft", "list", "ruleset") == before
    wire = Wire("far0")
    a, b = check_frames(wire)
    check_private(Wire("far1"))
    check_watch(wire, a, b)
    check_units()


if __name__ == "__main__":
    main()
