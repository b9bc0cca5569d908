# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one way from declarations to a host in that state; both modules and the command take it."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..declaration.errors import DeclarationError
from ..declaration.names import STATE_DIRECTORY
from ..declaration.parse import Declaration, image_path, parse_vms
from ..host import preflight
from ..host.accelerator import accelerator
from ..host.locks import locked
from ..host.store import PackageStore
from ..host.versions import installed_version
from ..hypervisors.interface import HostFacts
from ..runner.render import programs, render, writable_paths
from .apply import Job, Outcome, apply
from .plan import plan
from .report import diff, result
from .state import Places, Wanted, observe, recorded_beside


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    vms: Sequence[Mapping[str, Any]]
    images: Sequence[Mapping[str, Any]] = ()
    state: str = "started"
    """State of the MicroVMs that have none of their own."""
    state_dir: str = STATE_DIRECTORY
    parallel: int = 4
    check_mode: bool = False
    preflight: bool = False
    bridges: Sequence[str] = ()
    """Those that will be there when the MicroVMs start."""
    path: str = "vms"
    """Begins the paths in error messages; empty for a single MicroVM."""

    def place(self, index: int) -> str:
        """The path of one MicroVM."""
        return f"{self.path}[{index}]" if self.path else ""


def parse(request: Request, installed: Sequence[Mapping[str, Any]] = ()) -> List[Declaration]:
    """The declarations, each with its state; ``installed`` is what the host has beside. Raises DeclarationError."""
    vms = [{**vm, "state": vm.get("state") or request.state} if isinstance(vm, Mapping) else vm for vm in request.vms]
    try:
        return parse_vms(vms, request.images, request.path, installed)
    except DeclarationError as error:
        # The singular module's user knows of no list.
        path = error.path if request.path else error.path.partition("].")[2]
        raise DeclarationError(path, error.message) from None


def reconcile(request: Request) -> Dict[str, Any]:
    """Bring a host into the declared state, or say what that would mean.

    Returns ``changed``, ``vms`` (a result for each) and ``diff``. Raises DeclarationError and HostError before
    anything has changed; what goes wrong later stands in the results.
    """
    places = Places(request.state_dir, PackageStore())
    declarations = parse(request, recorded_beside(places, [str(vm.get("name")) for vm in request.vms]))
    _check_host(request, declarations)
    if request.preflight:
        return {"changed": False, "vms": [], "diff": []}
    wanted = [_want(request, index, declaration) for index, declaration in enumerate(declarations)]
    if request.check_mode:
        return _reconcile(request, wanted, places)
    with locked([one.name for one in wanted]):
        return _reconcile(request, wanted, places)


def _check_host(request: Request, declarations: Sequence[Declaration]) -> None:
    placed = [(request.place(index), one) for index, one in enumerate(declarations) if one["state"] != "absent"]
    running = [(path, one) for path, one in placed if one["state"] in ("started", "restarted")]
    preflight.check_host(running)
    preflight.check_units(placed)
    needed = {path: programs(one, _facts(one, path), path) for path, one in placed}
    if request.preflight or request.check_mode:
        # Images, packages and bridges may be what the same run is about to bring.
        directories = tuple(f"{image_path(image)}/" for image in request.images)
        preflight.check_files(placed, request.state_dir, awaited=lambda file: file.startswith(directories))
        if request.preflight:
            preflight.check_interfaces(placed, request.bridges)
        return
    preflight.check_files(placed, request.state_dir, awaited=lambda file: False)
    preflight.check_installed(placed, needed)


def _facts(declaration: Declaration, path: str) -> HostFacts:
    """Enough to see whether the hypervisor can do what is declared; what `auto` comes to is found out later."""
    accel = declaration["accel"]
    if accel == "kvm" and not os.path.exists("/dev/kvm"):
        raise DeclarationError(f"{path}.accel", "this host has no /dev/kvm; say auto or tcg, or load its module")
    return _host_facts(declaration, accel, path)


def _host_facts(declaration: Declaration, accel: str, path: str) -> HostFacts:
    facts = HostFacts(platform.machine(), accel)
    version = installed_version(programs(declaration, facts, path)[0])
    return replace(facts, versions={declaration["hypervisor"]: version} if version else {})


def _want(request: Request, index: int, declaration: Declaration) -> Wanted:
    if declaration["state"] == "absent":
        return Wanted(declaration, "absent", None, None)
    accel = declaration["accel"]
    if accel == "auto":
        accel = accelerator(declaration["kernel"], request.check_mode)
    package = render(declaration, _host_facts(declaration, accel, request.place(index)), request.place(index))
    return Wanted(declaration, declaration["state"], package, _drop_in(declaration))


def _drop_in(declaration: Declaration) -> Optional[str]:
    """What the unit's template cannot know: paths outside of the state directory."""
    paths = writable_paths(declaration)
    if not paths:
        return None
    return "[Service]\n" + "".join(f"ReadWritePaths={_unit_escape(path)}\n" for path in paths)


def _unit_escape(path: str) -> str:
    """A path as one word of a unit file: quoted, with specifiers switched off (systemd.syntax(7), systemd.unit(5))."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def _reconcile(request: Request, wanted: Sequence[Wanted], places: Places) -> Dict[str, Any]:
    observed = observe(places, wanted)
    jobs = [Job(one, plan(observed[one.name], one, request.place(index))) for index, one in enumerate(wanted)]
    diffs = [diff(job.plan, observed[job.plan.name], job.wanted, places) for job in jobs if job.plan.changed]
    outcomes: Dict[str, Outcome] = {}
    if not request.check_mode:
        outcomes = apply(jobs, places, request.parallel)
    results = [result(job.plan, job.wanted, outcomes.get(job.plan.name, Outcome())) for job in jobs]
    return {"changed": any(job.plan.changed for job in jobs), "vms": results, "diff": diffs}
