# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The short selection of the examination, on a host with a KVM of its own. `make exam` runs all of it."""

from __future__ import annotations

import os

import pytest
from _microvm.hypervisors.profiles import PROFILES

from ..host import Host
from . import image, programs
from .examination import examine
from .guest import Place, place, program
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
