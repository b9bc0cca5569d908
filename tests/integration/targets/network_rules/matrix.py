# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who reaches whom, on which kind of network, by which protocol: two hosts, their guests, and a machine beyond them.

All have IP stacks of the kernel. Each cell of the matrix is a question that is answered, or one whose word never comes
to the machine that it is sent to. Runs in namespaces of its own; the argument is 1 for br_netfilter. With the word
``host`` and a number as further arguments it is one of the hosts.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import macvtaps
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from probe import Guest, make_bridges, write_configuration

HERE = Path(__file__).resolve().parent
AGENT = (sys.executable, str(HERE / "agent.py"))
SERVICE, OTHER_SERVICE, FORWARDED = 7001, 7002, 8001
WORLD = {4: "198.51.100.9", 6: "2001:db8::9"}
ANSWERED, DENIED = 60, 0.7
"""Seconds that an answer may take; after which none is expected."""


class Machine:
    """A process that obeys orders."""

    def __init__(self, *command: str, **options: Any) -> None:
        self.process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)

    def read(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "a machine has ended"
        return json.loads(line)

    def send(self, order: object) -> None:
        assert self.process.stdin
        print(json.dumps(order), file=self.process.stdin, flush=True)

    def obey(self, order: object) -> Any:
        self.send(order)
        return self.read()


@dataclass(frozen=True)
class Kind:
    """A kind of network, and what passes."""

    name: str
    number: int
    options: dict[str, Any]
    versions: tuple[int, ...] = (4, 6)
    outside: tuple[int, ...] = ()
    """Versions of IP by which guests reach others beyond the host."""

    @property
    def link(self) -> str:
        """Interface of the host in a LAN, which both hosts are in."""
        return str(self.options.get("link", ""))

    @property
    def is_macvtap(self) -> bool:
        return self.options.get("mode") == "macvtap"

    def subnet(self, host: int, version: int) -> str:
        number = LAN if self.link else 60 + host
        return f"10.{number}.{self.number}." if version == 4 else f"fd00:{number}:{self.number}::"

    def host(self, number: int, version: int) -> str:
        """Return the address of a host on the network."""
        return f"{self.subnet(number, version)}{number if self.link else 1}"

    def world(self, version: int) -> str:
        """Return the address of the machine beyond the hosts, as guests know it."""
        return f"{self.subnet(1, version)}9" if self.link else WORLD[version]

    def guest(self, host: int, version: int, guest: int) -> str:
        last = self.last(host, guest)
        return self.subnet(host, version) + (str(last) if version == 4 else f"ff:fe00:{last:x}")

    def last(self, host: int, guest: int) -> int:
        """Return the last part of a guest's addresses: those of a LAN are one network's on both hosts."""
        return 20 * host + guest if self.link else guest

    def mac(self, host: int, guest: int) -> str:
        return f"02:00:00:00:00:{self.last(host, guest):02x}"

    def declared(self, host: int) -> dict[str, Any]:
        """Return the network of a host."""
        ports = [f"{protocol}/{SERVICE}" for protocol in ("tcp", "udp")]
        if self.link:
            return {"name": self.name, **({} if self.is_macvtap else {"host_ports": ports}), **self.options}
        network = {"name": self.name, "address": f"{self.subnet(host, 4)}1/24", "host_ports": ports, **self.options}
        if 6 in self.versions:
            network["ipv6"] = {"address": f"{self.subnet(host, 6)}1/64", **network.get("ipv6", {})}
        if network.pop("forwards", False):
            guest = {"address": self.guest(host, 4, FIRST), "port": SERVICE}
            network["forward_ports"] = [
                {"proto": protocol, "host": {"port": FORWARDED}, "guest": guest} for protocol in ("tcp", "udp")
            ]
        return network


LAN = 80
FIRST, SECOND = 10, 11
"""Last parts of the addresses of a network's guests."""
KINDS = (
    Kind("nat0", 1, {"nat": True, "ipv6": {"outside": "nat"}, "forwards": True}, outside=(4, 6)),
    Kind("closed0", 2, {}),
    Kind("prefix0", 3, {"nat": True, "ipv6": {"outside": "routed"}}, outside=(4, 6)),
    Kind("apart0", 4, {"nat": True, "isolate": True}, versions=(4,), outside=(4,)),
    Kind("route0", 5, {"nat": True, "mode": "routed"}, versions=(4,), outside=(4,)),
    Kind("inside0", 6, {"mode": "routed"}, versions=(4,)),
)
LAN_KINDS = (
    Kind("bridged0", 7, {"link": "eth7"}),
    Kind("wire0", 8, {"mode": "macvtap", "link": "eth8"}),
)
ALL_KINDS = (*KINDS, *LAN_KINDS)


@dataclass(frozen=True)
class Cell:
    """A question, and whether it is answered."""

    kind: str
    direction: str
    version: int
    protocol: str
    asker: str
    address: str
    port: int
    seen: str
    """Address that the one who is asked sees; empty if nothing may come."""

    @property
    def word(self) -> str:
        return f"{self.kind} {self.direction} {self.version} {self.protocol} {self.port}"

    @property
    def question(self) -> dict[str, Any]:
        seconds = ANSWERED if self.seen else DENIED
        own = {"version": self.version, "protocol": self.protocol, "address": self.address, "port": self.port}
        return {**own, "word": self.word, "seconds": seconds}


def cells() -> Iterator[Cell]:
    """Yield the matrix, as seen from the first host."""
    for index, kind in enumerate(KINDS):
        for version in kind.versions:
            for protocol in ("tcp", "udp", "icmp"):
                yield from cells_of(kind, KINDS[index - 1], version, protocol)
    for kind in LAN_KINDS:
        for version in kind.versions:
            for protocol in ("tcp", "udp", "icmp"):
                yield from cells_of_lan(kind, version, protocol)


def cells_of_lan(kind: Kind, version: int, protocol: str) -> Iterator[Cell]:
    """Yield the cells of a network whose guests are in a LAN, where all meet but, by macvtap, guests and their host."""
    guest, host = kind.guest(1, version, FIRST), kind.host(1, version)
    name, meets_host = f"1 {kind.name} {FIRST}", not kind.is_macvtap
    cell = functools.partial(new_cell, kind, version, protocol)
    yield cell("host to guest", "1 host", guest, host if meets_host else "")
    yield cell("guest to host", name, host, guest if meets_host else "")
    if protocol != "icmp":
        yield cell("guest to other service of host", name, host, "", OTHER_SERVICE)
    yield cell("guest to neighbour", name, kind.guest(1, version, SECOND), guest)
    yield cell("guest to world", name, kind.world(version), guest)
    yield cell("world to guest", "world", guest, kind.world(version))
    yield cell("guest to guest of other host", name, kind.guest(2, version, FIRST), guest)
    yield cell("guest to other host", name, kind.host(2, version), guest)


def new_cell(
    kind: Kind, version: int, protocol: str, direction: str, asker: str, address: str, seen: str, port: int = SERVICE
) -> Cell:
    # The source of an answer to an echo request is who is asked.
    source = address if seen and protocol == "icmp" else seen
    return Cell(kind.name, direction, version, protocol, asker, address, port, source)


def cells_of(kind: Kind, other: Kind, version: int, protocol: str) -> Iterator[Cell]:
    """Yield the cells of a kind of network for a protocol; ``other`` is another network of the host."""
    guest, bridge = kind.guest(1, version, FIRST), kind.host(1, version)
    name, is_open = f"1 {kind.name} {FIRST}", version in kind.outside
    keeps_address = version == 6 and kind.options.get("ipv6") == {"outside": "routed"}
    public = guest if keeps_address else uplink(1, version)

    cell = functools.partial(new_cell, kind, version, protocol)
    yield cell("host to guest", "1 host", guest, bridge)
    yield cell("guest to host", name, bridge, guest)
    if protocol != "icmp":
        yield cell("guest to other service of host", name, bridge, "", OTHER_SERVICE)
    yield cell("guest to host's other address", name, uplink(1, version), "")
    apart = kind.options.get("isolate")
    yield cell("guest to neighbour", name, kind.guest(1, version, SECOND), "" if apart else guest)
    if version in other.versions:
        yield cell("guest to other network", name, other.guest(1, version, FIRST), "")
    yield cell("guest to world", name, WORLD[version], public if is_open else "")
    yield cell("world to guest", "world", guest, "")
    yield cell("guest to guest of other host", name, kind.guest(2, version, FIRST), "")
    if version == 4 and protocol != "icmp":
        has_port = kind.options.get("forwards")
        if has_port:
            yield cell("world to forwarded port", "world", uplink(1, 4), WORLD[4], FORWARDED)
        yield cell("guest to forwarded port of other host", name, uplink(2, 4), public if is_open else "", FORWARDED)


def uplink(host: int, version: int) -> str:
    """Return the address of a host to the world."""
    return f"198.51.100.{host}" if version == 4 else f"2001:db8::{host}"


def be_host(number: int) -> None:
    """Set up a host and its guests; pass on what they are asked."""
    print(json.dumps("here"), flush=True)
    sys.stdin.readline()
    script = f"""
ip link set lo up
ip addr add {uplink(number, 4)}/24 dev up0; ip -6 addr add {uplink(number, 6)}/64 dev up0 nodad; ip link set up0 up
ip route add default via {WORLD[4]}; ip -6 route add default via {WORLD[6]}
for file in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e "$file" ] || echo {sys.argv[1]} > "$file"; done
[ -e /proc/sys/net/ipv6/conf/default/force_forwarding ] || echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
"""
    subprocess.run(["bash", "-euc", script], check=True)
    networks = parse_networks([kind.declared(number) for kind in ALL_KINDS])
    make_bridges([network for network in networks if not network["link"]])
    for kind in LAN_KINDS:
        join_lan(kind, number)
    write_configuration(networks, *(kind.host(number, 4) for kind in LAN_KINDS))
    machines = {"host": Machine(*AGENT)}
    for kind in ALL_KINDS:
        for guest in (FIRST, SECOND):
            machines[f"{kind.name} {guest}"] = start_guest(kind, number, guest)
    for machine in machines.values():
        machine.read()
    for kind in ALL_KINDS:
        for guest in (FIRST, SECOND):
            machines[f"{kind.name} {guest}"].obey({"run": guest_script(kind, number, guest)})
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        name, order = json.loads(line)
        print(json.dumps(machines[name].obey(order)), flush=True)


def join_lan(kind: Kind, number: int) -> None:
    """Give the host its addresses in a LAN, on the bridge if there is one."""
    owner = kind.link if kind.is_macvtap else kind.name
    script = f"""
if [ {owner} != {kind.link} ]; then
    ip link add {owner} address 02:00:00:01:0{number}:0{kind.number} type bridge
    ip link set {kind.link} master {owner}
    ip link set {owner} up
fi
ip link set {kind.link} up
ip addr add {kind.host(number, 4)}/24 dev {owner}; ip -6 addr add {kind.host(number, 6)}/64 dev {owner} nodad
"""
    subprocess.run(["bash", "-euc", script], check=True)


def start_guest(kind: Kind, host: int, number: int) -> Machine:
    address, mac = kind.guest(host, 4, number), kind.mac(host, number)
    guest: Guest | macvtaps.Guest
    if kind.is_macvtap:
        guest = macvtaps.Guest(f"macvtap-{number}", kind.last(host, number), address, network=kind.name)
    else:
        guest = Guest(f"tap-{kind.number}-{number}", kind.name, mac, address, mac.upper(), address)
    os.set_blocking(guest.file, True)
    return Machine("unshare", "--net", *AGENT, str(guest.file), mac, pass_fds=[guest.file])


def guest_script(kind: Kind, host: int, number: int) -> str:
    """Return what the guest's own configuration does."""
    is_routed = kind.options.get("mode") == "routed"
    gateways = {version: kind.world(version) if kind.link else kind.host(host, version) for version in kind.versions}
    lines = [
        f"ip addr add {kind.guest(host, 4, number)}/{32 if is_routed else 24} dev eth0",
        f"ip route add default via {gateways[4]} dev eth0 onlink",
    ]
    if 6 in kind.versions:
        lines.append(f"ip -6 addr add {kind.guest(host, 6, number)}/64 dev eth0 nodad")
        lines.append(f"ip -6 route add default via {gateways[6]}")
    return "\n".join(lines)


def begin() -> Machine:
    """Make this machine the router to which the hosts are connected; return it."""
    script = f"""
ip link set lo up; ip link add lan0 type bridge; ip link set lan0 up
ip addr add {WORLD[4]}/24 dev lan0; ip -6 addr add {WORLD[6]}/64 dev lan0 nodad
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
"""
    for kind in LAN_KINDS:
        script += f"""
ip link add lan{kind.number} type bridge; ip link set lan{kind.number} up
ip addr add {kind.world(4)}/24 dev lan{kind.number}; ip -6 addr add {kind.world(6)}/64 dev lan{kind.number} nodad
"""
    subprocess.run(["bash", "-euc", script], check=True)
    world = Machine(*AGENT)
    world.read()
    return world


def start_host(number: int) -> Machine:
    """Start a host, and route its networks to it: whatever is denied comes as far as the host."""
    private = 'mount -t tmpfs none /run && mount -t sysfs none /sys && exec "$@"'
    command = (sys.executable, __file__, sys.argv[1], "host", str(number))
    host = Machine("unshare", "--net", "--mount", "bash", "-euc", private, "-", *command)
    host.read()
    script = f"""
ip link add to{number} type veth peer name up0 netns {host.process.pid}
ip link set to{number} master lan0 up
ip route add 10.{60 + number}.0.0/16 via {uplink(number, 4)}
ip -6 route add fd00:{60 + number}::/32 via {uplink(number, 6)}
for lan in {" ".join(str(kind.number) for kind in LAN_KINDS)}; do
    ip link add to{number}-$lan type veth peer name eth$lan netns {host.process.pid}
    ip link set to{number}-$lan master lan$lan up
done
"""
    subprocess.run(["bash", "-euc", script], check=True)
    host.send("begin")
    return host


def answers(world: Machine, host: Machine) -> dict[Cell, str]:
    """Ask all questions, those of one machine at once."""
    asked: dict[str, list[Cell]] = {}
    for cell in cells():
        asked.setdefault(cell.asker, []).append(cell)
    seen: dict[Cell, str] = {}
    for asker, own in asked.items():
        order = {"ask": [cell.question for cell in own]}
        found = world.obey(order) if asker == "world" else host.obey([asker.partition(" ")[2], order])
        seen.update(zip(own, found))
    return seen


def words(world: Machine, hosts: list[Machine]) -> set[str]:
    """Return the words that have come to any machine."""
    names = ["host", *(f"{kind.name} {guest}" for kind in ALL_KINDS for guest in (FIRST, SECOND))]
    of_hosts = [word for host in hosts for name in names for word in host.obey([name, {}])]
    return {*world.obey({}), *of_hosts}


def main() -> None:
    world = begin()
    hosts = [start_host(number) for number in (1, 2)]
    for host in hosts:
        host.read()
    seen = answers(world, hosts[0])
    came = words(world, hosts)
    wrong = [f"{cell.word}: {seen[cell]!r} instead of {cell.seen!r}" for cell in seen if seen[cell] != cell.seen]
    wrong += [f"{cell.word}: came through" for cell in seen if not cell.seen and cell.word in came]
    show(seen)
    assert not wrong, "\n".join(wrong)
    print(f"{sum(map(bool, seen.values()))} cells answered, {len(seen) - sum(map(bool, seen.values()))} denied")


def show(seen: dict[Cell, str]) -> None:
    """Print a line for each direction."""
    lines: dict[tuple[str, str], list[str]] = {}
    for cell, answer in seen.items():
        mark = "yes" if answer else "-"
        lines.setdefault((cell.kind, cell.direction), []).append(f"{cell.protocol}{cell.version} {mark}")
    for (kind, direction), marks in lines.items():
        print(f"{kind:8} {direction:36} {'  '.join(marks)}")


if __name__ == "__main__":
    if sys.argv[2:]:
        be_host(int(sys.argv[3]))
    else:
        main()
