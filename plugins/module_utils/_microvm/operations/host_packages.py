# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian packages that MicroVMs need on their host: those of the programs that their packages execute."""

from __future__ import annotations

from typing import List, Mapping, Sequence

from ..declaration.types import HostImage
from ..declaration.vms.external import source_option
from ..declaration.vms.parse import parse_vm
from ..hypervisors.facts import HostFacts
from ..hypervisors.programs import debian_packages
from ..runner.render import render


def packages_needed(vms: Sequence[object], architecture: str, release: str, path: str = "microvm_vms") -> List[str]:
    """Return the packages, sorted, for a release of Debian or Ubuntu. Raises DeclarationError for what is wrong.

    The programs are those that preflight asks for. Which image a MicroVM has, and whether the host has KVM, does not
    matter for them. A package that was made elsewhere is only known on its host.
    """
    facts = HostFacts(architecture, accel="auto")
    programs: List[str] = []
    for index, vm in enumerate(vms):
        if isinstance(vm, Mapping) and source_option(vm):
            continue
        declaration = parse_vm(vm, _images(vm), f"{path}[{index}]")
        if declaration["state"] != "absent":
            programs += render(declaration, facts, f"{path}[{index}]").programs
    return debian_packages(programs, release)


def _images(vm: object) -> List[HostImage]:
    """Return the image that a MicroVM names, wherever it is."""
    name = vm.get("image") if isinstance(vm, Mapping) else None
    return (
        [
            {
                "name": str(name),
                "path": None,
                "store_disk_type": "erofs",
                "kernel_lacks": [],
                "uses_host_key": False,
                "nix": True,
            }
        ]
        if name
        else []
    )
