# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guests that hosts declare: their addresses, groups and names."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.operations.guest_inventory import (
    GuestHost,
    check_name_template,
    declared_guests,
    merged,
    named_guests,
    relevant,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

BRIDGED: Dict[str, Any] = {
    "name": "web",
    "image": "base",
    "interfaces": [{"bridge": "br0", "mac": "02:00:00:00:00:aa"}],
}
STATIC: Dict[str, Any] = {**BRIDGED, "guest": {"networks": [{"addresses": ["10.0.0.2/24", "fd00::2/64"]}]}}
NETWORK: Dict[str, Any] = {
    "name": "br0",
    "address": "10.0.0.1/24",
    "dhcp_server": {},
    "leases": [{"mac": "02:00:00:00:00:AA", "address": "10.0.0.77"}],
}
LINK_LOCAL: Dict[str, Any] = {**BRIDGED, "guest": {"networks": [{"addresses": ["fe80::2/64"]}]}}
NO_ADDRESSES = [
    "-oProxyCommand=touch x",
    "{{ 6 * 7 }}",
    "fe80::9",
    "fe80::9%{{ 6 }}",
    "fd00::9%-o",
    7,
    None,
    ["10.0.0.9"],
]
"""What a host may say that it has seen."""

USER: Dict[str, Any] = {
    "name": "web",
    "image": "base",
    "interfaces": [{"type": "user", "id": "lan"}],
    "guest": {"networks": [{"addresses": ["10.0.2.15/24"]}]},
}


def forwarded(port: int, **host: object) -> Dict[str, Any]:
    return {**USER, "forward_ports": [{"from": "host", "host": {"port": 2222, **host}, "guest": {"port": port}}]}


def guests(*vms: Dict[str, Any], facts: object = None, **variables: object) -> List[GuestHost]:
    variables = {"microvm_vms": list(vms), "microvm_images": [{"name": "base"}], **variables}
    return declared_guests("east", variables, facts)


@pytest.mark.parametrize(
    ("vm", "networks", "facts", "server"),
    [
        (STATIC, [NETWORK], None, ("10.0.0.2", 22)),
        ({**STATIC, "ready": {"address": "192.0.2.7"}}, [], None, ("192.0.2.7", 22)),
        (LINK_LOCAL, [], None, (None, 22)),
        (BRIDGED, [NETWORK], None, ("10.0.0.77", 22)),
        (BRIDGED, [{**NETWORK, "name": "br1"}], None, (None, 22)),
        (BRIDGED, [], [{"name": "web", "dhcp_addresses": ["10.0.0.99", "10.0.0.98"]}], ("10.0.0.99", 22)),
        (BRIDGED, [], [{"name": "db", "dhcp_addresses": ["10.0.0.99"]}], (None, 22)),
        (BRIDGED, [], [{"name": "web", "dhcp_addresses": [*NO_ADDRESSES, "FD00::9"]}], ("fd00::9", 22)),
        (BRIDGED, [], [{"name": "web", "dhcp_addresses": "10.0.0.99"}], (None, 22)),
        (BRIDGED, [], [{"name": ["web"]}, {"dhcp_addresses": ["10.0.0.99"]}, 1], (None, 22)),
        (forwarded(22), [], None, ("127.0.0.1", 2222)),
        (forwarded(22, address="0.0.0.0"), [], None, ("127.0.0.1", 2222)),
        (forwarded(22, address="192.0.2.1"), [], None, ("192.0.2.1", 2222)),
        (forwarded(80), [], None, (None, 22)),
        ({"name": "web", "image": "base", "vsock": {"cid": 7}}, [], None, (None, 22)),
    ],
    ids=[
        "static address",
        "address of its check",
        "static address of one link",
        "declared lease",
        "lease of another network",
        "lease that the host has seen",
        "lease of another guest",
        "first lease that is an address",
        "no list of leases",
        "no guests",
        "forwarded port",
        "forwarded port of all addresses",
        "forwarded port of one address",
        "other forwarded port",
        "vsock alone",
    ],
)
def test_the_ssh_server_is_where_the_host_reaches_it(
    vm: Dict[str, Any], networks: List[Dict[str, Any]], facts: object, server: Tuple[Optional[str], int]
) -> None:
    (guest,) = guests(vm, facts=facts, microvm_networks=networks)
    assert (guest.address, guest.port) == server


def test_groups_follow_from_host_hypervisor_state_networks_and_tags() -> None:
    vm = {
        **BRIDGED,
        "tags": ["front-end", "eu", "eu"],
        "hypervisor": "cloud-hypervisor",
        "state": "stopped",
        "interfaces": [
            {"bridge": "br0"},
            {"bridge": "br0"},
            {"type": "macvtap", "id": "up0", "macvtap": {"link": "eth1", "mode": "bridge"}},
        ],
    }
    (guest,) = guests(vm)
    assert list(guest.groups("mv_")) == [
        "mv_host_east",
        "mv_hypervisor_cloud-hypervisor",
        "mv_state_stopped",
        "mv_network_br0",
        "mv_network_eth1",
        "mv_tag_front-end",
        "mv_tag_eu",
    ]
    assert guest.variables["tags"] == ["front-end", "eu"]


def test_defaults_hold_for_what_a_microvm_does_not_set() -> None:
    defaults = {"image": "base", "hypervisor": "crosvm", "guest": {"hostname": "all", "host_access": True}}
    web, db = guests(
        {"name": "web", "guest": {"hostname": "front"}}, {"name": "db", "hypervisor": "qemu"}, microvm_defaults=defaults
    )
    assert [(web.hypervisor, web.variables["hostname"]), (db.hypervisor, db.variables["hostname"])] == [
        ("crosvm", "front"),
        ("qemu", "all"),
    ]


def test_lists_of_defaults_are_replaced_and_mappings_are_merged() -> None:
    assert merged({"a": {"b": 1, "c": [1]}, "d": 1}, {"a": {"c": [2]}, "d": {}}) == {"a": {"b": 1, "c": [2]}, "d": {}}


def test_a_package_that_was_made_elsewhere_decides_what_defaults_would() -> None:
    defaults = {"image": "base", "hypervisor": "firecracker", "tags": ["blue"]}
    (guest,) = declared_guests(
        "east", {"microvm_vms": [{"name": "a", "runner": "/srv/a"}], "microvm_defaults": defaults}
    )
    assert list(guest.groups("g_")) == ["g_host_east", "g_state_started", "g_tag_blue"]
    assert guest.variables["hypervisor"] is None


def test_images_may_be_declared_elsewhere() -> None:
    declared = {"microvm_vms": [{"name": "db"}, STATIC], "microvm_defaults": {"image": "other"}}
    assert [guest.name for guest in declared_guests("east", declared)] == ["db", "web"]


def test_removed_microvms_have_no_guest() -> None:
    assert [guest.name for guest in guests({"name": "old", "state": "absent"}, STATIC)] == ["web"]


def test_facts_that_matter_are_part_of_the_variables() -> None:
    facts = [{"name": "web", "condition": "ok", "declaration": {"credential_files": {"a": "/secret"}}}]
    (guest,) = guests(STATIC, facts=facts)
    assert guest.variables["facts"] == {"condition": "ok"}
    assert "facts" not in guests(STATIC)[0].variables


@pytest.mark.parametrize(
    ("variables", "path", "message"),
    [
        (
            {"microvm_vms": [STATIC, {**BRIDGED, "name": "b", "hypervisor": "xen"}]},
            "microvm_vms[1] (b).hypervisor",
            "xen",
        ),
        ({"microvm_vms": [{**STATIC, "interface": []}]}, "microvm_vms[0] (web).interface", "interfaces"),
        ({"microvm_vms": [STATIC, STATIC]}, "microvm_vms[1] (web).name", "microvm_vms[0] (web).name"),
        ({"microvm_vms": "web"}, "microvm_vms", "list"),
        ({"microvm_vms": ["web"]}, "microvm_vms[0]", ""),
        ({"microvm_vms": [STATIC], "microvm_defaults": []}, "", ""),
        ({"microvm_vms": [STATIC], "microvm_defaults": [1]}, "microvm_defaults", "mapping"),
        ({"microvm_vms": [STATIC], "microvm_networks": [{"name": "br0"}]}, "microvm_networks[0].address", "required"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(variables: Dict[str, Any], path: str, message: str) -> None:
    declared = {"microvm_images": [{"name": "base"}], **variables}
    if not path:
        assert declared_guests("east", declared)
        return
    with pytest.raises(DeclarationError) as error:
        declared_guests("east", declared)
    assert error.value.path == path and message in error.value.message


def test_secrets_and_builds_of_images_are_not_looked_at() -> None:
    vm = {**STATIC, "credential_files": {"a": "SECRET"}, "kernel_params": ["SECRET"], "misspelt": 1}
    image = {"name": "base", "commands": ["SECRET"]}
    part = relevant({"microvm_vms": [vm], "microvm_defaults": vm, "microvm_images": [image], "password": "SECRET"})
    assert "SECRET" not in str(part)
    # What no option is stays, to be refused.
    assert part["microvm_vms"] == [{**STATIC, "misspelt": 1}]
    guest = {"hostname": "a", "authorized_keys": "SECRET", "host_access": "SECRET", "misspelt": 1}
    part = relevant({"microvm_vms": [{"name": "web", "guest": guest}], "microvm_defaults": {"guest": guest}})
    assert part["microvm_defaults"] == {"guest": {"hostname": "a", "misspelt": 1}} and "SECRET" not in str(part)
    assert relevant({"microvm_vms": "{{ vms }}"})["microvm_vms"] == "{{ vms }}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{name}", None),
        ("{name}.{host}", None),
        ("guest-{host}-{name}", None),
        ("{host}", "must contain {name}"),
        ("{name!r}", "letters"),
        ("{name} ", "letters"),
        ("{name}.{domain}", "letters"),
        ("{name", "letters"),
        ("", "letters"),
    ],
)
def test_a_template_of_names_has_two_fields(template: str, message: Optional[str]) -> None:
    wrong = check_name_template(template)
    assert wrong is None if message is None else wrong is not None and message in wrong


def test_names_are_made_of_the_template() -> None:
    assert list(named_guests(guests(STATIC), "{name}.{host}", {}).guests) == ["web.east"]


@pytest.mark.parametrize(
    ("taken", "other"),
    [({}, "guest 'web' of east"), ({"web": "a host"}, "a host"), ({"web": "a group"}, "a group")],
)
def test_no_guest_has_a_name_that_is_taken(taken: Dict[str, str], other: str) -> None:
    east = guests({"name": "db", "image": "base"}, STATIC)
    both = east if taken else east + declared_guests("west", _variables())
    named = named_guests(both, "{name}", taken)
    (error,) = named.errors
    assert error.path == "hostname" and f"would be called 'web', as {other} is" in error.message
    assert list(named.guests) == ["db"]
    named = named_guests(both, "{name}.{host}", taken)
    assert len(named.guests) == len(both) and not named.errors


def _variables() -> Dict[str, object]:
    return {"microvm_vms": [STATIC], "microvm_images": [{"name": "base"}]}
