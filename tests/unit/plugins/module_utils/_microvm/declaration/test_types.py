# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parsed declarations, and those that packages record, are what the generated types say."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.images.parse import parse_image
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.networks.parse import parse_networks
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.types import (
    Image,
    Network,
    PackagedVm,
    Vm,
)
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.options import PACKAGE_OPTIONS
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.compaction import compact, complete

from ..conformance import violations
from ..examples import FULL, SMALL, parse

DECLARATIONS = [
    SMALL,
    FULL,
    {**SMALL, "socket": None, "volumes": [{"image": "a", "auto_create": False}]},
    {**SMALL, "interfaces": [{"type": "user"}], "forward_ports": [{"host": {"port": 1}, "guest": {"port": 2}}]},
    {**SMALL, "shares": [{"tag": "a", "source": "/a", "proto": "virtiofs"}], "limits": {"memory_max": "1G"}},
    {**SMALL, "devices": [{"bus": "pci", "path": "0000:01:00.0"}], "credential_files": {"a": "/a"}},
    {**SMALL, "qemu": {"machine_opts": {}, "pcie_root_ports": [{"id": "a", "slot": 1}]}, "guest": {"enable": True}},
    {**SMALL, "hotplug_mem": "1G", "virtiofsd": {"group": None, "thread_pool_size": 2}, "state": "started"},
]


@pytest.mark.parametrize("raw", DECLARATIONS)
def test_a_parsed_microvm_is_of_its_type(raw: dict[str, Any]) -> None:
    assert list(violations(parse(raw)[0], Vm)) == []


@pytest.mark.parametrize("raw", DECLARATIONS)
def test_a_recorded_microvm_is_of_its_type(raw: dict[str, Any]) -> None:
    assert list(violations(complete(PACKAGE_OPTIONS, compact(PACKAGE_OPTIONS, parse(raw)[0])), PackagedVm)) == []


@pytest.mark.parametrize("more", [{}, {"dhcp_server": {}}, {"dhcp_server": {"pool_size": 9, "dns": ["10.0.0.1"]}}])
def test_a_parsed_network_is_of_its_type(more: dict[str, Any]) -> None:
    network = parse_networks([{"name": "br0", "address": "10.0.0.1/24", **more}])[0]
    assert list(violations(network, Network)) == []


@pytest.mark.parametrize("more", [{}, {"files": [{"path": "/a", "content": ""}], "kernel_package": "linux-image"}])
def test_a_parsed_image_is_of_its_type(more: dict[str, Any]) -> None:
    image = parse_image({"name": "base", **more}, "x86_64")
    assert list(violations({key: value for key, value in image.items() if key != "architecture"}, Image)) == []


@pytest.mark.parametrize(
    ("key", "value"), [("vcpu", "1"), ("vcpu", None), ("vcpu", True), ("hypervisor", "xen"), ("interfaces", [{}])]
)
def test_a_value_of_another_type_is_reported(key: str, value: Any) -> None:
    assert len(list(violations({**parse(SMALL)[0], key: value}, Vm))) == 1
