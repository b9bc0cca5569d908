# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bridges onto interfaces of the host: what is refused, what moves to a bridge, and what waits for confirmation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.names import NETWORK_LIST
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host.commands import HostError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks import observe_lan
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.configuration import (
    RULES,
    SYSCTLS,
    configuration,
    forwarding_of,
    is_ours,
    parsed_settings,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.firewalls import (
    docker_rules,
    ufw_rules,
    zone_interfaces,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.lan_files import (
    DROP_IN,
    PERMANENT,
    RETURN_SCRIPT,
    RUNTIME,
    lan_of,
    lan_texts,
    paths,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.lan_plan import two_runs
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.observe_lan import iaid
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.plan import (
    Action,
    Plan,
    plan,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.networks.state import (
    LanInterface,
    Link,
    Observed,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

from .test_networks import FRESH, Host

LAN: dict[str, Any] = {"name": "lan0", "link": "eth0"}
OTHER: dict[str, Any] = {"name": "microvm0", "address": "10.66.1.1/24"}
ADDRESS = "192.0.2.10/24"
FILE = "/run/systemd/network/10-netplan-eth0.network"
TEXT = """\
# of the operator
[Match]
MACAddress=52:54:00:00:00:07

[Link]
MTUBytes=9000
RequiredForOnline=routable

[Network]
Address=192.0.2.10/24
DHCP=ipv6

[Route]
Gateway=192.0.2.1
[QDisc]
Parent=clsact
"""
OWN = LanInterface("52:54:00:00:00:07", TEXT, FILE, 7)
SPARE = LanInterface("52:54:00:00:00:08")


class LanHost(Host):
    """A host whose eth0 has its address from a file of the operator, unless it is a port."""

    def __init__(self, interface: LanInterface) -> None:
        self.interface = interface
        addresses = (ADDRESS,) if interface.text else ()
        super().__init__(replace(FRESH, lan_interfaces={"eth0": interface}, links={"eth0": Link(False, addresses)}))
        self.addresses = addresses

    def run(self, networks: list[dict[str, Any]], confirm: bool = False, steps: int | None = None) -> Plan:
        """Carry out the first ``steps`` of the plan, or all."""
        planned = plan(self.observed, parse_networks(networks), "n", confirm)
        for step in planned.steps[:steps]:
            self.observed = replace(self.observed, interrupted=True)
            self._do(step.action, step.target, dict(planned.files))
        if steps is None or steps >= len(planned.steps):
            self.observed = replace(self.observed, interrupted=False)
        return planned

    def _do(self, action: Action, target: str, wanted: dict[str, str]) -> None:
        if action is Action.ARM:
            assert RETURN_SCRIPT in self.observed.files, "the timer runs a script that is there"
            self.observed = replace(self.observed, unconfirmed=True, returned=False)
        elif action in (Action.CONFIRM, Action.DISARM):
            assert self.observed.unconfirmed
            self.observed = replace(self.observed, unconfirmed=False)
        elif action is Action.FORGET_RETURN:
            self.observed = replace(self.observed, returned=False)
        elif action is Action.RELEASE:
            super()._do(Action.DELETE_BRIDGE, target, wanted)
        elif action in (Action.WRITE_VOLATILE, Action.REMOVE_VOLATILE, Action.REMOVE_LAST):
            super()._do(Action.WRITE if action is Action.WRITE_VOLATILE else Action.REMOVE, target, wanted)
        else:
            super()._do(action, target, wanted)

    def _run_networkd(self, links: dict[str, Link]) -> None:
        super()._run_networkd(links)
        is_port = all(path in self.observed.files for path in paths("lan0", RUNTIME))
        links["eth0"] = Link(False, () if is_port else self.addresses)
        if is_port:
            links["lan0"] = Link(True, self.addresses, ("eth0",))

    def take_back(self) -> None:
        """Let the timer elapse, or the host start anew: the files below /run become those that are permanent."""
        files = {path: text for path, text in self.observed.files.items() if lan_of(path) is None}
        permanent = {path: text for path, text in files.items() if path.startswith(f"{PERMANENT}/")}
        is_whole = len(permanent) == 3
        for path, text in permanent.items() if is_whole else ():
            files[path.replace(PERMANENT, RUNTIME)] = text
        links = {name: link for name, link in self.observed.links.items() if name != "lan0"}
        self.observed = replace(self.observed, files=files, unconfirmed=False, returned=self.observed.unconfirmed)
        self._run_networkd(links)
        self.observed = replace(self.observed, links=links)

    @property
    def addressed(self) -> str:
        """Return the interface by which the host has its address."""
        return next((name for name, link in self.observed.links.items() if ADDRESS in link.addresses), "")

    @property
    def permanent(self) -> list[str]:
        return [path for path in self.observed.files if path.startswith(f"{PERMANENT}/")]


@pytest.mark.parametrize(
    ("networks", "path"),
    [
        ([{"name": "lan0"}], "n[0].address"),
        ([{**LAN, "mode": "routed", "address": "10.66.1.1/24"}], "n[0].link"),
        ([{**LAN, "address": ADDRESS}], "n[0].address"),
        ([{**LAN, "nat": True}], "n[0].nat"),
        ([{**LAN, "ipv6": {"address": "fd00:66:1::1/64"}}], "n[0].ipv6"),
        ([{**LAN, "dhcp_server": {}}], "n[0].dhcp_server"),
        ([{**LAN, "leases": [{"mac": "02:00:00:00:00:01", "address": "192.0.2.9"}]}], "n[0].leases"),
        ([{**LAN, "metadata": True}], "n[0].metadata"),
        ([{**LAN, "uplinks": ["eth1"]}], "n[0].uplinks"),
        ([{**LAN, "forward_ports": [{"host": {"port": 80}, "guest": {"address": "192.0.2.9"}}]}], "n[0].forward_ports"),
        ([{**LAN, "allow": [{"from": "microvm0", "ports": ["tcp/80"]}]}], "n[0].allow"),
        ([{**LAN, "link": "lan0"}], "n[0].name"),
        ([{**LAN, "link": "all"}], "n[0].link"),
        ([LAN, {**LAN, "name": "lan1"}], "n[1].link"),
        ([LAN, {"name": "wire0", "mode": "macvtap", "link": "eth0"}], "n[1].link"),
        ([{**LAN, "macvtap": {"mode": "private"}}], "n[0].macvtap.mode"),
        ([OTHER, {**LAN, "link": "microvm0"}], "n[1].link"),
        ([{**LAN, "link": "microvm0"}, OTHER], "n[1].name"),
        ([LAN, {**OTHER, "nat": True, "uplinks": ["eth0"]}], "n[1].uplinks"),
        ([{**OTHER, "nat": True, "allow": [{"from": "lan0", "ports": ["tcp/80"]}]}, LAN], "n[0].allow[0].from"),
    ],
)
def test_what_has_no_sense_is_refused_with_its_path(networks: list[dict[str, Any]], path: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        parse_networks(networks, "n")
    assert refusal.value.path == path


def test_a_bridge_onto_an_interface_may_be_the_uplink_of_others() -> None:
    networks = parse_networks([LAN, {**OTHER, "nat": True, "uplinks": ["lan0"]}])
    texts = configuration(networks)
    assert parsed_settings(texts[SYSCTLS])[forwarding_of("lan0")] == "1"


@pytest.mark.parametrize(
    ("interface", "link", "words"),
    [
        (None, Link(False), "the host has no interface 'eth0'"),
        (replace(SPARE, obstacle="is a bridge itself"), Link(False), "is a bridge itself"),
        (replace(SPARE, master="bond0"), Link(False), "belongs to 'bond0'"),
        (replace(SPARE, manager="NetworkManager"), Link(False, (ADDRESS,)), "make the bridge there, for example br0"),
        (replace(SPARE, manager="ifupdown (/etc/network/interfaces)"), Link(False), "is managed by ifupdown"),
        (SPARE, Link(False, (ADDRESS,)), "has addresses which systemd-networkd has not given it"),
        (replace(OWN, file="/etc/systemd/network/00-eth0.network"), Link(False, (ADDRESS,)), "rename it"),
        (replace(OWN, text=f"{TEXT}[Network]\nVLAN=vlan7\n"), Link(False, (ADDRESS,)), "is configured with VLAN="),
        (replace(OWN, text=f"{TEXT}[Network]\nBond=bond0\n"), Link(False, (ADDRESS,)), "is configured with Bond="),
        (replace(OWN, file=f"{RUNTIME}/00-microvm-lan0+port.network"), Link(False), "other files of this collection"),
    ],
)
def test_an_interface_that_cannot_become_a_port_is_refused_before_anything_changes(
    interface: LanInterface | None, link: Link, words: str
) -> None:
    interfaces = {"eth0": interface} if interface is not None else {}
    observed = replace(FRESH, links={"eth0": link}, lan_interfaces=interfaces)
    with pytest.raises(DeclarationError, match="link") as refusal:
        plan(observed, parse_networks([LAN]), "n")
    assert words in str(refusal.value)


def test_a_port_of_another_bridge_is_refused() -> None:
    links = {"eth0": Link(False), "br0": Link(True, (), ("eth0",))}
    observed = replace(FRESH, links=links, lan_interfaces={"eth0": SPARE})
    with pytest.raises(DeclarationError, match="is a port of 'br0' already"):
        plan(observed, parse_networks([LAN]), "n")


def test_what_is_about_addresses_moves_to_the_bridge_and_the_rest_stays() -> None:
    (network,) = parse_networks([LAN])
    bridge, port, netdev = lan_texts(network, OWN).values()
    assert bridge.replace("\n\n", "\n").splitlines() == [
        *("[Match]", "Name=lan0"),
        *("[Link]", "RequiredForOnline=routable"),
        *("[Network]", "Address=192.0.2.10/24", "DHCP=ipv6"),
        *("[Route]", "Gateway=192.0.2.1"),
        *("[DHCPv4]", "IAID=7", "[DHCPv6]", "IAID=7"),
    ]
    assert port.replace("\n\n", "\n").splitlines() == [
        *("[Match]", "Name=eth0", "[Network]", "Bridge=lan0", "LinkLocalAddressing=no"),
        *("[Link]", "RequiredForOnline=no", "[Link]", "MTUBytes=9000", "[QDisc]", "Parent=clsact"),
    ]
    assert "MACAddress=52:54:00:00:00:07" in netdev


def test_an_identity_that_is_configured_stays() -> None:
    (network,) = parse_networks([LAN])
    text = TEXT + "[DHCPv4]\nIAID=3\n"
    assert lan_texts(network, replace(OWN, text=text))[f"{RUNTIME}/00-microvm-lan0.network"].count("IAID=") == 1


@pytest.mark.parametrize(
    ("client_id", "expected"),
    [("ffb6220feb00020000ab11", 0xB6220FEB), ("01525400000007", None), ("", None), ("FF:00:00:00:07:00:02", 7)],
)
def test_the_identity_of_an_interface_is_in_the_identifier_of_its_lease(client_id: str, expected: int | None) -> None:
    assert iaid(client_id) == expected


def test_an_interface_without_addresses_waits_too_since_others_may_be_above_it() -> None:
    host = LanHost(SPARE)
    planned = host.run([LAN])
    assert planned.unconfirmed == ("lan0",)
    assert planned.targets(Action.ARM)
    assert host.permanent == []
    host.run([LAN], confirm=True)
    assert "DHCP=no" in host.observed.files[f"{RUNTIME}/00-microvm-lan0.network"]
    assert len(host.permanent) == 3
    assert all(is_ours(path) for path in planned.files)
    assert not host.run([LAN]).changed
    host.run([])
    host.run([], confirm=True)
    assert host.observed.files == {}
    assert "lan0" not in host.observed.links


def test_the_hosts_own_connection_moves_back_unless_the_move_is_confirmed() -> None:
    host = LanHost(OWN)
    planned = host.run([LAN])
    assert (planned.unconfirmed, planned.waiting) == (("lan0",), ())
    assert (host.addressed, host.permanent) == ("lan0", [])
    again = host.run([LAN])
    assert (again.changed, again.waiting) == (False, ("lan0",))
    host.take_back()
    assert host.addressed == "eth0"
    with pytest.raises(HostError, match="taken back"):
        host.run([LAN], confirm=True)
    assert host.run([LAN]).unconfirmed == ("lan0",)
    confirmed = host.run([LAN], confirm=True)
    assert (confirmed.unconfirmed, len(host.permanent)) == ((), 3)
    host.take_back()
    assert host.addressed == "lan0"
    assert not host.run([LAN]).changed
    assert not host.run([LAN], confirm=True).changed


def test_a_removal_moves_back_unless_it_is_confirmed_and_its_rules_stay_until_then() -> None:
    host = LanHost(OWN)
    host.run([LAN])
    host.run([LAN], confirm=True)
    planned = host.run([])
    assert (planned.unconfirmed, host.addressed) == (("lan0",), "eth0")
    assert 'iifname "lan0"' in host.observed.files[RULES]
    assert "lan lan0\n" in host.observed.files[NETWORK_LIST]
    assert len(host.permanent) == 3
    host.take_back()
    assert host.addressed == "lan0"
    host.run([])
    host.run([], confirm=True)
    assert (host.addressed, host.observed.files) == ("eth0", {})


def test_who_declares_the_old_state_again_does_not_wait() -> None:
    host = LanHost(OWN)
    host.run([LAN])
    planned = host.run([])
    assert (planned.unconfirmed, host.addressed, host.observed.files) == ((), "eth0", {})
    assert not host.observed.unconfirmed


@pytest.mark.parametrize(("permanent", "change"), [([], [LAN]), ([LAN], [])], ids=["made", "removed"])
def test_the_timer_stays_until_the_old_state_is_back(
    permanent: list[dict[str, Any]], change: list[dict[str, Any]]
) -> None:
    def changed() -> LanHost:
        host = LanHost(OWN)
        host.run(permanent)
        host.run(permanent, confirm=True)
        host.run(change)
        return host

    address, total = (
        "lan0" if permanent else "eth0",
        len(plan(changed().observed, parse_networks(permanent), "n").steps),
    )
    assert total
    for steps in range(total):
        host = changed()
        host.run(permanent, steps=steps)
        is_armed = host.observed.unconfirmed and RETURN_SCRIPT in host.observed.files
        assert is_armed or host.addressed == address, f"killed after {steps} of {total} steps"
        host.run(permanent)
        assert (host.addressed, host.observed.unconfirmed, host.run(permanent).changed) == (address, False, False)


def test_what_goes_back_is_not_confirmed_together_with_something_else() -> None:
    other = {"name": "lan1", "link": "eth1"}
    observed = replace(LanHost(OWN).observed, lan_interfaces={"eth0": OWN, "eth1": SPARE})
    texts = plan(observed, parse_networks([LAN, other]), "n").files
    observed = replace(observed, files=texts, unconfirmed=True)
    assert plan(observed, parse_networks([LAN, other]), "n", confirm=True).targets(Action.CONFIRM)
    with pytest.raises(HostError, match="'lan0' cannot be confirmed"):
        plan(observed, parse_networks([other]), "n", confirm=True)


@pytest.mark.parametrize("networks", [[], [OTHER]])
def test_a_run_says_once_that_a_change_was_taken_back(networks: list[dict[str, Any]]) -> None:
    host = LanHost(OWN)
    host.run([LAN])
    host.take_back()
    assert host.run(networks).targets(Action.FORGET_RETURN)
    assert not host.observed.returned
    assert not host.run(networks).changed


@pytest.mark.parametrize("interface", [OWN, SPARE], ids=["own", "spare"])
@pytest.mark.parametrize(("before", "after"), [([], [LAN]), ([LAN], []), ([LAN], [LAN, OTHER])])
def test_a_run_that_is_killed_at_any_step_leaves_the_old_state_or_the_new(
    interface: LanInterface, before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    def fresh() -> LanHost:
        host = LanHost(interface)
        host.run(before)
        host.run(before, confirm=True)
        return host

    old, total = fresh(), len(fresh().run(after).steps)
    for steps in range(total):
        host = fresh()
        host.run(after, steps=steps)
        host.take_back()
        if interface.text:
            assert host.addressed == old.addressed, f"killed after {steps} of {total} steps"
        host.run(after)
        host.run(after, confirm=True)
        assert host.addressed == (("lan0" if after else "eth0") if interface.text else "")
        assert not host.run(after).changed
        assert (f"{RUNTIME}/00-microvm-lan0.network" in host.observed.files) == bool(after)


@pytest.mark.parametrize("networks", [[LAN], []], ids=["made", "removed"])
def test_a_confirmation_that_is_killed_at_any_step_is_completed_by_the_next_run(networks: list[dict[str, Any]]) -> None:
    def waiting() -> LanHost:
        host = LanHost(OWN)
        if not networks:
            host.run([LAN])
            host.run([LAN], confirm=True)
        host.run(networks)
        return host

    total = len(plan(waiting().observed, parse_networks(networks), "n", confirm=True).steps)
    assert total
    for steps in range(1, total):
        host = waiting()
        host.run(networks, confirm=True, steps=steps)
        host.run(networks)
        assert not host.run(networks).changed
        host.take_back()
        assert host.addressed == ("lan0" if networks else "eth0")


@pytest.mark.parametrize("interface", [OWN, SPARE], ids=["own", "spare"])
def test_files_that_somebody_has_deleted_below_run_come_back_or_go_with_the_bridge(interface: LanInterface) -> None:
    host = LanHost(interface)
    host.run([LAN])
    host.run([LAN], confirm=True)
    permanent = {path: text for path, text in host.observed.files.items() if lan_of(path) is None}
    host.observed = replace(host.observed, files=permanent)
    again = plan(host.observed, parse_networks([LAN]), "n")
    assert (len(again.targets(Action.WRITE_VOLATILE)), again.unconfirmed) == (3, ())
    gone = plan(host.observed, [], "n")
    assert gone.targets(Action.RELEASE) == ("lan0",)
    assert gone.unconfirmed == ("lan0",)


def test_the_link_of_a_bridge_that_exists_does_not_change() -> None:
    host = LanHost(SPARE)
    host.run([LAN])
    for other in ({**LAN, "link": "eth1"}, {**OTHER, "name": "lan0"}):
        with pytest.raises(DeclarationError, match="link of 'lan0' does not change") as refusal:
            plan(host.observed, parse_networks([other]), "n")
        assert two_runs("lan0") in str(refusal.value)


def test_a_bridge_is_renamed_by_two_runs() -> None:
    host = LanHost(OWN)
    host.run([LAN])
    host.run([LAN], confirm=True)
    links = {**host.observed.links, "lan0": replace(host.observed.links["lan0"], ports=("eth0",))}
    host.observed = replace(host.observed, links=links)
    renamed = parse_networks([{**LAN, "name": "lan1"}])
    with pytest.raises(
        DeclarationError, match="the link of the network 'lan0', which is no longer declared"
    ) as refusal:
        plan(host.observed, renamed, "n")
    assert two_runs("lan1") in str(refusal.value)
    # As the refusal says: without the new one, then with it.
    host.run([])
    host.run([], confirm=True)
    assert "lan1" in plan(host.observed, renamed, "n").unconfirmed


def test_a_bridge_stays_when_its_interface_goes_and_is_reported() -> None:
    host = LanHost(OWN)
    host.run([LAN])
    host.run([LAN], confirm=True)
    assert plan(host.observed, parse_networks([LAN]), "n").missing_links == ()
    links = {"lan0": replace(host.observed.links["lan0"], ports=())}
    host.observed = replace(host.observed, links=links, lan_interfaces={})
    planned = plan(host.observed, parse_networks([LAN, OTHER]), "n")
    assert planned.missing_links == (("lan0", "eth0"),)
    assert planned.unconfirmed == () and not planned.targets(Action.RECONFIGURE)
    assert plan(host.observed, parse_networks([LAN]), "n").steps == ()
    with pytest.raises(DeclarationError, match="the host has no interface 'eth0'"):
        plan(host.observed, parse_networks([{**LAN, "name": "lan1"}]), "n")


def test_a_network_without_taps_does_not_stay_for_its_own_interface() -> None:
    host = LanHost(SPARE)
    host.run([LAN])
    host.run([LAN], confirm=True)
    link = replace(host.observed.links["lan0"], ports=("eth0", "mv-a"), taps=frozenset({"mv-a"}))
    observed = replace(host.observed, links={**host.observed.links, "lan0": link})
    assert plan(observed, [], "n").kept == {"lan0": ("mv-a",)}
    assert not plan(host.observed, [], "n").kept


def test_the_uplink_of_others_is_the_interface_and_its_bridge() -> None:
    host = LanHost(OWN)
    networks = [LAN, {**OTHER, "nat": True}]
    for uplinks in (("eth0",), ("lan0",)):
        host.observed = replace(host.observed, uplinks=uplinks)
        settings = parsed_settings(plan(host.observed, parse_networks(networks), "n").files[SYSCTLS])
        assert settings[forwarding_of("eth0")] == settings[forwarding_of("lan0")] == "1"
        host.run(networks)


def test_guests_have_no_address_of_the_host_or_its_router() -> None:
    observed = replace(LanHost(OWN).observed, gateways=(("eth0", "192.0.2.1"), ("eth9", "203.0.113.1")))
    text = plan(observed, parse_networks([LAN]), "n").files[RULES]
    assert "elements = { 192.0.2.1, 192.0.2.10 }" in text


def test_guests_use_the_host_as_their_router_neither_to_neighbours_nor_to_forwarded_ports() -> None:
    files = {f"{RUNTIME}/50-microvm-lan0.netdev": "[NetDev]\nName=lan0\nMACAddress=02:00:00:00:07:01\n"}
    forward = {"host": {"port": 53}, "guest": {"address": "10.66.1.10"}}
    other = {"name": "nat0", "address": "10.66.1.1/24", "nat": True, "forward_ports": [forward]}
    text = configuration(parse_networks([other, LAN]), ["lan0"], lan_files=files)[RULES]
    chain = text[text.index("hook forward priority filter") :]
    assert "ether daddr 02:00:00:00:07:01 iifname . ether saddr @lan_guests counter drop" in chain
    assert chain.index("@lan_guests ct state") < chain.index("jump forwarded")


def test_files_that_exist_once_are_there_only_for_such_bridges() -> None:
    assert DROP_IN not in configuration(parse_networks([OTHER]))
    assert is_ours(DROP_IN) and is_ours(f"{PERMANENT}/50-microvm-lan0.netdev")
    assert not is_ours(f"{RUNTIME}/10-netplan-eth0.network") and not is_ours(f"{PERMANENT}/other")


def test_the_host_stays_reachable_for_the_lan() -> None:
    text = plan(Observed(lan_interfaces={"eth0": SPARE}), parse_networks([{**LAN, "host_access": "none"}]), "n").files
    chain = text[RULES].partition("chain input {")[2].partition("}\n    chain forward")[0]
    assert "iifname . ether saddr @lan_guests jump host" in chain
    assert 'iifname "lan0" jump' not in chain


def test_interfaces_are_looked_at_where_their_managers_leave_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    names = ("INTERFACES", "NETWORKD_LINKS", "NETWORKD_LEASES", "NETWORK_MANAGER_DEVICES")
    for name in names:
        monkeypatch.setattr(observe_lan, name, str(tmp_path / name))
    monkeypatch.setattr(observe_lan, "IFUPDOWN_FILES", (str(tmp_path / "interfaces"),))
    for number, name in enumerate(("eth0", "eth1", "eth2", "eth3", "br0", "wg0", "old0")):
        write(f"INTERFACES/{name}/ifindex", f"{number}\n")
        write(f"INTERFACES/{name}/address", f"52:54:00:00:00:0{number}\n")
        write(f"INTERFACES/{name}/type", "65534\n" if name == "wg0" else "1\n")
    write("INTERFACES/br0/bridge/stp_state", "0\n")
    (tmp_path / "INTERFACES/eth3/master").symlink_to("../ovs-system")
    file, drop_in = str(tmp_path / "10.network"), str(tmp_path / "a.conf")
    write("10.network", "[Network]\nDHCP=yes\n")
    write("a.conf", "[DHCPv4]\nUseDNS=no\n")
    write("NETWORKD_LINKS/0", f'ADMIN_STATE=configured\nNETWORK_FILE={file}\nNETWORK_FILE_DROPINS="{drop_in}"\n')
    write("NETWORKD_LEASES/0", "# of networkd\nADDRESS=192.0.2.10\nCLIENTID=ff00000009000200\n")
    monkeypatch.setattr(observe_lan, "NETWORKD_DIRECTORIES", [str(tmp_path / name) for name in ("etc", "run")])
    write("run/10.network.d/20.conf", "[Network]\nLLDP=yes\n")
    write("run/10.network.d/10.conf", "hidden\n")
    write("etc/10.network.d/10.conf", "[Network]\nLLMNR=no\n")
    write("NETWORKD_LINKS/6", f"ADMIN_STATE=configured\nNETWORK_FILE={file}\n")
    write("NETWORKD_LINKS/1", f"ADMIN_STATE=unmanaged\nNETWORK_FILE={file}\n")
    write("NETWORK_MANAGER_DEVICES/1", "[device]\nmanaged=true\n")
    write("interfaces", "auto lo eth2\niface eth2 inet dhcp\n#iface eth3 inet dhcp\n")
    seen = observe_lan.observe_lan_interfaces(["eth0", "eth1", "eth2", "eth3", "br0", "wg0", "old0", "eth9"])
    text = "[Network]\nDHCP=yes\n[DHCPv4]\nUseDNS=no"
    assert seen == {
        "eth0": LanInterface("52:54:00:00:00:00", text, file, 9),
        "eth1": LanInterface("52:54:00:00:00:01", manager="NetworkManager"),
        "eth2": LanInterface("52:54:00:00:00:02", manager=f"ifupdown ({tmp_path}/interfaces)"),
        "eth3": LanInterface("52:54:00:00:00:03", master="ovs-system"),
        "br0": LanInterface("52:54:00:00:00:04", obstacle="is a bridge itself"),
        "wg0": LanInterface("52:54:00:00:00:05", obstacle="has no Ethernet"),
        "old0": LanInterface(
            "52:54:00:00:00:06", "[Network]\nDHCP=yes\n[Network]\nLLMNR=no\n[Network]\nLLDP=yes", file
        ),
    }


def test_other_firewalls_are_told_of_frames_within_the_bridge_alone() -> None:
    networks = parse_networks([LAN, {"name": "lan1", "link": "eth1", "other_firewalls": "leave"}])
    assert docker_rules(networks, ["lan0"], [])["iptables"] == (
        "-A MICROVM-FLEET -i lan0 -o lan0 -m comment --comment microvm.fleet -j ACCEPT\n"
    )
    assert ufw_rules(networks, ["lan0"]) == ["route allow in on lan0 out on lan0"]
    assert zone_interfaces(networks) == []
