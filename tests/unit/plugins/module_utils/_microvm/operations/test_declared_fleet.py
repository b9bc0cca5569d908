# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Clashes of a fleet: what hosts declare, and what is wrong with it."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.fleet import (
    fleet_errors,
    fleet_warnings,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.declared_fleet import (
    compared_part,
    read_host,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

Variables = Dict[str, Any]

BR0 = {"name": "br0", "address": "10.0.0.1/24", "dhcp_server": {}, "nat": True}
ALLOWING = {"name": "br1", "address": "10.1.0.1/24", "nat": True}
MAC = "02:00:00:00:00:01"


def vm(name: str = "web", bridge: str = "br0", address: str = "", **options: Any) -> Variables:
    """Return a MicroVM with an interface."""
    interface = {"bridge": bridge, **options.pop("interface", {})}
    networks = [{"addresses": [address]}] if address else []
    return {"name": name, "interfaces": [interface], "guest": {"networks": networks}, **options}


def macvtap(name: str = "web", link: str = "eth0", address: str = "", **options: Any) -> Variables:
    """Return a MicroVM with a macvtap device."""
    interface = {"type": "macvtap", "macvtap": {"link": link, "mode": "bridge"}}
    return {**vm(name, address=address, **options), "interfaces": [{**interface, **options.get("interface", {})}]}


def user(name: str, *ports: Variables) -> Variables:
    """Return a MicroVM with forwarded ports."""
    return {"name": name, "interfaces": [{"type": "user"}], "forward_ports": list(ports)}


def forwarded(port: int, address: str = "") -> Variables:
    """Return a forwarded port of the host."""
    return {"host": {"port": port, **({"address": address} if address else {})}, "guest": {"port": 80}}


def host(*vms: Any, networks: Any = (BR0,), **variables: Any) -> Variables:
    """Return the variables of a host."""
    return {"microvm_vms": list(vms), "microvm_networks": list(networks), **variables}


def errors(**hosts: Variables) -> List[str]:
    """Return what is wrong with hosts."""
    return [str(error) for error in fleet_errors([read_host(name, compared_part(of)) for name, of in hosts.items()])]


def warnings(**hosts: Variables) -> List[str]:
    """Return what is doubtful in the declarations of hosts."""
    fleet = [read_host(name, compared_part(of)) for name, of in hosts.items()]
    return [str(warning) for warning in fleet_warnings(fleet)]


def allowing(origin: str, *vms: Variables) -> Variables:
    """Return a host with a network that guests of another one are allowed to reach."""
    allow = [{"from": origin, "to": "10.1.0.9", "ports": ["tcp/5432"]}]
    return host(*vms, networks=[BR0, {**ALLOWING, "allow": allow}])


WITHIN = [
    (host(vm(address="10.0.0.1/24")), "vms[0] (web).guest.networks[0].addresses[0]: 10.0.0.1 is the address of the br"),
    (host(vm(address="10.0.1.9/24")), "vms[0] (web).guest.networks[0].addresses[0]: 10.0.1.9 is not in 10.0.0.0/24"),
    (
        host(vm(address="10.0.0.9/24"), networks=[{**BR0, "leases": [{"mac": MAC, "address": "10.0.0.9"}]}]),
        f"10.0.0.9 is leased to {MAC}",
    ),
    (
        host(vm("a", address="10.0.0.9/24"), vm("b", address="10.0.0.9/24")),
        "vms[1] (b).guest.networks[0].addresses[0]: the address '10.0.0.9' is already used by microvm_vms[0] (a)",
    ),
    (host(vm("a", interface={"mac": MAC}), vm("b", interface={"mac": MAC})), "vms[1] (b).interfaces[0].mac"),
    (host(vm("a", interface={"id": "t"}), vm("b", interface={"id": "t"})), "vms[1] (b).interfaces[0].id"),
    (host(vm("a", vsock={"cid": 7}), vm("b", vsock={"cid": 7})), "vms[1] (b).vsock.cid"),
    (host(vm("a"), vm("a")), "vms[1] (a).name"),
    (host(user("a", forwarded(80)), user("b", forwarded(80, "192.0.2.1"))), "vms[1] (b).forward_ports[0].host.port"),
    (
        host(vm(interface={"id": "br0"})),
        "vms[0] (web).interfaces[0].id: 'br0' is the bridge, the link or an uplink of network",
    ),
    (host(vm(interface={"id": "eth0"}), networks=[{**BR0, "uplinks": ["eth0"]}]), "interfaces[0].id: 'eth0'"),
    (
        host(networks=[BR0, {"name": "br1", "address": "10.0.0.129/25"}]),
        "networks[1] (br1).address: its subnet overlaps with the subnet of network 'br0'",
    ),
    (
        host(networks=[BR0, {**ALLOWING, "allow": [{"from": "microvm:web", "ports": ["tcp/1"]}]}]),
        "networks[1] (br1).allow[0].from: no MicroVM 'web' is declared",
    ),
    (
        host(vm(tags=["a"]), networks=[BR0, {**ALLOWING, "allow": [{"from": "tag:a", "ports": ["tcp/1"]}]}]),
        "networks[1] (br1).allow[0].from: no IPv4 address of MicroVM 'web' on network 'br0' is declared",
    ),
    (
        host(networks=[BR0, {**ALLOWING, "allow": [{"from": "br2", "ports": ["tcp/1"]}]}]),
        "networks[1] (br1).allow[0].from: 'br2' is neither a network",
    ),
    (host(vm(interface={"type": "wireless"})), "vms[0] (web).interfaces[0].type"),
    (host(vm(interface={"type": "macvtap"})), "interfaces[0].bridge: there is no network 'br0' with mode macvtap"),
    (
        host(vm(bridge="wire0"), networks=[{"name": "wire0", "mode": "macvtap", "link": "eth0"}]),
        "interfaces[0].type: the network 'wire0' has mode macvtap",
    ),
    (host(networks=[{"name": "br0"}]), "networks[0] (br0).address"),
    (host(vm(), networks=[], microvm_defaults=3), "microvm_defaults: is not a mapping"),
    ({"microvm_vms": {"name": "web"}}, "microvm_vms: is not a list"),
    (host(microvm_lans=["br0"]), "microvm_lans: is not a mapping"),
    (host(microvm_lans={"br0": 3}), "microvm_lans.br0: is not a name"),
]


@pytest.mark.parametrize(("variables", "expected"), WITHIN, ids=[expected for _variables, expected in WITHIN])
def test_what_one_host_cannot_have_is_an_error_of_that_host(variables: Variables, expected: str) -> None:
    (error,) = errors(east=variables)
    assert error.startswith("east: microvm_") and expected in error


ACROSS = [
    (vm("a", "lan0", interface={"mac": MAC}), vm("b", "lan0", interface={"mac": MAC.upper()}), "MAC address"),
    (vm("a", "lan0"), vm("b", "lan0", identity="a"), "MAC address"),
    (vm("a", "lan0"), vm("a", "lan0"), "MAC address"),
    (macvtap("a"), macvtap("a"), "MAC address"),
    (vm("a", "lan0", "192.0.2.9/24"), vm("b", "lan0", "192.0.2.9/24"), "address 192.0.2.9"),
    (vm("a", "lan0", "192.0.2.9/24"), vm("b", "lan0", "192.0.2.9/16"), "address 192.0.2.9"),
    (vm("a", "lan0", "2001:db8::9/64"), vm("b", "lan0", "2001:db8:0::9/64"), "address 2001:db8::9"),
    (macvtap("a", address="192.0.2.9/24"), vm("b", "eth0", "192.0.2.9/24"), "address 192.0.2.9"),
    # A stopped MicroVM of another name can be started at any time.
    (vm("a", "lan0", "192.0.2.9/24"), vm("b", "lan0", "192.0.2.9/24", state="stopped"), "address 192.0.2.9"),
]


@pytest.mark.parametrize(("first", "second", "kind"), ACROSS)
def test_guests_that_meet_on_a_lan_differ_in_their_addresses(first: Variables, second: Variables, kind: str) -> None:
    (error,) = errors(east=host(first), west=host(second))
    assert error.startswith(f"west: microvm_vms[0] ({second['name']})."), error
    assert f"the {kind}" in error and f"microvm_vms[0] ({first['name']})." in error and "of east" in error


@pytest.mark.parametrize(
    ("network", "interface"), [({"mode": "macvtap"}, {"type": "macvtap"}), ({}, {})], ids=["macvtap", "bridge"]
)
def test_guests_of_networks_onto_an_interface_meet_on_its_lan(network: Variables, interface: Variables) -> None:
    wire = {"name": "wire0", "link": "eth0", **network}
    joined = [vm(name, "wire0", "192.0.2.9/24", interface=interface) for name in ("a", "b")]
    hosts = {
        "east": host(joined[0], networks=[wire]),
        "west": host(joined[1], networks=[BR0, {**wire, "name": "wire0"}]),
    }
    (error,) = errors(**hosts)
    assert "the address 192.0.2.9" in error and "LAN 'eth0'" in error
    (error,) = errors(east=hosts["east"], west=host(macvtap("b", address="192.0.2.9/24")))
    assert "the address 192.0.2.9" in error
    hosts["west"]["microvm_lans"] = {"eth0": "paris"}
    assert errors(**hosts) == []


LEGITIMATE = {
    "the same MicroVMs on networks of each host": (host(vm(address="10.0.0.9/24")), host(vm(address="10.0.0.9/24"))),
    "the same identifiers on each host": (
        host(vm("a", vsock={"cid": 7}, interface={"id": "t", "mac": MAC})),
        host(vm("b", vsock={"cid": 7}, interface={"id": "t", "mac": MAC})),
    ),
    "the same ports on each host": (host(user("a", forwarded(8080))), host(user("a", forwarded(8080)))),
    "user networks": (host(user("a")), host(user("a"))),
    "taps without a bridge": (host({"name": "a", "interfaces": [{}]}),) * 2,
    "libvirt's own bridge": (host(vm("a", "virbr0", "192.168.122.9/24")),) * 2,
    "Docker's own bridge": (host(vm("a", "br-0123456789ab", "172.18.0.9/24")),) * 2,
    "LANs of different names": (host(vm("a", "lan0")), host(vm("a", "lan1"))),
    "a bridge of an operator that leads nowhere": (host(vm("a", "lan0"), microvm_lans={"lan0": None}),) * 2,
    "LANs of two sites": (
        host(vm("a", "lan0", "192.0.2.9/24"), microvm_lans={"lan0": "berlin"}),
        host(vm("a", "lan0", "192.0.2.9/24"), microvm_lans={"lan0": "paris"}),
    ),
    "anycast": (host(vm("a", "lan0", "192.0.2.9/32")), host(vm("b", "lan0", "192.0.2.9/32"))),
    "link-local addresses": (host(vm("a", "lan0", "fe80::9/64")), host(vm("b", "lan0", "fe80::9/64"))),
    "a standby": (host(vm("a", "lan0", "192.0.2.9/24")), host(vm("a", "lan0", "192.0.2.9/24", state="stopped"))),
    "a MicroVM that has gone": (host(vm("a", "lan0", state="absent")), host(vm("a", "lan0"))),
    "a route to one host": (host(vm("a", address="192.0.2.9/32")),),
    "its own lease": (
        host(
            vm("a", address="10.0.0.9/24", interface={"mac": MAC}),
            networks=[{**BR0, "leases": [{"mac": MAC.upper(), "address": "10.0.0.9"}]}],
        ),
    ),
    "no declarations": ({}, {"microvm_vms": None}),
}


@pytest.mark.parametrize("fleet", LEGITIMATE.values(), ids=LEGITIMATE)
def test_legitimate_fleets_have_no_clash(fleet: Any) -> None:
    assert errors(**{f"host{index}": variables for index, variables in enumerate(fleet)}) == []


def test_interfaces_of_different_names_meet_if_the_inventory_says_so() -> None:
    east = host(vm("a", "lan0", "192.0.2.9/24"), microvm_lans={"lan0": "office"})
    west = host(macvtap("b", "eth0", "192.0.2.9/24"), microvm_lans={"eth0": "office"})
    (error,) = errors(east=east, west=west)
    assert "on the LAN 'office'" in error


def test_many_hosts_with_one_clash_are_one_error() -> None:
    fleet = {f"host{index}": host(vm("a", "lan0")) for index in range(300)}
    (error,) = fleet_errors([read_host(name, variables) for name, variables in fleet.items()])
    assert len(error.hosts) == 300 and "of host2 and 296 more" in error.message


def test_defaults_do_not_hold_beside_a_package_that_was_made_elsewhere() -> None:
    defaults = {"interfaces": [{"bridge": "lan0", "mac": MAC}]}
    bare = host({"name": "a"}, {"name": "b", "runner": "/srv/b"}, microvm_defaults=defaults)
    assert errors(east=bare) == []


def test_defaults_hold_for_all_microvms() -> None:
    defaults = {"interfaces": [{"bridge": "lan0", "mac": MAC}], "guest": {"hostname": "x"}}
    bare = host({"name": "a"}, {"name": "b"}, microvm_defaults=defaults)
    assert [error.partition(":")[2][:30] for error in errors(east=bare)] == [" microvm_vms[1] (b).interfaces"]


def test_secrets_and_images_are_not_looked_at() -> None:
    secret = {
        "name": "a",
        "image": "{{ x }}",
        "credential_files": {"t": "{{ x }}"},
        "guest": {"authorized_keys": ["{{ x }}"]},
    }
    part = compared_part(host(secret, microvm_defaults={"guest": {"root_password_file": "{{ x }}"}}))
    assert "{{ x }}" not in str(part)


def test_an_element_that_cannot_be_resolved_hides_no_other() -> None:
    unresolved = DeclarationError("microvm_vms[0].mem", "is undefined")
    variables = host(unresolved, vm("b", address="10.0.9.9/24"))
    assert [error.partition(":")[2].partition(":")[0] for error in errors(east=variables)] == [
        " microvm_vms[0].mem",
        " microvm_vms[1] (b).guest.networks[0].addresses[0]",
    ]


def test_networks_that_lead_to_a_lan_are_none_that_something_is_allowed_from() -> None:
    lans = [{"name": "lan0", "link": "eth0"}, {"name": "wire0", "mode": "macvtap", "link": "eth1"}]
    allowing = {**ALLOWING, "allow": [{"from": "10.0.0.9", "ports": ["tcp/1"]}]}
    assert errors(east=host(vm(), vm("lan", "lan0", "192.0.2.9/24"), networks=[BR0, allowing, *lans])) == []


def test_a_tag_that_no_microvm_has_is_doubtful_with_the_one_it_resembles() -> None:
    web = vm(address="10.0.0.9/24", tags=["frontend"])
    (warning,) = warnings(a=allowing("tag:frontnd", web), b=host(web))
    assert warning == (
        "a: microvm_networks[1] (br1).allow[0].from: no MicroVM of the inventory has the tag 'frontnd', so this allows "
        "nothing; did you mean 'frontend'?"
    )
    assert warnings(a=allowing("tag:frontend", web)) == []


def test_a_tag_that_only_microvms_of_other_hosts_have_is_not_doubtful() -> None:
    elsewhere = vm(address="10.0.0.9/24", tags=["frontend"])
    assert warnings(a=allowing("tag:frontend", vm("db")), b=host(elsewhere)) == []
    assert len(warnings(a=allowing("tag:frontend", vm("db")), b=host({**elsewhere, "state": "absent"}))) == 1


def test_a_tag_of_a_microvm_on_another_network_is_doubtful() -> None:
    (warning,) = warnings(a=allowing("tag:frontend", vm(bridge="br1", address="10.1.0.9/24", tags=["frontend"])))
    assert "no MicroVM on other networks with nat of this host has the tag 'frontend'" in warning


def test_tags_are_not_doubtful_while_declarations_cannot_be_read() -> None:
    assert warnings(a=allowing("tag:frontend"), b=host({"name": "web", "interfaces": 3})) == []
