# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Preflight: look at all that a host must have for its MicroVMs, before anything is changed.

The first play of a run, check mode and the run itself look at the same things by this code. They differ only in what
the same run is expected to bring before the MicroVMs.
"""

from __future__ import annotations

from typing import Mapping, Sequence

from ....declaration.types import HostImage
from ....host.places import Places
from ..state import Observed
from .devices import check_pci_devices
from .expected import Expected, Placed
from .files import check_directories, check_files
from .guest_stores import check_guest_stores
from .host import check_kvm, check_layout, check_setup, check_units
from .interfaces import check_interfaces, check_ports, check_tun
from .kernels import check_kernels
from .memory import check_memory
from .programs import check_programs
from .required_units import check_order, check_required_units
from .shares import check_shares
from .volumes import check_volumes


def check_ability(
    placed: Placed,
    programs: Mapping[str, Sequence[str]],
    observed: Mapping[str, Observed],
    places: Places,
    images: Sequence[HostImage],
    expected: Expected,
) -> None:
    """Refuse a host that cannot run its MicroVMs.

    ``programs`` are those that packages run, by the declarations' paths; ``observed`` the MicroVMs of the host by name;
    ``images`` those that the host was given.

    Raises HostError or DeclarationError.
    """
    if not expected.setup:
        check_setup()
        check_layout(placed, places)
        check_tun(placed)
    check_units(placed)
    check_required_units(placed)
    check_order(placed)
    check_kvm(placed)
    check_kernels(placed, images)
    check_guest_stores(placed, expected)
    check_programs(placed, programs, expected)
    check_files(placed, expected, observed)
    check_shares(placed, expected)
    check_volumes(placed, places, observed)
    for path, declaration in placed:
        if declaration["name"] in observed:
            check_directories(path, observed[declaration["name"]])
    check_interfaces(placed, expected.bridges)
    check_ports(placed)
    check_pci_devices(placed, expected.pci_devices)
    started = [(path, vm) for path, vm in placed if vm["state"] in ("started", "restarted")]
    check_memory(started, observed, expected.huge_pages)
