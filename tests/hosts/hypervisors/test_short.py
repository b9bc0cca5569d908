# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The short selection of the examination, on a host with a KVM of its own. `make exam` runs all of it."""

from __future__ import annotations

import json
import os

import pytest
from _microvm.declaration.names import STATE_DIRECTORY
from _microvm.hypervisors.profiles import PROFILES

from ..host import Host
from . import image, programs
from .examination import examine
from .guest import PATIENCE, PATIENT, Place, place, program
from .results import Outcome, Row
from .table import TABLE

PATHS = programs.found(os.environ.get("MICROVM_HYPERVISORS"))
EXAMINED = ("qemu", "alioth")


@pytest.fixture(scope="module")
def where(vm_host: Host) -> Place:
    """Host with role `host`, the programs and the guest's image."""
    vm_host.install_role()
    programs.send(vm_host, {name: path for name, path in PATHS.items() if name in EXAMINED})
    return place(vm_host, image.provide(vm_host))


@pytest.mark.parametrize("hypervisor", EXAMINED)
def test_a_guest_is_configured_and_ends_as_the_profile_says(hypervisor: str, request: pytest.FixtureRequest) -> None:
    if hypervisor not in PATHS:
        pytest.skip(f"{hypervisor} is not examined: {program(hypervisor)} is not in the directory MICROVM_HYPERVISORS")
    where = request.getfixturevalue("where")
    rows: list[Row] = []
    cells = [cell for cell in TABLE if cell.is_short]
    examine(where, PROFILES[hypervisor], programs.version(where.host, hypervisor), cells, rows.append)
    assert [f"{row.cell}: {row.outcome.value}: {row.reason}" for row in rows if row.outcome is not Outcome.HELD] == []
    assert where.has_kvm and where.has_vsock


def test_a_guest_without_a_network_is_ready_and_reached_by_its_vsock(where: Place) -> None:
    """The examination's guests have the other machine of QEMU, and a network and a CID of their own."""
    host = where.host
    declared = {
        "name": "lonely",
        "image": where.image.path,
        "mem": 512,
        "kernel_params": [*PATIENT],
        "qemu": {"machine": "q35"},
        "vsock": {"cid": "auto"},
        "use_notify_sockets": True,
        "ready": {"check": "notify", "timeout": PATIENCE},
        "startup_timeout": PATIENCE,
        "guest": {"host_access": True, "host_key": True},
        "autostart": False,
        "state": "started",
    }
    host.send("/root", {"lonely.json": json.dumps(declared)})
    host.microvm("apply /root/lonely.json", timeout=PATIENCE)
    assert host.microvm("ssh lonely 'hostname; ls /sys/class/net'", timeout=PATIENCE).split() == ["lonely", "lo"]
    cid = int(host.run(f"cat {STATE_DIRECTORY}/lonely/current/share/microvm/vsock-cid"))
    host.send("/root", {"other.json": json.dumps({**declared, "name": "other", "vsock": {"cid": cid}})})
    refusal = host.microvm("apply /root/other.json", 1)
    assert f"(other).vsock.cid: the context identifier '{cid}' is already used by the MicroVM 'lonely'" in refusal
    assert "other" not in host.run(f"ls {STATE_DIRECTORY}").split()
    host.remove_microvms()
