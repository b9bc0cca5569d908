# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starts, stops and rollbacks of MicroVMs that are on the host, without a declaration: by what is recorded."""

from __future__ import annotations

import os
from typing import List, Mapping, Optional, cast

from ..declaration.names import BOOTED_LINK, CURRENT_LINK, unit_name, unit_names
from ..declaration.vms.parse import Declaration
from ..host import files, readiness, systemd
from ..host.commands import HostError
from ..host.locks import locked
from ..resources.vms.apply import readiness_of
from ..resources.vms.apply import stop as stop_ours
from ..resources.vms.install import fits, link
from ..resources.vms.plan_rollback import Rollback, numbered, plan_rollback, recorded
from ..resources.vms.state import Observed, Places, declared, observe_names
from .info import check_access

UNIT_ALONE = {"check": "none", "address": None, "port": 22, "timeout": 300}
"""What is waited for where nothing is recorded: that the unit stays."""


def require(name: str, places: Places) -> None:
    """Raises HostError for a MicroVM that is not there, or that whoever asks may not see."""
    check_access(places.state(name))
    if not os.path.exists(places.state(name, CURRENT_LINK, "bin/microvm-run")):
        raise HostError(f"there is no MicroVM {name!r} in {places.state_directory}; see: microvm list")


def is_running(name: str) -> bool:
    """Whether its unit runs, or is on its way up or down."""
    return systemd.show([unit_name(name)])[unit_name(name)].running


def is_current(name: str, places: Places) -> bool:
    """Whether it was booted from the package that is current."""
    booted, current = (files.link_target(places.state(name, link)) for link in (BOOTED_LINK, CURRENT_LINK))
    return booted == current


def start(name: str, places: Places, wait: bool = True) -> Optional[float]:
    """Start, and wait until its guest is up: seconds, or ``None`` without ``wait``. Raises HostError."""
    require(name, places)
    with locked([name]):
        unit = systemd.show([unit_name(name)])[unit_name(name)]
        running = unit.running
        if not running:
            _read_settings(unit)
            systemd.start(unit_name(name), wait)
        return readiness.wait(awaited(name, places), not running) if wait else None


def _read_settings(unit: systemd.Unit) -> None:
    """Where a run was killed before it could tell systemd."""
    if unit.stale:
        systemd.daemon_reload()


def restart(name: str, places: Places, wait: bool = True) -> Optional[float]:
    """Stop and start, with the package that is current by then; see start."""
    require(name, places)
    with locked([name]):
        _read_settings(systemd.show([unit_name(name)])[unit_name(name)])
        systemd.restart(unit_name(name), wait)
        return readiness.wait(awaited(name, places), True) if wait else None


def stop(name: str, places: Places, wait: bool = True) -> None:
    """Stop with all helpers. Raises HostError."""
    require(name, places)
    with locked([name]):
        if wait and places.records.read(name) is not None:
            stop_ours(name, places)
        else:
            # What runs it makes and clears the links itself.
            systemd.stop(unit_names(name) if wait else [unit_name(name)], wait)


def awaited(name: str, places: Places) -> readiness.Readiness:
    """How it is seen that the MicroVM is up, as far as that is recorded."""
    record = places.records.read(name)
    target = files.link_target(places.state(name, CURRENT_LINK)) or ""
    known: Mapping[str, object] = declared(places.store, target) or {}
    ready = record.ready if record and record.ready else UNIT_ALONE
    declaration = {"socket": None, "vsock": {"cid": None}, **known, "name": name, "ready": ready}
    return readiness_of(cast(Declaration, declaration), places)


def roll_back(name: str, number: Optional[int], keep: bool, check: bool, wait: bool, places: Places) -> Rollback:
    """See plan_rollback; ``check`` only plans. Raises HostError."""
    if check:
        return _plan(name, number, keep, places)
    with locked([name]):
        planned = _plan(name, number, keep, places)
        places.records.write(planned.record)
        if not planned.completes:
            link(name, planned.target.package, planned.record.unit_settings, places)
        systemd.daemon_reload()
        if planned.restart:
            systemd.restart(unit_name(name))
            if wait:
                readiness.wait(awaited(name, places), True)
    return planned


def _plan(name: str, number: Optional[int], keep: bool, places: Places) -> Rollback:
    observed = _observe(name, places)
    planned = plan_rollback(observed, _installed(observed, places), number, keep)
    if not fits(name, planned.target.package, places):
        raise HostError(
            f"{name}: generation {planned.target.number} runs under another user (isolation); declare that instead"
        )
    return planned


def _observe(name: str, places: Places) -> Observed:
    return observe_names(places, {name: ()})[name]


def _installed(observed: Observed, places: Places) -> List[str]:
    packages = [one.package for one in observed.record.generations] if observed.record else []
    return [one for one in packages if os.path.isdir(places.store.path(one))]


def mark(name: str, number: int, bad: bool, places: Places) -> bool:
    """Mark a generation bad, or good again; tells whether that is new. Raises HostError."""
    with locked([name]):
        record = recorded(_observe(name, places))
        generation = numbered(record, number)
        if generation.bad == bad:
            return False
        places.records.write(record.marked(generation.package, bad))
        return True
