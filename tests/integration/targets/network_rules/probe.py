# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attacks of guests, counted frame by frame. Runs in namespaces of its own; 1 as argument switches br_netfilter on."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import routed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration import names
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import Network
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.executor import execute
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks import configuration as files
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.handlers import (
    HANDLERS,
    NetworksJob,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.plan import Action, Plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.units import watch_script
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.steps import Step
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.runner.scripts import sources
from frames import (
    ARP,
    BROADCAST,
    IPV4,
    IPV6,
    REPLY,
    VLAN,
    arp,
    echo_request,
    ethernet,
    ipv6,
    mac_bytes,
    router_advertisement,
    source_of,
    tcp_syn,
    udp,
)

PATIENCE = 60
LEASES = [
    {"mac": "02:00:00:00:00:0d", "address": "10.66.1.13"},
    {"mac": "02:00:00:00:00:0F", "address": "10.66.1.15"},
]


def networks(*leases: dict[str, str]) -> list[Network]:
    """Return the networks with further leases."""
    return parse_networks(
        [
            {
                "name": "nat0",
                "address": "10.66.1.1/24",
                "nat": True,
                "host_ports": ["tcp/8080"],
                "dhcp_server": {},
                "leases": [*LEASES, *leases],
            },
            {"name": "closed0", "address": "10.66.2.1/24", "host_access": "none"},
            {"name": "apart0", "address": "10.66.3.1/24", "nat": True, "isolate": True},
            {"name": "open0", "address": "10.66.4.1/24", "nat": True, "host_access": "all", "metadata": True},
            *routed.NETWORKS,
        ]
    )


NETWORKS = networks()
ELSEWHERE = "10.99.0.1"
"""Address of the host beside its bridges."""
OUTSIDE = "198.51.100.2"
METADATA = "169.254.169.254"
OTHER_METADATA = ("100.100.100.200", "168.63.129.16")
ECHO_REPLY = 0


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def bash(script: str) -> None:
    subprocess.run(bash_command(script), check=True)


def bash_command(script: str) -> list[str]:
    """Return the command that runs a script after our functions."""
    given = f"network_list={names.NETWORK_LIST!r} tap_rules={names.TAP_RULES_DIRECTORY!r}"
    given += " network_settings=/run/none network_unit=none"
    functions = sources.MAKE_TAP + sources.BIND_TAPS + sources.ROUTE_TAP
    return ["bash", "-c", f"set -euo pipefail\n{given}\n{functions}\n{script}"]


def elements(kind: str) -> str:
    """Return a set of the table of taps as nft prints it."""
    return run("nft", "list", "set", "bridge", "microvm_fleet", kind)


def await_carrier(interface: str) -> None:
    """Wait until the kernel knows that somebody holds the far end: until then it drops what is sent there."""
    deadline = time.monotonic() + PATIENCE
    while " UP " not in run("ip", "-brief", "link", "show", "dev", interface):
        assert time.monotonic() < deadline, interface
        time.sleep(0.01)


class Guest:
    """A guest at the far end of a tap."""

    def __init__(self, tap: str, bridge: str, mac: str, address: str, *listed: str) -> None:
        self.tap, self.mac, self.address = tap, mac, address
        self.bridge_mac = Path(f"/sys/class/net/{bridge}/address").read_text().strip()
        bash(f"make_tap {tap} root {bridge}; bind_tap {tap} {' '.join(listed)}")
        self.file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        # IFF_TAP and IFF_NO_PI.
        fcntl.ioctl(self.file, 0x400454CA, struct.pack("16sH22x", tap.encode(), 0x1002))
        await_carrier(tap)

    @property
    def identity(self) -> tuple[str, str]:
        return self.mac, self.address

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            os.write(self.file, frame)

    def to_host(self, address: str) -> tuple[tuple[str, str], tuple[str, str]]:
        """Return the MAC and IP addresses of a packet by way of the host."""
        return (self.mac, self.bridge_mac), (self.address, address)

    def received_until(self, last: object) -> list[bytes]:
        """Return the frames before a certain one; answers meanwhile who asks for the guest by ARP."""
        deadline, frames = time.monotonic() + PATIENCE, []
        while True:
            ready, *_others = select.select([self.file], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise AssertionError(f"{self.tap} has not received the expected frame, but {[f.hex() for f in frames]}")
            frame = os.read(self.file, 4096)
            if last(frame) if callable(last) else frame == last:
                return frames
            if frame[12:14] == struct.pack("!H", ARP) and frame[38:42] == socket.inet_aton(self.address):
                self.send(arp(self.identity, (frame[6:12].hex(":"), socket.inet_ntoa(frame[28:32])), REPLY))
            frames.append(frame)


def marker(guest: Guest) -> bytes:
    """Return a broadcast that is allowed."""
    return arp(guest.identity, (BROADCAST, guest.address.rpartition(".")[0] + ".99"))


def expect_none(what: str, attacker: Guest, victim: Guest, *frames: bytes) -> None:
    """Send frames that must not come to the victim, then one that must."""
    attacker.send(*frames, marker(attacker))
    seen = [frame for frame in victim.received_until(marker(attacker)) if frame in frames]
    print(f"{what}: {len(frames)} sent, {len(seen)} received, then the allowed one")
    assert seen == [], what


def answered(guest: Guest, *frames: bytes, by: str) -> list[str]:
    """Send packets; return who answers before the last one's destination does."""
    guest.send(*frames)
    return [source for source in map(source_of, guest.received_until(lambda frame: source_of(frame) == by)) if source]


def set_up_host(declared: list[Network]) -> None:
    """Create the host's interfaces, a peer beyond it, and what role ``network`` writes."""
    run("ip", "link", "set", "lo", "up")
    script = f"""
ip netns add outside
ip link add up0 type veth peer name eth0 netns outside
ip addr add 198.51.100.1/24 dev up0; ip link set up0 up
ip route add default via {OUTSIDE}
ip -n outside link set lo up; ip -n outside link set eth0 up
ip -n outside addr add {OUTSIDE}/24 dev eth0; ip -n outside addr add {METADATA}/32 dev lo
for address in {" ".join(OTHER_METADATA)}; do ip -n outside addr add $address/32 dev lo; done
ip -n outside route add 10.66.0.0/16 via 198.51.100.1
ip -n outside -6 addr add 2001:db8::2/64 dev eth0 nodad; ip -6 addr add 2001:db8::1/64 dev up0 nodad
ip -n outside -6 route add default via 2001:db8::1
ip route add {METADATA}/32 via {OUTSIDE}
ip link add else0 address 02:00:00:01:00:0e type bridge; ip addr add {ELSEWHERE}/24 dev else0; ip link set else0 up
ip -6 addr add 2001:db8:e::1/64 dev else0 nodad
"""
    subprocess.run(["bash", "-euc", script], check=True)
    make_bridges(declared)


def make_bridges(declared: list[Network]) -> None:
    """Create the bridges, with their addresses."""
    for network in declared:
        # With a MAC address of its own, which ports do not change.
        mac = "02:00:00:01:00:0" + network["address"].split(".")[2]
        run("ip", "link", "add", network["name"], "address", mac, "type", "bridge")
        run("ip", "addr", "add", network["address"], "dev", network["name"])
        run("ip", "link", "set", network["name"], "up")
        if network["ipv6"] is not None:
            run("ip", "-6", "addr", "add", network["ipv6"]["address"], "dev", network["name"], "nodad")


def write_configuration(declared: list[Network], *host_addresses: str) -> None:
    """Apply the files, in a directory of the namespace."""
    texts = files.configuration(declared, ["up0"], ["up0"], host_addresses=host_addresses)
    names.NETWORK_LIST = "/run/networks.list"
    Path(names.NETWORK_LIST).write_text(texts[files.NETWORK_LIST])
    Path("/run/network.nft").write_text(texts[files.RULES])
    for parameter, value in files.parsed_settings(texts[files.SYSCTLS]).items():
        # Not all kernels forward IPv6 by interface.
        if Path("/proc/sys", parameter).exists():
            Path("/proc/sys", parameter).write_text(value)
    run("nft", "-f", "/run/network.nft")


def attacks_on_neighbours(a: Guest, b: Guest) -> None:
    """Forge what a guest can forge."""
    host, both = ("", "10.66.1.1"), (a.mac, b.mac)
    expect_none("forged MAC", a, b, arp(("02:66:66:66:66:66", a.address), b.identity))
    expect_none("neighbour's MAC", a, b, arp((b.mac, a.address), b.identity))
    expect_none("ARP for the neighbour's own address", a, b, arp((a.mac, b.address), b.identity))
    expect_none("ARP for the bridge", a, b, arp((a.mac, host[1]), b.identity, REPLY))
    expect_none("ARP with another MAC inside", a, b, arp(("02:66:66:66:66:66", a.address), b.identity, source=a.mac))
    expect_none("forged IPv4 source", a, b, udp(both, ("10.66.1.77", b.address), (1000, 1000)))
    expect_none("IPv4 source of the bridge", a, b, udp(both, (host[1], b.address), (1000, 1000)))
    expect_none("DHCP offer", a, b, udp(both, (a.address, "255.255.255.255"), (67, 68), bytes(240)))
    expect_none("DHCP offer from another port", a, b, udp(both, (a.address, b.address), (1067, 68), bytes(240)))
    expect_none("router advertisement", a, b, router_advertisement(a.mac))
    tagged = ethernet(b.mac, a.mac, VLAN, struct.pack("!HH", 1, IPV4) + udp(both, (a.address, b.address), (1, 2))[14:])
    expect_none("VLAN tag", a, b, tagged)
    expect_none("another protocol", a, b, ethernet(b.mac, a.mac, 0x88B5, b"hello" * 10))
    neighbour = ipv6(both, ("fe80::2", "fe80::3"), 17, struct.pack("!HHHH", 1, 1, 8, 0))
    expect_none("IPv6", a, b, neighbour)


def flood(attacker: Guest, bridge: str, limit: int) -> None:
    """Send frames of many MAC addresses; the bridge learns few."""
    macs = [f"02:ff:00:00:{number >> 8:02x}:{number & 255:02x}" for number in range(6000)]
    attacker.send(*[arp((mac, attacker.address), (BROADCAST, "10.66.1.99")) for mac in macs])
    learned = run("bridge", "fdb", "show", "br", bridge).count("02:ff:00:00")
    print(f"flood of {len(macs)} MAC addresses by {attacker.tap}: {learned} learned, at most {limit} may be")
    assert learned <= limit


def port(guest: Guest, address: str, number: int) -> bytes:
    """Return a request to connect to a port; where nothing listens, it is answered too."""
    return tcp_syn(*guest.to_host(address), (40000 + number, number))


def host_and_beyond(a: Guest, closed: Guest, free: Guest) -> None:
    """Try the host's services, and what is beyond it; whoever may reach all of it is answered."""

    def services(guest: Guest) -> list[bytes]:
        requests = [port(guest, address, 8080) for address in (ELSEWHERE, "198.51.100.1", "10.66.2.1")]
        return [*requests, echo_request(*guest.to_host(ELSEWHERE))]

    listeners = [socket.create_server(("0.0.0.0", number)) for number in (22, 8080)]
    asked = [*services(a), port(a, "10.66.1.1", 22)]
    assert answered(a, *asked, port(a, "10.66.1.1", 8080), by="10.66.1.1") == []
    asked = [*services(free), port(free, "10.66.4.1", 22)]
    last = echo_request(*free.to_host(OUTSIDE))
    assert set(answered(free, *asked, last, by=OUTSIDE)) == {ELSEWHERE, "198.51.100.1", "10.66.2.1", "10.66.4.1"}
    print("host: no answer of other addresses and ports; the declared port answers, and where all is open, all does")
    closed.send(*[echo_request(*closed.to_host(to)) for to in ("10.66.2.1", OUTSIDE, a.address, ELSEWHERE)])
    assert not [frame for frame in closed_until_host_asks(closed) if source_of(frame)]
    print("closed: 4 sent, 0 answered, then the host's own connection")
    rule = f"ip daddr {ELSEWHERE} tcp dport 8081 dnat to 10.66.1.1:8080"
    run("nft", f"table ip nat {{ chain c {{ type nat hook prerouting priority dstnat; {rule}; }}; }}")
    assert answered(a, port(a, ELSEWHERE, 8081), port(a, "10.66.1.1", 8080), by="10.66.1.1") == []
    assert answered(free, port(free, ELSEWHERE, 8081), by=ELSEWHERE) == []
    run("nft", "delete", "table", "ip", "nat")
    print("NAT of others to a permitted port: not answered, but where all is open")
    for listener in listeners:
        listener.close()


def metadata(a: Guest, free: Guest) -> None:
    """Services that give credentials away answer only where it is permitted; resolvers at their addresses answer."""
    for address in (METADATA, *OTHER_METADATA):

        def requests(guest: Guest, to: str = address) -> list[bytes]:
            # With a checksum that is the number of the port of DNS.
            echo = echo_request(*guest.to_host(to), identifier=0xFFCA - 0x0801)
            assert echo[36:38] == struct.pack("!H", 53)
            return [port(guest, to, 80), udp(*guest.to_host(to), (4000, 80)), echo]

        assert answered(a, *requests(a), echo_request(*a.to_host(OUTSIDE)), by=OUTSIDE) == []
        assert answered(a, port(a, address, 53), by=address) == []
        assert answered(free, *requests(free), echo_request(*free.to_host(OUTSIDE)), by=OUTSIDE) == 3 * [address]
    print("metadata: 3 addresses do not answer, but for DNS; where they may, they do")


def closed_until_host_asks(guest: Guest) -> list[bytes]:
    """Let the host connect to a guest; return what the guest has received before."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knock:
        knock.sendto(b"knock", (guest.address, 4242))
        return guest.received_until(lambda frame: frame.endswith(b"knock"))


def from_outside(a: Guest, closed: Guest) -> None:
    """Let a peer beyond the host, which has a route to the guests, send to them, then the host."""
    for guest in (a, closed):
        script = f"import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'outside', ('{guest.address}', 4242))"
        run("ip", "netns", "exec", "outside", sys.executable, "-c", script)
        assert not [frame for frame in closed_until_host_asks(guest) if frame.endswith(b"outside")]
    print("from outside: 2 sent, 0 received, then the host's own")


def isolated(x: Guest, y: Guest, a: Guest, b: Guest) -> None:
    """Neighbours that are kept from each other reach only the host, which carries packets between others."""
    a.send(udp(*a.to_host(b.address), (1, 2), b"by way of the host"))
    b.received_until(lambda frame: frame.endswith(b"by way of the host"))
    x.send(marker(x), udp((x.mac, y.mac), (x.address, y.address), (1, 2)))
    x.send(udp(*x.to_host(y.address), (1, 2)))
    assert not [frame for frame in closed_until_host_asks(y) if source_of(frame) == x.address or marker(x) == frame]
    assert answered(x, echo_request(*x.to_host("10.66.3.1")), by="10.66.3.1") == []
    print("isolated: 3 sent, 0 received")


def neighbours_mac_on_a_tap(a: Guest, b: Guest) -> None:
    """A tap that was given the neighbour's MAC address takes its connection, but no frames; a run repairs it."""
    own = Path(f"/sys/class/net/{b.tap}/address").read_text().strip()
    for mac in (a.mac, own):
        run("ip", "link", "set", "dev", b.tap, "address", mac)
    run("ip", "neighbour", "replace", a.address, "lladdr", a.mac, "dev", "nat0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as host:
        host.sendto(b"for the neighbour", (a.address, 4242))
    assert not [frame for frame in closed_until_host_asks(b) if frame.endswith(b"for the neighbour")]
    repair(Action.PIN, a)
    closed_until_host_asks(a)
    a.send(marker(a))
    b.received_until(marker(a))
    run("ip", "neighbour", "delete", a.address, "dev", "nat0")
    print("neighbour's MAC on a tap: 1 sent by the host, 0 received, then the neighbour is there again")


def repair(action: Action, guest: Guest) -> None:
    """Carry out a step of a run."""
    repair_tap(action, guest.tap)


def repair_tap(action: Action, tap: str) -> None:
    job = NetworksJob(Plan((Step(action, tap),), files.configuration(NETWORKS), {}))
    assert execute([job], HANDLERS)[job.name].error is None


def no_ipv6(a: Guest, elsewhere: Guest) -> None:
    """Nothing of IPv6 comes to the host or through it, whatever it forwards; on a bridge of others it does."""
    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
    assert run("ip", "-6", "address", "show", "dev", "nat0") == ""
    assert run("ip", "-6", "address", "show", "dev", a.tap) == ""
    run("ip", "-6", "neighbour", "replace", "2001:db8:e::9", "lladdr", elsewhere.mac, "dev", "else0")

    def requests(guest: Guest, source: str, *targets: str) -> list[bytes]:
        message = struct.pack("!BBHHH", 128, 0, 0, 7, 1)
        return [ipv6((guest.mac, guest.bridge_mac), (source, target), 58, message) for target in targets]

    for target in ("2001:db8::2", "2001:db8:e::1"):
        elsewhere.send(*requests(elsewhere, "2001:db8:e::9", target))
        elsewhere.received_until(lambda frame, target=target: is_ipv6_of_host(frame, elsewhere, target))
    a.send(*requests(a, "2001:db8:1::9", "2001:db8::2", "2001:db8::1", "2001:db8:e::1", "fe80::1"))
    a.send(echo_request(*a.to_host("10.66.1.1")))
    received = a.received_until(lambda frame: source_of(frame) == "10.66.1.1")
    assert not [frame for frame in received if is_ipv6_of_host(frame, a)]
    print("IPv6: 4 sent, 0 answered; 2 on a bridge of others, 2 answered")


def beyond_uplinks(guests: list[Guest], elsewhere: Guest) -> None:
    """Nobody reaches what is behind an interface that is no uplink."""
    for guest in guests:
        guest.send(udp(*guest.to_host(elsewhere.address), (4000, 80), b"beyond uplinks"))
        guest.send(echo_request(*guest.to_host(OUTSIDE)))
        guest.received_until(lambda frame: source_of(frame) == OUTSIDE)
        assert not [frame for frame in closed_until_host_asks(elsewhere) if frame.endswith(b"beyond uplinks")]
    print(f"beyond uplinks: {len(guests)} sent, 0 received, then the host's own")


def is_ipv6_of_host(frame: bytes, guest: Guest, source: str = "") -> bool:
    """Return whether a frame is from the guest's bridge, of IPv6, and from an address."""
    is_ipv6 = frame[6:14] == mac_bytes(guest.bridge_mac) + struct.pack("!H", IPV6)
    return is_ipv6 and (not source or frame[22:38] == socket.inet_pton(socket.AF_INET6, source))


def leases(a: Guest, b: Guest, leased: Guest, unknown: Guest) -> None:
    """Try addresses of leases, which only the guest with the lease's MAC address has, whenever it was bound."""
    expect_none("address of another's lease", b, a, arp((b.mac, leased.address), a.identity))
    expect_none("address of another's lease, no MAC", unknown, a, arp((unknown.mac, leased.address), a.identity))
    assert answered(leased, echo_request(*leased.to_host("10.66.1.1")), by="10.66.1.1") == []
    later = (b.mac, "10.66.1.16")
    write_configuration(networks({"mac": b.mac, "address": later[1]}))
    expect_none("address of a new lease", leased, a, arp((leased.mac, later[1]), a.identity))
    b.send(arp(later, a.identity), udp((b.mac, a.mac), (later[1], a.address), (1, 2), b"new lease"))
    a.received_until(arp(later, a.identity))
    a.received_until(lambda frame: frame.endswith(b"new lease"))
    write_configuration(NETWORKS)
    print("leases: a tap without MAC and one that was bound before have theirs")


def many_addresses(unknown: Guest, second: Guest, a: Guest) -> None:
    """One guest whose MAC address is not known leaves room for others."""
    flood(unknown, "nat0", 20)
    second.send(marker(second))
    a.received_until(marker(second))


def locks(directory: str) -> int:
    """Return how many processes wait for the lock of a directory."""
    inode = os.stat(directory).st_ino
    waiting = [line for line in Path("/proc/locks").read_text().splitlines() if " -> " in line]
    return sum(f":{inode} " in line for line in waiting)


def while_locked(command: list[str]) -> subprocess.Popen[bytes]:
    """Run a command until it waits for the lock of the taps' rules; load them meanwhile, as their unit does."""
    directory = os.open(names.TAP_RULES_DIRECTORY, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    process = subprocess.Popen(command)
    deadline = time.monotonic() + PATIENCE
    while not locks(names.TAP_RULES_DIRECTORY):
        assert process.poll() is None and time.monotonic() < deadline, f"{command} does not wait for the lock"
        time.sleep(0.01)
    run("nft", "-f", "/run/network.nft")
    os.close(directory)
    return process


def bound_while_rules_are_loaded() -> None:
    """Bind and unbind taps while somebody loads the rules."""
    bash("make_tap tap-r root nat0")
    with while_locked(bash_command("bind_tap tap-r 02:00:00:00:00:21 10.66.1.21")) as binding:
        assert binding.wait() == 0
    assert '"tap-r"' in elements("taps")
    run("ip", "link", "delete", "dev", "tap-r")
    with while_locked(bash_command("unbind_missing_taps")) as unbinding:
        assert unbinding.wait() == 0
    assert "tap-r" not in run("nft", "list", "table", "bridge", "microvm_fleet")
    run("nft", "flush", "ruleset")
    with while_locked(["bash", "/run/watch"]) as watch:
        watch.terminate()
    print("taps are bound and unbound before or after rules are loaded")


def taps_of_others() -> None:
    """Bind taps of packages that do not list them, and those that come onto a bridge later."""
    bash("make_tap tap-k root nat0; make_tap tap-l root nat0")
    isolate = "bridge link set dev tap-l isolated on"
    bash(f"{isolate}; bind_tap tap-k 02:00:00:00:00:22 10.66.1.22; bind_unlisted_taps")
    assert is_isolated("tap-l"), "module microvm_tap keeps it from its neighbours"
    assert '"tap-l"' in elements("anonymous") and '"tap-k"' not in elements("anonymous")
    bash("bind_tap tap-l 02:00:00:00:00:23")
    assert not is_isolated("tap-l") and is_isolated("tap-1")
    assert '"tap-l"' not in elements("anonymous") and '"tap-l" . 02:00:00:00:00:23' in elements("macs")
    bash("make_tap tap-j root ''; sleep() { ip link set dev tap-j master nat0; }; bind_tap tap-j")
    assert '"tap-j"' in elements("taps")
    bash("make_tap tap-i root ''; sleep() { :; }; bind_tap tap-i")
    assert '"tap-i"' not in elements("taps")
    print("taps: those that are bound to nothing are bound, the others stay as they are")


def is_isolated(port: str) -> bool:
    return Path(f"/sys/class/net/{port}/brport/isolated").read_text() == "1\n"


def taps_that_cannot_be_bound() -> None:
    """Nothing that fails is taken for done."""
    bash("make_tap tap-f root apart0")
    for program in ("bridge", "mkdir", "mv", "flock", "nft"):
        for guest in ("tap-f", "tap-f 02:00:00:00:00:24"):
            bash(f"{program}() {{ return 1; }}; if bind_tap {guest}; then exit 1; fi")
    for nft, reason in (("[ $1 = list ]", "nft refuses its rules"), ("false", "rules of the networks are not loaded")):
        bash(f"nft() {{ {nft}; }}; {{ bind_tap tap-f || true; }} 2>&1 | grep '{reason}'")
    print("a tap that cannot be bound is refused, whichever command has failed")


def same_addresses() -> None:
    """What two taps have stays bound until both have gone."""
    bash("make_tap tap-m root nat0; make_tap tap-n root nat0")
    bash("for tap in tap-m tap-n; do bind_tap $tap 02:00:00:00:00:25 10.66.1.25; done")
    for tap, is_bound in (("tap-m", True), ("tap-n", False)):
        bash(f"ip link delete dev {tap}; unbind_missing_taps")
        assert ("10.66.1.25" in elements("bound")) is is_bound
        assert ("02:00:00:00:00:25" in elements("bound_macs")) is is_bound
    print("an address of two taps is bound until both have gone")


def flushed(a: Guest, b: Guest, closed: Guest) -> None:
    """Delete all rules: the watch loads them again, and until then closed networks and MAC addresses are bound."""
    run("nft", "flush", "ruleset")
    lock = ethernet(b.mac, "02:66:66:66:66:66", IPV4, bytes(46))
    expect_none("forged MAC without any rules", a, b, lock)
    closed.send(echo_request(*closed.to_host(OUTSIDE)))
    assert not [frame for frame in closed_until_host_asks(closed) if source_of(frame) == OUTSIDE]
    Path("/run/watch").write_text(watch_script("/run/network.nft"))
    with subprocess.Popen(["bash", "/run/watch"]) as watch:
        for _time in range(3):
            wait_for_rules()
            expect_none("ARP for the bridge, rules back", a, b, arp((a.mac, "10.66.1.1"), b.identity, REPLY))
            run("nft", "flush", "ruleset")
        wait_for_rules()
        run("nft", "add table inet other; delete table inet other")
        run("nft", "-f", "/run/network.nft")
        run("nft", "delete", "table", "bridge", "microvm_fleet")
        wait_for_rules()
        watch.terminate()
    print("rules were loaded again 5 times")


def wait_for_rules() -> None:
    """Wait until both tables are there."""
    deadline = time.monotonic() + PATIENCE
    listed = ("nft", "--terse", "list", "table")
    while any(
        subprocess.run([*listed, family, "microvm_fleet"], capture_output=True, check=False).returncode
        for family in ("inet", "bridge")
    ):
        assert time.monotonic() < deadline, "the rules are not loaded again"


def known(tap: str, bridge: str, number: str, *addresses: str) -> Guest:
    """Return a guest whose MAC address, and perhaps address, its package says."""
    mac = f"02:00:00:00:{number}"
    return Guest(tap, bridge, mac, addresses[0], mac.upper(), *(addresses[1:] or addresses))


def begin(declared: list[Network]) -> None:
    """Set up the host with its networks; the program's argument is 1 for br_netfilter."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    set_up_host(declared)
    for path in Path("/proc/sys/net/bridge").glob("bridge-nf-call-*"):
        path.write_text(sys.argv[1])
    write_configuration(declared)


def main() -> None:
    begin(NETWORKS)
    a = known("tap-a", "nat0", "00:0a", "10.66.1.10")
    b = known("tap-b", "nat0", "00:0b", "10.66.1.11", "dhcp")
    leased = known("tap-d", "nat0", "00:0d", "10.66.1.13", "dhcp")
    unknown = Guest("tap-u", "nat0", "02:00:00:00:00:0e", "10.66.1.14")
    unknown_leased = Guest("tap-v", "nat0", "02:00:00:00:00:0f", "10.66.1.15")
    closed = known("tap-c", "closed0", "00:0c", "10.66.2.10")
    apart = [known(f"tap-{n}", "apart0", f"01:0{n}", f"10.66.3.1{n}") for n in (1, 2)]
    free = known("tap-o", "open0", "01:04", "10.66.4.10")
    elsewhere = Guest("tap-e", "else0", "02:00:00:00:01:05", "10.99.0.10")
    attacks_on_neighbours(a, b)
    expect_none("address beside the lease", leased, a, arp((leased.mac, "10.66.1.50"), a.identity))
    leases(a, b, unknown_leased, unknown)
    expect_none(
        "neighbour's MAC by a tap without one", unknown, a, udp((b.mac, a.mac), (unknown.address, a.address), (1, 1))
    )
    expect_none(
        "ARP for the bridge by a tap without MAC", unknown, a, arp((unknown.mac, "10.66.1.1"), a.identity, REPLY)
    )
    expect_none("RA by a tap without MAC", unknown, a, router_advertisement(unknown.mac))
    request = udp((b.mac, BROADCAST), ("0.0.0.0", "255.255.255.255"), (68, 67), bytes(240))
    b.send(request)
    a.received_until(request)
    print("DHCP request: 1 sent, 1 received")
    flood(a, "nat0", 0)
    host_and_beyond(a, closed, free)
    metadata(a, free)
    from_outside(a, closed)
    beyond_uplinks([a, free, routed.routed(known, "tap-r0", "route0", "02:00", "10.66.5.10")], elsewhere)
    isolated(*apart, a, b)
    no_ipv6(a, elsewhere)
    routed.check(known, bash, lambda tap: repair_tap(Action.ROUTE, tap), a)
    neighbours_mac_on_a_tap(a, b)
    flushed(a, b, closed)
    many_addresses(unknown, Guest("tap-w", "nat0", "02:00:00:00:00:20", "10.66.1.20"), a)
    bound_while_rules_are_loaded()
    taps_of_others()
    taps_that_cannot_be_bound()
    same_addresses()
    print("all is well")


if __name__ == "__main__":
    main()
