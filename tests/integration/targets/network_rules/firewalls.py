# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks beside other firewalls, whose rules come before and after ours: what passes, and what does not.

Runs in namespaces of its own; 1 as argument switches br_netfilter on.
"""

from __future__ import annotations

import select
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import firewall_shapes as shapes
import probe_ipv6
import routed
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.systemd import Unit
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.executor import execute
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks import configuration as files
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks import handlers
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.firewall_commands import (
    permissions,
    withdrawals,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.firewalls import (
    Firewalls,
    chains_differ,
    docker_rules,
    hindrances,
    zone_interfaces,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.observe import other_forwarding
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.observe_firewalls import (
    SERVICES,
    observe_firewalls,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.plan import Action, Plan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.steps import Step
from frames import BROADCAST, udp, udp6
from passages import socket_in
from probe import OUTSIDE, PATIENCE, Guest, await_carrier, begin, known, run
from probe_ipv6 import Guest6

PUBLIC = "198.51.100.1"
UPLINKS = ("up0",)
OWN_TABLES = ("inet microvm_fleet", "bridge microvm_fleet")
FORWARD = {"proto": "udp", "host": {"port": 8080}, "guest": {"address": "10.66.1.10", "port": 80}}
NETWORKS = parse_networks(
    [
        {
            "name": "nat0",
            "address": "10.66.1.1/24",
            "nat": True,
            "ipv6": {"address": "fd00:66:1::1/64", "outside": "nat"},
            "dhcp_server": {},
            "forward_ports": [FORWARD],
        },
        {
            "name": "data0",
            "address": "10.66.2.1/24",
            "nat": True,
            "allow": [{"from": "10.66.1.10", "ports": ["udp/5432"]}],
        },
        {"name": "closed0", "address": "10.66.3.1/24", "host_access": "none"},
        {"name": "route0", "address": "10.66.5.1/24", "mode": "routed", "nat": True},
    ]
)
NEIGHBOURS = {"guest to neighbour", "closed guest to neighbour"}
"""Packets that other firewalls see with br_netfilter only."""
HOST = {"guest to DNS", "guest to DHCP"}
FORWARDED = {
    "guest to allowed guest",
    "guest to outside and back",
    "guest to outside and back by IPv6",
    "routed guest to outside and back",
    "outside to forwarded port",
}
ALL = NEIGHBOURS | HOST | FORWARDED


class Matrix:
    """Guests, and what they send; each time from other ports, since connections are remembered."""

    def __init__(self) -> None:
        begin(NETWORKS)
        self.a, self.b = (known(f"tap-{n}", "nat0", f"00:{n}", f"10.66.1.1{n[1]}") for n in ("a0", "a1"))
        self.data = known("tap-d", "data0", "01:0a", "10.66.2.10")
        self.c, self.neighbour = (known(f"tap-{n}", "closed0", f"02:{n}", f"10.66.3.1{n[1]}") for n in ("c0", "c1"))
        self.routed = routed.routed(known, "tap-r", "route0", "03:0a", "10.66.5.10")
        await_carrier("tap-r")
        if not probe_ipv6.BY_INTERFACE:
            probe_ipv6.OF_ALL.write_text("1")
        self.six = Guest6("tap-s1", 0x51, "nat0", "fd00:66:1::51")
        self.dns, self.dhcp = (socket.socket(type=socket.SOCK_DGRAM) for _service in range(2))
        self.dns.bind(("10.66.1.1", 53))
        self.dhcp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"nat0")
        self.dhcp.bind(("0.0.0.0", 67))
        self.number = 7000

    def passing(self, expected: set[str]) -> set[str]:
        """Return what passes; what is expected may take its time."""
        self.number += 1
        a, b, c = self.a, self.b, self.c
        with socket_in("outside") as outside:
            outside.bind((OUTSIDE, self.number))
            assert not self._leaves(outside, c, False), "closed guest to outside"
            for guest in (a, c, self.routed):
                assert not self._arrives(outside, guest, (guest.address, 80)), f"outside to {guest.tap}"
            for guest, target in ((b, self.data), (a, c), (c, a), (a, self.routed), (self.data, a)):
                assert not self._reaches(guest, target), f"{guest.tap} to {target.tap}"
            results = {
                "guest to neighbour": self._next_to(a, b),
                "closed guest to neighbour": self._next_to(c, self.neighbour),
                "guest to allowed guest": self._reaches(a, self.data),
                "guest to DNS": self._asks(self.dns, "guest to DNS" in expected),
                "guest to DHCP": self._asks(self.dhcp, "guest to DHCP" in expected),
                "guest to outside and back": self._leaves(outside, a, "guest to outside and back" in expected),
                "routed guest to outside and back": self._leaves(
                    outside, self.routed, "routed guest to outside and back" in expected
                ),
                "outside to forwarded port": self._arrives(outside, a, (PUBLIC, 8080)),
                "guest to outside and back by IPv6": self._leaves6("guest to outside and back by IPv6" in expected),
            }
        return {name for name, passes in results.items() if passes}

    def _leaves(self, outside: socket.socket, guest: Guest, is_expected: bool) -> bool:
        """Return whether a guest's packet reaches a peer beyond the host, and the answer the guest."""
        guest.send(udp(*guest.to_host(OUTSIDE), (self.number, self.number), b"out"))
        asker = received_by(outside, b"out", is_expected)
        if asker is not None:
            outside.sendto(b"answer", asker)
        return before_host(guest, b"answer")

    def _leaves6(self, is_expected: bool) -> bool:
        """Return the same by IPv6; nothing but the answer comes in."""
        guest, macs = self.six, (self.six.mac, self.six.bridge_mac)
        with socket_in("outside", socket.AF_INET6) as outside:
            outside.bind((probe_ipv6.OUTSIDE, self.number))
            outside.sendto(b"denied", (guest.address, 80))
            request = udp6(macs, (guest.address, probe_ipv6.OUTSIDE), (self.number, self.number), b"out")
            guest.send(request)
            asker = received_by(outside, b"out", is_expected)
            if asker is not None:
                outside.sendto(b"answer", asker)
            frames = probe_ipv6.until_host_asks(guest)
        assert not [frame for frame in frames if frame.endswith(b"denied")], "outside to guest by IPv6"
        return any(frame.endswith(b"answer") for frame in frames)

    def _asks(self, service: socket.socket, is_expected: bool) -> bool:
        word = b"query %d" % self.number
        if service is self.dns:
            self.a.send(udp(*self.a.to_host("10.66.1.1"), (self.number, 53), word))
        else:
            self.a.send(udp((self.a.mac, BROADCAST), ("0.0.0.0", "255.255.255.255"), (68, 67), word))
        return received_by(service, word, is_expected) is not None

    def _reaches(self, guest: Guest, target: Guest) -> bool:
        guest.send(udp(*guest.to_host(target.address), (self.number, 5432), b"from another network"))
        return before_host(target, b"from another network")

    def _next_to(self, guest: Guest, target: Guest) -> bool:
        guest.send(udp((guest.mac, target.mac), (guest.address, target.address), (self.number, 80), b"neighbour"))
        return before_host(target, b"neighbour")

    def _arrives(self, outside: socket.socket, guest: Guest, address: tuple[str, int]) -> bool:
        outside.sendto(b"from outside", address)
        return before_host(guest, b"from outside")


def received_by(service: socket.socket, word: bytes, is_expected: bool) -> tuple[Any, ...] | None:
    """Return who has sent a word; without waiting if none is expected."""
    while select.select([service], [], [], PATIENCE if is_expected else 0)[0]:
        data, sender = service.recvfrom(2000)
        if data == word:
            return sender
    return None


def before_host(guest: Guest, word: bytes) -> bool:
    """Let the host send to a guest; return whether it has received a word before."""
    with socket.socket(type=socket.SOCK_DGRAM) as host:
        host.sendto(b"last", (guest.address, 4242))
        return any(frame.endswith(word) for frame in guest.received_until(lambda frame: frame.endswith(b"last")))


def expect(matrix: Matrix, what: str, expected: set[str]) -> None:
    """Count what passes; nothing that is denied has."""
    passing = matrix.passing(expected)
    print(f"{what}: {len(passing)} of {len(ALL)} pass, 10 that are denied do not")
    assert passing == expected, f"{what}: not {sorted(expected - passing)}, but {sorted(passing - expected)}"


def load_ours() -> None:
    run("nft", "-f", "/run/network.nft")


def restore(program: str, rules: str) -> None:
    """Load rules of iptables; those that are there stay."""
    subprocess.run([f"{program}-restore", "--noflush"], input=rules.encode(), check=True)


def in_both_orders(load: Callable[[], None]) -> Iterator[str]:
    """Load rules of another firewall after ours, then ours after those, then delete those of others."""
    load()
    yield "after ours"
    load_ours()
    yield "before ours"
    run("nft", "flush", "ruleset")
    load_ours()


def observed() -> Firewalls:
    """Return the other firewalls as a run sees them."""
    return observe_firewalls({name: Unit() for name in SERVICES}, OWN_TABLES)


def cut_off(*others: str) -> set[str]:
    """Return what passes beside a firewall that drops what is forwarded."""
    return ALL - FORWARDED - (NEIGHBOURS if IS_FILTERING else set()) - set(others)


def carry_out(action: Action, target: str) -> None:
    job = handlers.NetworksJob(Plan((Step(action, target),), {}, {}))
    assert execute([job], handlers.HANDLERS)[job.name].error is None


def docker(matrix: Matrix, shape: str) -> None:
    """Docker's chain is where our rules go, by a run, and by the unit that follows Docker."""

    def load() -> None:
        for program in ("iptables", "ip6tables"):
            restore(program, shape)

    rules = docker_rules(NETWORKS, UPLINKS, UPLINKS)
    for order in in_both_orders(load):
        without = run("iptables", "-S")
        assert chains_differ(observed().docker, rules)
        expect(matrix, f"Docker's rules {order}, without rules of ours in them", cut_off())
        carry_out(Action.INSERT, "DOCKER-USER")
        expect(matrix, f"Docker's rules {order}", ALL)
        assert not chains_differ(observed().docker, rules), "the next run would insert them again"
        before = run("iptables", "-S")
        carry_out(Action.INSERT, "DOCKER-USER")
        assert run("iptables", "-S") == before
        denied_by_others(matrix, order, rules)
        former_rules(matrix, order, rules)
        assert run("iptables", "-S") == before
        run("bash", handlers.DOCKER, "remove")
        assert run("iptables", "-S") == without and "MICROVM" not in run("ip6tables", "-S")
    docker_comes_later(matrix, load, rules)


def denied_by_others(matrix: Matrix, order: str, rules: dict[str, str]) -> None:
    """What the operator denies in Docker's chain stays denied, also where our rule came first."""
    denial = ("-i", "nat0", "-d", OUTSIDE, "-j", "DROP")
    for place in ("1", "2"):
        run("iptables", "-I", "DOCKER-USER", place, *denial)
        assert chains_differ(observed().docker, rules) is (place == "2")
        carry_out(Action.INSERT, "DOCKER-USER")
        assert not chains_differ(observed().docker, rules)
        expect(matrix, f"Docker's rules {order}, one denied at {place}", ALL - {"guest to outside and back"})
        run("iptables", "-D", "DOCKER-USER", *denial)


def former_rules(matrix: Matrix, order: str, rules: dict[str, str]) -> None:
    """Rules of earlier versions, which had no comment, are replaced, and removed with the others."""
    listed = run("iptables", "-S")
    own = [line for line in listed.splitlines() if line.endswith("-j MICROVM-FLEET") or " MICROVM-FLEET -" in line]
    assert own and all('--comment "microvm.fleet"' in line for line in own), "an operator would not know them"
    without = [line for line in listed.splitlines() if line.startswith("-A") and "MICROVM" not in line]
    former = [line.replace(' -m comment --comment "microvm.fleet"', "") for line in own]
    for action in ("insert", "remove"):
        for line in own:
            run("iptables", "-D", *shlex.split(line)[1:])
        for line in reversed(former):
            chain, *words = shlex.split(line)[1:]
            run("iptables", "-I", chain, *(["1"] if chain == "MICROVM-FLEET" else []), *words)
        if action == "insert":
            assert chains_differ(observed().docker, rules)
            carry_out(Action.INSERT, "DOCKER-USER")
            assert run("iptables", "-S") == listed
        else:
            run("bash", handlers.DOCKER, "remove")
            assert [line for line in run("iptables", "-S").splitlines() if line.startswith("-A")] == without
            carry_out(Action.INSERT, "DOCKER-USER")
    print(f"Docker's rules {order}: those of earlier versions are replaced")


def docker_comes_later(matrix: Matrix, load: Callable[[], None], rules: dict[str, str]) -> None:
    """The unit's script inserts the rules as soon as the chain is there, and again after firewalld has deleted all."""
    with subprocess.Popen(["bash", handlers.DOCKER]) as unit:
        for start in ("first", "second"):
            load()
            await_rules(rules)
            if start == "first":
                expect(matrix, "Docker's rules, made while the unit runs", ALL)
            for option in ("-F", "-X"):
                run("iptables", option)
                run("ip6tables", option)
        unit.terminate()
    run("nft", "flush", "ruleset")
    load_ours()


def await_rules(rules: dict[str, str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (chains := observed().docker) or chains_differ(chains, rules):
        assert time.monotonic() < deadline, f"not inserted: {chains}"


def ufw(matrix: Matrix) -> None:
    """Enable ufw itself; our rules there outlive a reload, and go without a trace."""
    if shutil.which("ufw") is None:
        print("SKIPPED ufw: it is not installed")
        return
    run("ufw", "--force", "enable")
    before = Path("/etc/ufw/user.rules").read_text()
    # Its own rules let all guests be asked for an echo, so nothing here is one.
    expect(matrix, "ufw after ours, without rules of ours", cut_off(*HOST))
    apply_commands(list(permissions(observed(), NETWORKS, UPLINKS)))
    expect(matrix, "ufw after ours", ALL)
    assert list(permissions(observed(), NETWORKS, UPLINKS)) == [], "the next run would add rules again"
    assert list(withdrawals(observed(), NETWORKS, UPLINKS)) == []
    run("ufw", "reload")
    load_ours()
    expect(matrix, "ufw before ours, reloaded", ALL)
    restore("iptables", shapes.DOCKER)
    expect(matrix, "ufw and Docker", ALL)
    apply_commands(list(withdrawals(observed(), [], UPLINKS)))
    assert Path("/etc/ufw/user.rules").read_text() == before
    assert not observed().own_ufw_rules
    run("ufw", "disable")
    run("nft", "flush", "ruleset")
    load_ours()


def apply_commands(commands: list[str]) -> None:
    assert commands
    for command in commands:
        carry_out(Action.PERMIT, command)


def firewalld(matrix: Matrix) -> None:
    """Interfaces in the zone that a run puts them into; its commands need the daemon."""

    for order in in_both_orders(lambda: nft(shapes.FIREWALLD)):
        assert not observed().drop_chains
        expect(matrix, f"firewalld {order}, in no zone", cut_off(*HOST) | {"outside to forwarded port"})
    names = [*zone_interfaces(NETWORKS), "tap-*"]
    in_zone = "".join(shapes.FIREWALLD_INTERFACE.format(name=name) for name in names)
    for order in in_both_orders(lambda: nft(shapes.FIREWALLD + in_zone)):
        expect(matrix, f"firewalld {order}", ALL - ({"closed guest to neighbour"} if IS_FILTERING else set()))


def no_hindrance(matrix: Matrix) -> None:
    """Rules of others that concern only interfaces of their own cut nobody off."""
    for name, load in (
        ("Docker by nftables", lambda: nft(shapes.DOCKER_NFTABLES)),
        ("libvirt", lambda: restore("iptables", shapes.LIBVIRT)),
        ("libvirt by nftables", lambda: nft(shapes.LIBVIRT_NFTABLES)),
        ("Debian's nftables.conf", lambda: nft(shapes.DEBIAN)),
    ):
        for order in in_both_orders(load):
            assert list(hindrances(observed(), NETWORKS, UPLINKS)) == []
            expect(matrix, f"{name} {order}", ALL)


def rules_of_the_operator(matrix: Matrix) -> None:
    """A run says what helps."""
    for order in in_both_orders(lambda: nft(shapes.NFTABLES)):
        expect(matrix, f"nftables {order}", cut_off())
    nft(shapes.NFTABLES)
    messages = hindrances(observed(), NETWORKS, UPLINKS)
    assert len(messages) == 2, messages
    for message in messages:
        subprocess.run(["bash", "-euc", message.rpartition(": ")[2]], check=True)
    # Nothing is said for routed networks, and for closed ones, which forward nothing without br_netfilter.
    unsaid = {"routed guest to outside and back"} | ({"closed guest to neighbour"} if IS_FILTERING else set())
    expect(matrix, "nftables, with what is said to do", ALL - unsaid)
    assert hindrances(observed(), NETWORKS, UPLINKS) == []
    run("nft", "flush", "ruleset")
    load_ours()


def forwarding_for_others() -> None:
    """A table that decides nothing is no reason to forward for others."""
    nft(shapes.DEBIAN)
    assert other_forwarding() == ""
    run("nft", "add", "rule", "inet", "filter", "forward", "counter")
    assert other_forwarding() == "the table inet filter of nftables has rules for packets that are forwarded"
    run("nft", "delete", "table", "inet", "filter")


def nft(rules: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=rules.encode(), check=True)


IS_FILTERING = sys.argv[1] == "1" and Path("/proc/sys/net/bridge").exists()


def main() -> None:
    if shutil.which("iptables") is None or "nf_tables" not in run("iptables", "--version"):
        print("SKIPPED firewalls: iptables is not installed, or has rules of its own in the kernel")
        return
    handlers.DOCKER = "/run/network-docker"
    Path(handlers.DOCKER).write_text(files.configuration(NETWORKS, UPLINKS, UPLINKS)[files.DOCKER])
    if Path("/etc/ufw").exists():
        copy = shutil.copytree("/etc/ufw", "/run/etc-ufw")
        run("mount", "--bind", copy, "/etc/ufw")
    matrix = Matrix()
    expect(matrix, "no other firewall", ALL)
    docker(matrix, shapes.DOCKER)
    docker(matrix, shapes.FORMER_DOCKER)
    ufw(matrix)
    firewalld(matrix)
    no_hindrance(matrix)
    rules_of_the_operator(matrix)
    forwarding_for_others()
    print("all is well")


if __name__ == "__main__":
    main()
