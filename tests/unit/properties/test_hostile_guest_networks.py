# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hostile networks of guests: what is accepted is data for udev and networkd in the guest."""

from __future__ import annotations

from typing import Any

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.guest import credentials
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import VM_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import Declaration, parse_vm
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.options import walk

from .hostile import Attacker
from .readers import Setting, settings_of

COUNT = 1500
NETWORKS = dict(walk(VM_OPTIONS))["guest.networks"].suboptions
REACHED: dict[str, tuple[str, ...]] = {
    "addresses": ("10.9.0.2/24", "10.9.0.3/32", "2001:db8::2/128"),
    "gateway": ("10.9.0.1", "10.8.0.1", "fe80::1", "2001:db8:1::1"),
    "destination": ("0.0.0.0/0", "10.7.0.0/16", "::/0", "2001:db8:7::/48"),
    "name": ("lan0", "wan.7"),
    "dns": ("10.9.0.1", "fe80::1%lan0"),
}
"""Values of which an accepted network consists."""


def accepted() -> list[Declaration]:
    """Return the MicroVMs that are accepted; an attack is on the network of their only interface."""
    attacker, declarations = Attacker(1305, REACHED), []
    for _number in range(COUNT):
        network: dict[str, Any] = attacker.declaration(NETWORKS, {})
        network.pop("interface", None)
        guest = {"enable": True, "networks": [network]}
        try:
            declarations.append(parse_vm({"name": "vm", "kernel": "/k", "interfaces": [{}], "guest": guest}))
        except DeclarationError as error:
            assert error.path.startswith("guest.networks[0]") and str(error).replace("\n", "").isprintable()
    return declarations


def values(settings: list[Setting], key: str) -> list[str]:
    """Return all values of a key."""
    return [setting.value for setting in settings if setting.key == key]


def test_guests_have_the_declared_names_addresses_and_routes() -> None:
    declarations = accepted()
    for declaration in declarations:
        network = declaration["guest"]["networks"][0]
        texts = credentials(declaration, by_serial=True)
        link = settings_of(texts["network.link.10-if0"])
        assert [setting.key for setting in link] == ["MACAddress", "Type", "Name", "AlternativeNamesPolicy"]
        assert values(link, "Name") == [network["name"]]
        file = settings_of(texts["network.network.10-if0"])
        assert {setting.section for setting in file} <= {"[Match]", "[Network]", "[DHCPv4]", "[Route]"}
        assert values(file, "Address") == network["addresses"]
        assert values(file, "DNS") == network["dns"]
        assert values(file, "Destination") == [route["destination"] for route in network["routes"]]
        gateways = [route["gateway"] for route in network["routes"] if route["gateway"]]
        assert sorted(values(file, "Gateway")) == sorted([*network["gateway"], *gateways])
        metrics = [str(route["metric"]) for route in network["routes"] if route["metric"] is not None]
        assert values(file, "Metric") == metrics
    with_routes = [one for one in declarations if one["guest"]["networks"][0]["routes"]]
    assert len(declarations) > COUNT / 10 and len(with_routes) > COUNT / 100
