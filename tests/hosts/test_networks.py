# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks under a real systemd: rules that are deleted, hosts of earlier versions, what a removal leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .history import unpack
from .host import TREE, Host
from .packages import STAY, fake
from .paths import CONFIGURATION, FLEET, NETWORK_DOCKER_UNIT, NETWORK_UNIT, NETWORK_WATCH_UNIT, RUNTIME, UNITS

FORWARDING_EVERYTHING = "d02a8449d9fc00d3e215ce3867ef0cfb112edf67"
"""Last commit in which a network with NAT switched forwarding on for the whole host."""

NETWORKS = [
    {"name": "mvnet0", "address": "10.99.0.1/24", "nat": True},
    {"name": "mvnet1", "address": "10.99.1.1/24", "isolate": True},
]
MAC = "02:00:00:00:15:01"
TAP_UP = """\
for tap in t0 t1; do
    ip tuntap add name $tap mode tap user nobody
    ip link set dev $tap master mvnet${tap#t}
    ip link set dev $tap up
done
"""
PACKAGE = {
    **fake(STAY, tap_up=TAP_UP, tap_down="ip link delete dev t0; ip link delete dev t1\n"),
    "share/microvm/tap-interfaces": "t0\nt1\n",
    "share/microvm/tap-guests": f"t1 {MAC} 10.99.1.7\n",
}
BOTH = "nft list table inet microvm_fleet && nft list table bridge microvm_fleet"
"""Lists our tables, unless one of them is missing."""


class Networks:
    """The networks of a host."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host, self._directory = host, directory

    def apply(self, networks: list[dict[str, object]], *options: str, collections: Path = TREE) -> str:
        """Run the module; return the output of ansible-playbook."""
        task = {"microvm.fleet.microvm_network": {"networks": networks}}
        play = json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [task]}])
        return self.host.play(self._directory, play, *options, collections=collections)

    def traces(self) -> str:
        """Return what a host has of networks."""
        return self.host.run(
            "nft list tables | grep microvm; ls -d /sys/class/net/mvnet* /etc/systemd/network/*microvm*"
            " /etc/systemd/system/*microvm-fleet* /etc/systemd/system/*.wants/*microvm-fleet* /etc/sysctl.d/*microvm*"
            f" {CONFIGURATION}/network* {RUNTIME}/taps {FLEET}/forwarding* {FLEET}/network* 2>/dev/null;"
            f" systemctl is-active {NETWORK_UNIT} {NETWORK_WATCH_UNIT} | grep -x active;"
            " cat /proc/sys/net/ipv4/ip_forward; true"
        )


@pytest.fixture
def networks(host: Host, tmp_path: Path) -> Iterator[Networks]:
    """A host that has no networks before and after."""
    host.run("command -v nft >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get -qq install -y nftables")
    networks = Networks(host, tmp_path)
    before = networks.traces()
    yield networks
    host.stop_microvms()
    networks.apply([])
    assert networks.traces() == before == "0\n"


def elements(host: Host, kind: str) -> str:
    """Return the elements of a set of taps."""
    return host.run(f"nft list set bridge microvm_fleet {kind}")


def test_deleted_rules_come_back_with_those_of_taps(networks: Networks) -> None:
    host = networks.host
    networks.apply(NETWORKS)
    host.install_packages({"web": PACKAGE})
    host.run("systemctl start microvm@web")
    assert "changed=0" in networks.apply(NETWORKS)
    for command in ("nft flush ruleset", "systemctl restart nftables", "nft delete table bridge microvm_fleet"):
        host.run(command)
        host.wait_for(f"rules after {command}", lambda: host.run(f"{{ {BOTH}; }} >/dev/null; echo $?"), "0\n".__eq__)
        assert f'"t1" . {MAC}' in elements(host, "macs")
        assert '"t1" . 10.99.1.7' in elements(host, "addresses")
        assert '"t0"' in elements(host, "anonymous")
    host.run(f"nft flush table inet microvm_fleet; bridge fdb delete {MAC} dev t1 master static")
    networks.apply(NETWORKS)
    assert "masquerade" in host.run("nft list table inet microvm_fleet")
    flags = host.run("bridge -d link show dev t1; bridge -d link show dev t0")
    assert "isolated on" in flags.splitlines()[1] and "learning off flood off" in flags.splitlines()[1]
    assert f"{MAC} master mvnet1 static" in host.run("bridge fdb show dev t1")
    settings = (
        "cd /proc/sys/net; cat ipv4/conf/mvnet0/forwarding ipv4/conf/mvnet1/forwarding ipv6/conf/mvnet0/disable_ipv6"
    )
    assert host.run(settings).split() == ["1", "0", "1"]
    host.run("systemctl stop microvm@web")
    left = f"ip link show type tun; ls {RUNTIME}/taps"
    host.wait_for("end of the taps and of their rules", lambda: host.run(left), lambda seen: seen == "")
    assert "t1" not in host.run(f"nft list table bridge microvm_fleet; ls {RUNTIME}/taps")


def test_no_microvm_starts_on_networks_whose_rules_are_not_loaded(networks: Networks) -> None:
    host = networks.host
    networks.apply(NETWORKS)
    host.install_packages({"web": PACKAGE})
    rules = f"{CONFIGURATION}/network.nft"
    host.run(f"systemctl stop {NETWORK_UNIT}; mv {rules} /root/; echo nonsense > {rules}")
    host.run("systemctl start microvm@web", status=1)
    assert host.run("ip link show type tun") == ""
    assert "the rules of the networks are not loaded" in host.run("journalctl -b -u microvm-tap-interfaces@web")
    host.run(f"mv /root/network.nft {rules}; systemctl reset-failed; systemctl start microvm@web")
    assert '"t1"' in elements(host, "taps")


def test_a_removal_leaves_no_unit_that_has_failed(networks: Networks) -> None:
    host = networks.host
    networks.apply(NETWORKS)
    host.run(f"echo nonsense > {CONFIGURATION}/network.nft")
    host.run(f"systemctl restart {NETWORK_UNIT}", status=1)
    assert NETWORK_UNIT in host.run("systemctl list-units --failed --plain --no-legend")
    networks.apply([])
    assert host.run("systemctl list-units --all --plain --no-legend 'microvm-fleet-n*'") == ""


def test_a_macvtap_of_a_network_is_bound_by_its_unit(networks: Networks, fake_qemu: None) -> None:
    host = networks.host
    wire: dict[str, object] = {"name": "wire0", "mode": "macvtap", "link": "mvlink0"}
    host.run("ip link add mvlink0 type veth peer name mvlink1")
    try:
        assert "the interface mvlink0 is down" in networks.apply([wire])
        host.run("ip link set mvlink0 up")
        assert "changed=0" in networks.apply([wire])
        interface = {"type": "macvtap", "bridge": "wire0", "id": "mv-w", "mac": MAC}
        declared = {"name": "wired", "kernel": "/etc/hostname", "ready": {"check": "none"}, "interfaces": [interface]}
        host.send("/root", {"wired.json": json.dumps({**declared, "socket": None, "accel": "tcg", "mem": 16})})
        # udev does this on other hosts.
        link = "/sys/class/net/mv-w"
        device = f"/dev/tap$(cat {link}/ifindex) c $(cat {link}/macvtap/tap*/dev | tr : ' ')"
        host.run(f"(until [ -e {link}/macvtap ]; do sleep 0.1; done; mknod {device}) >/dev/null 2>&1 &")
        host.microvm("apply /root/wired.json")
        assert f"ether saddr != {MAC}" in host.run("nft list table netdev microvm_mv-w")
        host.run("nft flush ruleset")
        table = "nft list tables netdev"
        host.wait_for("rules of the macvtap", lambda: host.run(table), lambda seen: "microvm_mv-w" in seen)
        assert "changed=0" in networks.apply([wire])
        networks.apply([])
        with pytest.raises(AssertionError, match=r"MicroVMs are on it \(mv-w\)"):
            networks.apply([{**wire, "link": "mvlink1"}])
        host.stop_microvms()
        host.wait_for("end of the macvtap", lambda: host.run(f"{table}; ls {RUNTIME}/taps"), lambda seen: seen == "")
    finally:
        host.run("ip link delete mvlink0; rm -f /dev/tap[0-9]* /root/wired.json")


@pytest.fixture(scope="module", name="previous")
def _previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The collection as it was, from the project's history."""
    collections = tmp_path_factory.mktemp("previous")
    unpack(FORWARDING_EVERYTHING, collections)
    return collections


def test_a_host_of_an_earlier_version_is_closed_without_restarting_a_microvm(
    networks: Networks, previous: Path
) -> None:
    host = networks.host
    earlier = [{key: value for key, value in network.items() if key != "isolate"} for network in NETWORKS]
    networks.apply(earlier, collections=previous)
    # Debian's nftables.conf has chains that decide nothing.
    host.run("nft -f /etc/nftables.conf && nft list chain inet filter forward")
    assert host.run("cat /proc/sys/net/ipv4/ip_forward") == "1\n"
    host.run("ip tuntap add name t0 mode tap && ip link set dev t0 master mvnet0")
    try:
        networks.apply(NETWORKS)
        assert host.run("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/mvnet0/forwarding") == "0\n1\n"
        assert "table ip microvm_fleet" not in host.run("nft list tables")
        assert '"t0"' in elements(host, "anonymous")
        assert "changed=0" in networks.apply(NETWORKS)
    finally:
        host.run("ip link delete dev t0")


FAKE_IPTABLES = """\
#!/bin/sh
rules=/run/fake-$(basename "$0" -restore)
case "$*" in
    *-S) cat $rules ;;
    *--noflush) sed -n 's/^-I DOCKER-USER [0-9]*/-A DOCKER-USER/; /^-A/p' >> $rules ;;
    *-F\\ MICRO*) sed -i '/MICROVM-FLEET/d' $rules ;;
esac
"""
FAKE_DOCKER = """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'for program in iptables ip6tables; do echo "-N DOCKER-USER" > /run/fake-$program; done'
"""


@pytest.fixture
def docker(networks: Networks) -> Iterator[Host]:
    """A host with a service of Docker's name, whose rules are in files."""
    host = networks.host
    programs = [f"{name}{suffix}" for name in ("iptables", "ip6tables") for suffix in ("", "-restore")]
    host.send("/usr/local/sbin", dict.fromkeys(programs, FAKE_IPTABLES))
    host.send(UNITS, {"docker.service": FAKE_DOCKER})
    yield host
    networks.apply([])
    host.run(f"systemctl stop docker; rm {UNITS}/docker.service; systemctl daemon-reload; nft delete table ip filter")
    host.run(f"cd /usr/local/sbin; rm -f /run/fake-* {' '.join(programs)}")


def test_rules_are_in_dockers_chain_whenever_docker_has_made_it(networks: Networks, docker: Host) -> None:
    networks.apply(NETWORKS)
    assert docker.run(f"systemctl is-enabled {NETWORK_DOCKER_UNIT}") == "enabled\n"
    rules = f"cat /run/fake-iptables; systemctl is-active {NETWORK_DOCKER_UNIT}"

    def is_inserted(shown: str) -> bool:
        return "-i mvnet0 -o mvnet0" in shown and "microvm.fleet -j MICROVM" in shown and "\nactive\n" in shown

    made = "nft 'add table ip filter; add chain ip filter DOCKER-USER'"
    for command in ("systemctl daemon-reload; systemctl start docker", "systemctl restart docker"):
        docker.run(command)
        docker.wait_for(f"rules after {command}", lambda: docker.run(rules), is_inserted)
    docker.run("echo '-N DOCKER-USER' > /run/fake-iptables")
    docker.run(made)
    docker.wait_for("rules after the chain was made", lambda: docker.run(rules), is_inserted)
    assert "changed=0" in networks.apply(NETWORKS)
    networks.apply([])
    assert docker.run("cat /run/fake-iptables") == "-N DOCKER-USER\n"
    assert docker.run(f"systemctl show --value -p LoadState {NETWORK_DOCKER_UNIT}") == "not-found\n"


def test_guests_make_addresses_of_the_prefix_that_networkd_announces(networks: Networks) -> None:
    host = networks.host
    by_interface = host.run("ls /proc/sys/net/ipv6/conf/default/force_forwarding 2>/dev/null; true") != ""
    declared = {**NETWORKS[0], "ipv6": {"address": "fd00:99::1/64", "outside": "nat" if by_interface else "none"}}
    forwarding = "cat /proc/sys/net/ipv6/conf/*/force_forwarding 2>/dev/null | sort | uniq -c"
    before = host.run(forwarding)
    networks.apply([declared])
    host.run(
        "ip netns add guest && ip link add port0 type veth peer name eth0 netns guest"
        " && ip link set dev port0 master mvnet0 && ip link set dev port0 up && ip -n guest link set dev eth0 up"
    )
    try:
        addresses = "ip -n guest -6 address show dev eth0 scope global; ip -n guest -6 route show default"
        router = " proto ra " if by_interface else ""
        host.wait_for(
            "address of the guest", lambda: host.run(addresses), lambda seen: "fd00:99::" in seen and router in seen
        )
        assert "changed=0" in networks.apply([declared])
    finally:
        host.run("ip netns delete guest; ip link delete dev port0; true")
    networks.apply([NETWORKS[0]])
    assert host.run("cat /proc/sys/net/ipv6/conf/mvnet0/disable_ipv6; ip -6 address show dev mvnet0") == "1\n"
    host.run("ip link delete dev mvnet0")
    assert host.run(forwarding) == before


def test_a_microvm_of_a_routed_network_has_a_route_as_long_as_it_runs(networks: Networks) -> None:
    host = networks.host
    routed = {**NETWORKS[1], "mode": "routed"}
    networks.apply([NETWORKS[0], routed])
    host.install_packages({"web": PACKAGE})
    host.run("systemctl start microvm@web")
    route = "ip -4 route show 10.99.1.7; ls /sys/class/net/mvnet1/brif"
    assert host.run(route) == "10.99.1.7 dev t1 proto static scope link src 10.99.1.1 linkdown \n"
    assert "changed=0" in networks.apply([NETWORKS[0], routed])
    host.run("nft flush ruleset")
    member = "nft get element inet microvm_fleet routed_addresses '{ \"t1\" . 10.99.1.7 }' 2>&1; true"
    host.wait_for("rules of the tap", lambda: host.run(member), lambda seen: "elements" in seen)
    with pytest.raises(AssertionError, match="while MicroVMs are on it"):
        networks.apply(NETWORKS)
    host.run("systemctl stop microvm@web")
    host.wait_for("end of the taps", lambda: host.run("ip link show type tun; ip route show 10.99.1.7"), "".__eq__)
