# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verify that the context identifiers of MicroVMs that start are free on a host."""

from __future__ import annotations

import os
from typing import Dict, List, Mapping, Optional, Set

from ....declaration.names import BOOTED_LINK, unit_name
from ....host import files, systemd, vsock
from ....host.places import Places
from ....runner.package import CONTEXT_IDENTIFIER_FILE
from ....schema import checks
from ....schema.errors import DeclarationError
from ..state import Observed
from .expected import Placed


def check_context_identifiers(placed: Placed, observed: Mapping[str, Observed], places: Places) -> None:
    """Refuse a context identifier that a guest has which this run leaves as it is. Raises DeclarationError.

    Those of the run's own MicroVMs that run are theirs; declarations have been compared with each other before.
    """
    contexts = {path: vm["vsock"]["cid"] for path, vm in placed}
    used = {path: context for path, context in contexts.items() if context is not None and vsock.is_in_use(context)}
    holders = _holders(places) if used else {}
    ours = {vm.name for vm in observed.values()}
    ours |= {name for _path, vm in placed for name in (vm["name"], vm["renamed_from"]) if name is not None}
    # Nobody can say which one such a guest has.
    unknown = {vm.name for vm in observed.values() if vm.unit.running and vm.booted in vm.damaged_packages}
    for path, declaration in placed:
        names = holders.get(used.get(path, 0), set())
        if path not in used or names & ours or declaration["name"] in unknown:
            continue
        holder = f"the MicroVM {min(names)!r}, which this run leaves" if names else "no MicroVM of this collection"
        raise DeclarationError(
            f"{path}.vsock.cid",
            f"the context identifier {used[path]} is in use on this host, by a guest that is {holder}; set another "
            "number, or end that guest",
        )


def _holders(places: Places) -> Dict[int, Set[str]]:
    """Return the MicroVMs of the host that run, by their context identifiers.

    Their packages say that, whoever has built them, and whatever else of them cannot be read.
    """
    found = {name: _context_of(places.state(name, BOOTED_LINK)) for name in _names(places.state_directory)}
    contexts = {name: context for name, context in found.items() if context is not None}
    units = systemd.show([unit_name(name) for name in contexts])
    holders: Dict[int, Set[str]] = {}
    for name, context in contexts.items():
        if units[unit_name(name)].running:
            holders.setdefault(context, set()).add(name)
    return holders


def _names(directory: str) -> List[str]:
    try:
        return [name for name in os.listdir(directory) if checks.name(name) is None]
    except FileNotFoundError:
        return []


def _context_of(package: str) -> Optional[int]:
    try:
        text = files.read_text(os.path.join(package, CONTEXT_IDENTIFIER_FILE)) or ""
    except files.UnreadableFile:
        return None
    return int(text) if text.strip().isdecimal() else None
