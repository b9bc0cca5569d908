# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""MicroVMs that were built from flakes, compared with what their flakes evaluate to now."""

from __future__ import annotations

import concurrent.futures
import os
from typing import Dict, Mapping, Optional, Sequence, Tuple, TypedDict

from ..host import files, nix, restrictions
from ..host.commands import HostError
from ..host.flakes import Evaluation, Evaluations, evaluate
from ..host.places import Places
from ..host.records import UpdateSource
from ..resources.vms.observe import read_flake
from ..resources.vms.switches import SYSTEM_FILE
from ..schema.credentials import without_credentials
from .info import Information
from .update_sources import update_source

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
    refused: Optional[str]
    """Reason why no update installs that package, with what to do."""


def flake_states(vms: Sequence[Information], places: Places) -> Dict[str, FlakeState]:
    """Return the states of those MicroVMs that were built from flakes, by name.

    All MicroVMs of a flake are evaluated at once, and several flakes in parallel. Raises HostError without Nix.
    """
    states: Dict[str, FlakeState] = {}
    sources: Dict[str, UpdateSource] = {}
    for vm in vms:
        try:
            source = update_source(vm["name"], places)
        except HostError as error:
            shown = without_credentials(read_flake(vm["name"], places) or "")
            states[vm["name"]] = _state(vm, shown, error, places)
        else:
            sources.update({vm["name"]: source} if source is not None else {})
    evaluated = _evaluate_all(sources, {name: source.attribute_of(name) for name, source in sources.items()})
    compared = {vm["name"]: vm for vm in vms if vm["name"] in sources}
    states.update({name: _state(vm, sources[name].flake, evaluated[name], places) for name, vm in compared.items()})
    outdated = {name: source for name, source in sources.items() if states[name]["state"] == OUTDATED}
    systems = {name: _system_attribute(source.attribute_of(name)) for name, source in outdated.items()}
    found = _evaluate_all(outdated, {name: attribute for name, attribute in systems.items() if attribute})
    for name, system in found.items():
        # Whatever is no NixOS has no system of that name.
        if isinstance(system, Evaluation):
            states[name]["new_system"] = _version(system.path)
    return {vm["name"]: states[vm["name"]] for vm in vms if vm["name"] in states}


def _system_attribute(runner: str) -> str:
    """Return the attribute of the system in the runner of microvm.nix; empty for any other package."""
    configuration, of_configuration, _rest = runner.rpartition(".config.microvm.")
    return f"{configuration}.config.system.build.toplevel" if of_configuration else ""


def _evaluate_all(sources: Mapping[str, UpdateSource], attributes: Mapping[str, str]) -> Evaluations:
    """Evaluate the attributes of MicroVMs by name, each flake once, as far as its arguments are the same."""
    groups: Dict[Tuple[str, Tuple[str, ...]], Dict[str, str]] = {}
    for name, attribute in attributes.items():
        group = (sources[name].flake, sources[name].nix_arguments)
        groups.setdefault(group, {})[name] = attribute
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, min(_PARALLEL, len(groups)))) as pool:
        every = pool.map(lambda group: evaluate(group[0], groups[group], group[1]), groups)
        return {name: evaluation for evaluations in every for name, evaluation in evaluations.items()}


def _state(vm: Information, flake: str, evaluated: object, places: Places) -> FlakeState:
    current = vm["current"] or ""
    state: FlakeState = {
        "flake": flake,
        "state": UNKNOWN,
        "system": _system(current, places),
        "new_system": None,
        "package": None,
        "error": None,
        "refused": None,
    }
    if isinstance(evaluated, HostError):
        return {**state, "error": str(evaluated)}
    if isinstance(evaluated, Evaluation):
        is_outdated = evaluated.path != places.store.path(current)
        word = OUTDATED if is_outdated else _word_of_guest(vm)
        refused = _refusal(vm, evaluated, places) if is_outdated else None
        new_system = _system(evaluated.path, places)
        return {**state, "state": word, "new_system": new_system, "package": evaluated.path, "refused": refused}
    return state


def _refusal(vm: Information, evaluation: Evaluation, places: Places) -> Optional[str]:
    """Return why an update would not install what a flake evaluates to; ``None`` where nothing is known of it."""
    name = vm["name"]
    if vm["foreign"]:
        return "it was installed by something else; update it with the tool that installed it"
    try:
        restrictions.check_external(restrictions.read())
        nix.refuse_system(evaluation.system)
        record = places.records.read(name)
    except HostError as error:
        return str(error)
    generation = record.generation(evaluation.path) if record is not None else None
    if record is None or generation is None or not record.is_bad(evaluation.path):
        return None
    return (
        f"it is generation {generation.number}, which is marked bad; change the flake, or mark it good first: "
        f"microvm generations {name} --good {generation.number}"
    )


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
    if state["state"] == OUTDATED and state["refused"] is not None:
        return f"outdated ({state['system']}), and no update installs {state['new_system']}: {state['refused']}"
    if state["state"] == OUTDATED:
        return (
            f"outdated ({state['system']}), rebuild ({state['new_system']}) and restart: microvm update -R {name}, or "
            f"microvm -Ru {name}"
        )
    if state["state"] == NOT_BOOTED:
        return f"current ({state['system']}), not booted: microvm start {name}"
    return ""
