# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""MicroVMs that were built from flakes, compared with what their flakes evaluate to now."""

from __future__ import annotations

import concurrent.futures
import os
from typing import Dict, List, Mapping, Optional, Sequence, TypedDict

from ..declaration.names import runner_attribute
from ..declaration.vms.source_options import flake_reference, without_credentials
from ..host import files
from ..host.commands import HostError
from ..host.flakes import Evaluation, Evaluations, evaluate
from ..host.places import Places
from ..resources.vms.observe import read_flake
from ..resources.vms.switches import SYSTEM_FILE
from .info import Information

CURRENT, OUTDATED, STALE, NOT_BOOTED, UNKNOWN = ("current", "outdated", "stale", "not booted", "unknown")
"""Words of microvm.nix's command, and one for flakes that do not evaluate."""

_PARALLEL = 4
"""Flakes that are evaluated at a time; each needs memory."""


class FlakeState(TypedDict):
    """Comparison of a MicroVM with its flake."""

    flake: str
    state: str
    system: Optional[str]
    """Name and version of the system of the current package, or of the package itself."""
    new_system: Optional[str]
    """The same of what the flake evaluates to."""
    package: Optional[str]
    """Package that the flake evaluates to."""
    error: Optional[str]


def flake_states(vms: Sequence[Information], places: Places) -> Dict[str, FlakeState]:
    """Return the states of those MicroVMs that were built from flakes, by name.

    All MicroVMs of a flake are evaluated at once, and several flakes in parallel. Raises HostError without Nix.
    """
    recorded = {vm["name"]: read_flake(vm["name"], places) for vm in vms}
    problems = {name: flake_reference(flake) for name, flake in recorded.items() if flake is not None}
    flakes: Dict[str, List[str]] = {}
    for name, flake in recorded.items():
        if flake is not None and problems[name] is None:
            flakes.setdefault(flake, []).append(name)
    evaluated = _evaluate_all({flake: {name: runner_attribute(name) for name in flakes[flake]} for flake in flakes})
    by_name = {vm["name"]: vm for vm in vms}
    states = {
        name: _state(by_name[name], flake, evaluated[flake][name], places)
        for flake, names in flakes.items()
        for name in names
    }
    refused = ((name, flake, problems[name]) for name, flake in recorded.items() if flake is not None)
    for name, flake, problem in refused:
        if problem is not None:
            error = HostError(f"{problem}. Record another one: microvm update {name} --flake FLAKE")
            states[name] = _state(by_name[name], without_credentials(flake), error, places)
    outdated = {
        flake: {name: _system_attribute(name) for name in names if states[name]["state"] == OUTDATED}
        for flake, names in flakes.items()
    }
    for systems in _evaluate_all({flake: names for flake, names in outdated.items() if names}).values():
        for name, system in systems.items():
            # Whatever is no NixOS has no system of that name.
            if isinstance(system, Evaluation):
                states[name]["new_system"] = _version(system.path)
    return {vm["name"]: states[vm["name"]] for vm in vms if vm["name"] in states}


def _system_attribute(name: str) -> str:
    return f"{runner_attribute(name).rpartition('.config.')[0]}.config.system.build.toplevel"


def _evaluate_all(attributes: Mapping[str, Mapping[str, str]]) -> Dict[str, Evaluations]:
    if not attributes:
        return {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(_PARALLEL, len(attributes))) as pool:
        found = pool.map(lambda flake: evaluate(flake, attributes[flake]), attributes)
        return dict(zip(attributes, found))


def _state(vm: Information, flake: str, evaluated: object, places: Places) -> FlakeState:
    current = vm["current"] or ""
    state: FlakeState = {
        "flake": flake,
        "state": UNKNOWN,
        "system": _system(current, places),
        "new_system": None,
        "package": None,
        "error": None,
    }
    if isinstance(evaluated, HostError):
        return {**state, "error": str(evaluated)}
    if isinstance(evaluated, Evaluation):
        is_outdated = evaluated.path != places.store.path(current)
        word = OUTDATED if is_outdated else _word_of_guest(vm)
        return {**state, "state": word, "new_system": _system(evaluated.path, places), "package": evaluated.path}
    return state


def _word_of_guest(vm: Information) -> str:
    """Return how a guest is whose current package is the one that its flake evaluates to."""
    if vm["booted"] is None:
        return NOT_BOOTED
    return STALE if vm["restart_pending"] else CURRENT


def _system(package: str, places: Places) -> str:
    """Return the name and version of a package's system, or else of the package, which need not be there."""
    return _version(files.link_target(os.path.join(places.store.path(package), SYSTEM_FILE)) or package)


def _version(path: str) -> str:
    """Return a path in the store of Nix without directory and hash."""
    return os.path.basename(path).partition("-")[2]


def advice(name: str, state: FlakeState) -> str:
    """Return the line of a MicroVM that is not as its flake says, with what to do; empty for one that is."""
    if state["state"] == UNKNOWN:
        return f"{state['flake']} does not evaluate: {state['error']}"
    if state["state"] == OUTDATED:
        return (
            f"outdated ({state['system']}), rebuild ({state['new_system']}) and restart: microvm update -R {name}, or "
            f"microvm -Ru {name}"
        )
    if state["state"] == NOT_BOOTED:
        return f"current ({state['system']}), not booted: microvm start {name}"
    return ""
