# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one way from declarations to a host in that state; both modules and the command take it."""

from __future__ import annotations

import concurrent.futures
import os
import platform
import time
from dataclasses import dataclass, field, replace
from typing import Dict, List, Mapping, Optional, Sequence, cast

from ..declaration.huge_pages import HUGE_PAGE_SIZES
from ..declaration.names import CURRENT_LINK, STATE_DIRECTORY, unit_name
from ..declaration.restrictions.uses import refuse_inside_of_shares, writable_sources
from ..declaration.types import HostImage, HugePage, PackagedVm, Restrictions
from ..declaration.vms.disks import Disks
from ..declaration.vms.external import source_option, undeclared_package
from ..declaration.vms.parse import Declaration, ExternalDeclarations, image_path, parse_vms
from ..host import files, holds, readiness, restrictions
from ..host.accelerator import Accelerator, accelerator
from ..host.commands import HostError
from ..host.host_access import add_key_of_host
from ..host.journal import with_remark
from ..host.locks import locked
from ..host.places import Places
from ..host.systemd import Unit
from ..host.versions import installed_version, missing_options
from ..hypervisors.facts import HostFacts
from ..hypervisors.registry import command, has_kernel_vsock, profile, program, uncommon_options
from ..resources.executor import execute
from ..resources.vms.actions import Action, Plan
from ..resources.vms.handlers import HANDLERS, damage_of
from ..resources.vms.handlers_job import Job
from ..resources.vms.observe import observe, recorded_beside
from ..resources.vms.observe_former import Formers, observe_formers
from ..resources.vms.observe_guests import declared_readiness
from ..resources.vms.plan import Clock, plan
from ..resources.vms.plan_handover import Member, hand_over
from ..resources.vms.plan_removal import Removal, plan_removal, plan_stop
from ..resources.vms.plan_rename import Former, plan_rename
from ..resources.vms.preflight.checks import check_ability
from ..resources.vms.preflight.expected import Expected, Placed
from ..resources.vms.preflight.host import check_host, check_notifications
from ..resources.vms.preflight.shares import share_warnings
from ..resources.vms.preflight.vsock import check_context_identifiers
from ..resources.vms.settings import environment, host_dependencies, host_unit_settings
from ..resources.vms.state import SIMPLE, Observed, Wanted
from ..runner.package import DECLARATION_FILE, HYPERVISOR_FILE, NOTIFY_PORT_FILE, Package
from ..runner.render import executed_programs, render
from ..runner.units import translates
from ..schema.errors import DeclarationError
from ..schema.naming import element_names
from . import outcomes
from .attachments import check_addresses
from .external_packages import ExternalPackage
from .external_sources import (
    Search,
    SourcePackage,
    evaluations_of,
    known_packages,
    source_packages,
    with_present_packages,
)
from .flakes import EarlierPackages
from .foreign_devices import refuse_foreign_devices
from .host_setup import refuse_other_state_directory
from .report import VmResult, VmsResult, diff, result
from .switching import with_switches
from .taken_images import refuse_taking


@dataclass(frozen=True)
class Request:
    """Request to bring a host into a declared state."""

    vms: Sequence[Mapping[str, object]]
    images: Sequence[HostImage] = ()
    state: str = "started"
    """State of the MicroVMs that have none of their own."""
    state_dir: str = STATE_DIRECTORY
    parallel: int = 4
    check_mode: bool = False
    preflight: bool = False
    purge: str = "report"
    """Fate of MicroVMs of ours that are not among ``vms``: ``report``, ``stop`` or ``remove``."""
    bridges: Sequence[str] = ()
    """Bridges that will be there when the MicroVMs start."""
    pci_devices: Sequence[str] = ()
    """PCI devices that will be there, and handed over, when the MicroVMs start."""
    device_vms: Optional[Mapping[str, str]] = None
    """MicroVMs by the devices that will be handed over to them."""
    huge_pages: Sequence[HugePage] = ()
    """Huge pages that will be set aside when the MicroVMs start."""
    networks: Sequence[object] = ()
    """Networks that will be there when the MicroVMs start."""
    former_networks: Sequence[str] = ()
    """Networks that the host has, and that the same run takes away."""
    restrictions: Optional[Restrictions] = None
    """Restrictions besides those of the host."""
    full_diff: bool = False
    """True if diffs show what nobody has set, too."""
    keeps_state: bool = False
    """True if the state ``present`` is the request's own, and not what is declared."""
    alone: bool = False
    """True if no role comes before the MicroVMs in the same run: what is missing stays so, in check mode too."""
    check_builds: bool = False
    """True if a prediction may build what flakes are evaluated to."""
    built: EarlierPackages = field(default_factory=dict)
    """What flakes have been evaluated to before, or elsewhere, by the names of MicroVMs."""
    nix: bool = False
    """True if the host will have Nix when the MicroVMs start."""
    defaults: Mapping[str, object] = field(default_factory=dict)
    """Validated options that all MicroVMs have received."""
    path: str = "vms"
    """Begins the paths in error messages; empty for a single MicroVM."""

    @property
    def is_prediction(self) -> bool:
        """Return whether nothing is to be changed."""
        return self.check_mode or self.preflight

    @property
    def expected(self) -> Expected:
        """Return what the host need not have yet: in a prediction, the roles before have changed nothing either."""
        if self.alone or not self.is_prediction:
            return Expected()
        devices = tuple(address.lower() for address in self.pci_devices)
        pages = tuple((HUGE_PAGE_SIZES[pages["size"]], pages["count"]) for pages in self.huge_pages)
        return Expected(tuple(map(image_path, self.images)), tuple(self.bridges), devices, pages, setup=True)

    def place(self, index: int) -> str:
        """The path of one MicroVM."""
        return f"{self.path}[{index}]" if self.path else ""


Externals = Mapping[int, ExternalPackage]
"""Packages that were made elsewhere, by the positions of their MicroVMs."""


def parse(
    request: Request, installed: Sequence[PackagedVm] = (), externals: Optional[Externals] = None
) -> List[Declaration]:
    """The declarations, each with its state; ``installed`` is what the host has beside. Raises DeclarationError."""
    vms = [{**vm, "state": vm.get("state") or request.state} if isinstance(vm, Mapping) else vm for vm in request.vms]
    try:
        packages = {index: package.packaged_vm for index, package in (externals or {}).items()}
        external = ExternalDeclarations(packages, request.defaults)
        disks = Disks(request.state_dir, os.path.realpath)
        return parse_vms(vms, request.images, request.path, installed, disks, external)
    except DeclarationError as error:
        # The singular module's user knows of no list.
        path = error.path if request.path else error.path.partition("].")[2]
        raise DeclarationError(path, error.message) from None


def reconcile(request: Request) -> VmsResult:
    """Bring a host into the declared state, or predict the steps for it.

    Raises DeclarationError and HostError before anything has changed; later errors are part of the results.
    """
    try:
        return _bring(request)
    except DeclarationError as error:
        raise error.named(element_names({request.path: request.vms})) from None


def _bring(request: Request) -> VmsResult:
    places = Places(request.state_dir)
    beside = recorded_beside(places, [str(vm.get(key)) for vm in request.vms for key in ("name", "renamed_from")])
    sources = _sources(request, beside, places)
    evaluations = evaluations_of(sources)
    prepared = _prepare(request, sources, beside, places)
    names = [*(vm.name for vm in prepared.wanted), *_former_names(prepared.wanted).values()]
    undeclared = _undeclared(request, names, places)
    if request.is_prediction:
        predicted = _reconcile(request, prepared.wanted, undeclared, places, prepared.failed)
        if request.preflight:
            new = _new(predicted["vms"])
            return {**_NOTHING, "vms": new, "undeclared": undeclared, "evaluations": evaluations}
        warnings = [*predicted["warnings"], *_warnings(prepared.untested)]
        return {**predicted, "evaluations": evaluations, "warnings": warnings}
    with locked([*names, *(undeclared if request.purge != "report" else ())]):
        # Builds take long, and nobody has waited for them before another run, or `microvm update`, was complete.
        present = with_present_packages(sources, prepared.declarations, places)
        if present != sources:
            prepared = _prepare(request, present, beside, places)
        outcome = _reconcile(request, prepared.wanted, undeclared, places, prepared.failed)
        return {**outcome, "evaluations": evaluations}


@dataclass(frozen=True)
class _Prepared:
    """MicroVMs of a run, after whatever is wrong with their declarations was refused."""

    wanted: List[Wanted]
    declarations: Dict[str, Declaration]
    """Declarations of those that the host is to have, by their paths."""
    failed: Dict[str, str]
    """Errors of those whose packages could not be made, by name."""
    untested: List[str]
    """Names of those whose accelerator no run has tested yet."""


def _prepare(
    request: Request, sources: Mapping[str, SourcePackage], beside: Sequence[PackagedVm], places: Places
) -> _Prepared:
    """Check declarations and render packages. Raises DeclarationError, and HostError."""
    paths = [request.place(index) for index in range(len(request.vms))]
    externals = {paths.index(path): package for path, package in known_packages(sources).items()}
    declarations = parse(request, beside, externals)
    placed = [(path, vm) for path, vm in zip(paths, declarations) if vm["state"] != "absent"]
    external_at = {path: source.package for path, source in sources.items()}
    _check_restrictions(request, placed, beside, external_at)
    check_addresses(placed, request.networks, request.former_networks)
    refuse_foreign_devices(placed, request.device_vms if request.is_prediction else None)
    refuse_taking(list(zip(paths, declarations)), beside, places)
    if request.preflight:
        refuse_other_state_directory(places.state_directory, places.records)
    check_host([(path, vm) for path, vm in placed if vm["state"] in ("started", "restarted")])
    own = [(path, declaration) for path, declaration in placed if path not in external_at]
    for path, declaration in own:
        add_key_of_host(declaration, path, request.expected.setup)
    accelerators = {path: _accelerator(request, declaration, places) for path, declaration in own}
    packages = {path: _render(path, declaration, accelerators[path].name) for path, declaration in own}
    packages.update({path: _with_programs(external_at[path], vm) for path, vm in placed if path in external_at})
    return _Prepared(
        [_want(vm, packages.get(path), request, sources.get(path)) for path, vm in zip(paths, declarations)],
        dict(placed),
        {source.package.content.name: source.error for source in sources.values() if source.error},
        [vm["name"] for path, vm in own if not accelerators[path].is_tested],
    )


_NOTHING: VmsResult = {"changed": False, "vms": [], "undeclared": [], "evaluations": {}, "diff": [], "warnings": []}
"""Result of a preflight that found nothing to refuse."""


def _new(predicted: Sequence[VmResult]) -> List[VmResult]:
    """Return the results of MicroVMs that would be new on this host, or are while they are being moved to it.

    Another host may have them, and then a run would begin their second life.
    """
    present = [vm for vm in predicted if vm["state"] != "absent"]
    coming = set(holds.coming_names())
    return [
        {**vm, "failed": False}
        for vm in present
        if vm["name"] in coming or (vm["previous_package"] is None and not vm["failed"])
    ]


def _former_names(wanted: Sequence[Wanted]) -> Dict[str, str]:
    """Return former names of MicroVMs that are not to be removed, by their names."""
    formers = {vm.name: vm.declaration["renamed_from"] for vm in wanted if vm.package is not None}
    return {name: former for name, former in formers.items() if former is not None}


def _undeclared(request: Request, names: Sequence[str], places: Places) -> List[str]:
    """Return installed MicroVMs in the same state directory that are not declared; the singular module has none.

    A MicroVM whose record is damaged is in the state directory that has something of its name.
    """
    if not request.path:
        return []
    records = places.records.read_all()
    installed = [
        record.name
        for record in records.usable.values()
        if record.generations and record.state_directory == request.state_dir
    ]
    unknown = [name for name in records.damaged if os.path.lexists(places.state(name))]
    # Those that are being moved are still what is left of them when the move ends.
    return sorted({*installed, *unknown} - {*names, *holds.held_names()})


def _sources(request: Request, beside: Sequence[PackagedVm], places: Places) -> Dict[str, SourcePackage]:
    """Return the packages of MicroVMs that are declared by them, by the paths of these. Raises DeclarationError."""
    if not any(isinstance(vm, Mapping) and source_option(vm) for vm in request.vms):
        return {}
    # Whatever is wrong with the declarations is known before anything is evaluated.
    declared = {request.place(index): vm for index, vm in enumerate(parse(request, beside))}
    external = {path: vm for path, vm in declared.items() if source_option(vm) and vm["state"] != "absent"}
    search = Search(
        limits=restrictions.in_force(request.restrictions, request.is_prediction),
        earlier=request.built,
        parallel=request.parallel,
        builds=not request.is_prediction or (request.check_builds and not request.preflight),
        keeps=not request.is_prediction,
        is_nix_expected=request.nix and request.expected.setup,
    )
    return source_packages(external, places, search)


def _check_restrictions(
    request: Request, placed: Placed, beside: Sequence[PackagedVm], externals: Mapping[str, ExternalPackage]
) -> None:
    """Refuse what is closed on this host; ``beside`` are the MicroVMs that it has besides the declared ones."""
    declarations: List[PackagedVm] = [*(declaration for _path, declaration in placed), *beside]
    sources = {source for declaration in declarations for source in writable_sources(declaration)}
    for limits in restrictions.in_force(request.restrictions, request.is_prediction):
        for path, declaration in placed:
            restrictions.check(_chosen(declaration, externals.get(path)), limits, path)
            if limits["enable"]:
                refuse_inside_of_shares(declaration, sources, path)

    options = {path: source_option(declaration) for path, declaration in placed}
    for path, external in externals.items():
        if external.installed.problem:
            raise DeclarationError(f"{path}.{options[path]}" if path else options[path], external.installed.problem)


def _with_programs(external: ExternalPackage, declaration: Declaration) -> Package:
    """Return a package with the programs that it executes, which follow from the declaration that it may record."""
    if external.declaration is None:
        return external.content
    facts = HostFacts(platform.machine(), accel="auto")
    try:
        programs = executed_programs(declaration, command(declaration, facts), facts)
    except DeclarationError:
        # It was made by another release of this collection, or by hand, and need not be rendered here.
        programs = (program(declaration, facts),)
    return replace(external.content, programs=programs)


def _chosen(declaration: Declaration, external: Optional[ExternalPackage]) -> Declaration:
    """Return what somebody has declared; lists of a package without a declaration are none of it."""
    if external is None or external.declaration is not None:
        return declaration
    return cast(Declaration, {**declaration, **undeclared_package(declaration["name"])})


def _facts(declaration: Declaration, accel: str) -> HostFacts:
    """Return the facts of this host that decide the command line; ``accel`` may still be ``auto``."""
    facts = HostFacts(platform.machine(), accel)
    own = program(declaration, facts)
    version = installed_version(own)
    return replace(
        facts,
        versions={declaration["hypervisor"]: version} if version else {},
        missing_options=missing_options(own, uncommon_options(declaration)),
    )


def _accelerator(request: Request, declaration: Declaration, places: Places) -> Accelerator:
    declared: str = declaration["accel"]
    if declared != "auto":
        return Accelerator(declared)
    host = HostFacts(platform.machine())
    if profile(declaration).emulates and host.guest(declaration) != host.architecture:
        return Accelerator("tcg")
    answer = accelerator(declaration["kernel"], request.check_mode)
    is_guessed = request.check_mode and not answer.is_tested and profile(declaration).emulates
    return replace(answer, name="tcg") if is_guessed and _translates(declaration["name"], places) else answer


def _translates(name: str, places: Places) -> bool:
    """Return whether the package that is installed runs without KVM, as far as that can be read."""
    target = files.link_target(places.state(name, CURRENT_LINK))
    package = places.store.owns(target) if target else None
    try:
        return package is not None and translates(places.unit_settings(package))
    except HostError:
        return False


def _warnings(untested: Sequence[str]) -> List[str]:
    """Return what a prediction does not know; ``untested`` are the MicroVMs whose accelerator no run has tested yet."""
    if not untested:
        return []
    return [
        f"accel: auto of {', '.join(untested)} is decided by the first run that is not in check mode, which boots a "
        "kernel under KVM; this prediction expects KVM, or what an installed package already has"
    ]


def _warnings_of_switches(wanted: Sequence[Wanted]) -> List[str]:
    problems = {vm.name: vm.switch.problem for vm in wanted if vm.switch is not None and not vm.switch.is_possible}
    return [
        f"{name} cannot be switched (ssh_switch), so restart_policy decides: {problem}"
        for name, problem in problems.items()
    ]


def _warnings_of_rename(former: Former) -> List[str]:
    return [
        f"{path} applies to {former.name!r} only, which has another name from now on; move it to its new unit"
        for path in former.drop_ins_of_others
    ]


def _render(path: str, declaration: Declaration, accel: str) -> Package:
    return render(declaration, _facts(declaration, accel), path)


def _want(
    declaration: Declaration, package: Optional[Package], request: Request, source: Optional[SourcePackage]
) -> Wanted:
    if package is None:
        return Wanted(declaration, "absent", None)
    return Wanted(
        declaration,
        declaration["state"] or "started",
        package,
        host_unit_settings(declaration),
        environment(declaration),
        host_dependencies(declaration),
        request.keeps_state,
        source.package.installed if source is not None else None,
        source.origin if source is not None else SIMPLE,
    )


def _reconcile(
    request: Request,
    wanted: Sequence[Wanted],
    undeclared: Sequence[str],
    places: Places,
    failed: Mapping[str, str],
) -> VmsResult:
    """Reconcile MicroVMs whose packages are known; ``failed`` are errors of those whose packages could not be made."""
    purged = [_purge(name, request.purge) for name in undeclared] if request.purge != "report" else []
    observed, unreadable = observe(places, [*wanted, *purged])
    formers = observe_formers(places, _former_names(wanted))
    unreadable.update(formers.errors)
    for name in formers.errors:
        observed.pop(name, None)
    before = {**observed, **{name: former.observed for name, former in formers.vms.items() if former.observed.exists}}
    if not request.preflight:
        wanted = with_switches(wanted, observed, places, request.parallel)
    _check_ability(request, wanted, before, places)
    if request.expected.setup:
        # Role `host` brings state directories to today's layout.
        observed = {name: replace(vm, is_former=False) for name, vm in observed.items()}
    clock = _clock()
    plans = [
        _plan(request, index, observed[vm.name], vm, clock, formers)
        if vm.name in observed
        else Plan(vm.name, (), None, None)
        for index, vm in enumerate(wanted)
    ]
    plan_purge = plan_stop if request.purge == "stop" else plan_removal
    plans += [plan_purge(observed[vm.name]) if vm.name in observed else Plan(vm.name, (), None, None) for vm in purged]
    held = {**_held(plans), **failed}
    unreadable.update(held)
    plans = [Plan(plan.name, (), plan.previous, plan.previous) if plan.name in held else plan for plan in plans]
    plans = _in_order(request, plans, wanted, observed)
    jobs = [_job(plan, vm, places) for plan, vm in zip(plans, [*wanted, *purged])]
    pairs = list(zip(jobs, [*wanted, *purged]))
    # Before the packages that it shows may go.
    diffs = [diff(job.plan, before[job.name], vm, places, request.full_diff) for job, vm in pairs if job.plan.changed]
    usable = [job for job in jobs if job.name in observed and job.name not in held]
    units = {unit_name(vm.name): vm.unit for vm in observed.values()}
    refused = outcomes.refusals(pairs)
    failures = {} if request.is_prediction else _carry_out(usable, units, request.parallel)
    errors = {**refused.errors, **unreadable, **failures}
    # An error may have left something else than the plan says.
    standings = {
        job.name: outcomes.present(job, places) if job.name in failures else outcomes.planned(job.plan) for job in jobs
    }
    return {
        "changed": any(plan.changed for plan in plans),
        "vms": [result(job, vm, standings[job.name], errors.get(job.name)) for job, vm in pairs],
        "undeclared": list(undeclared),
        "evaluations": {},
        "diff": diffs,
        "warnings": [
            *(warning for former in formers.vms.values() for warning in _warnings_of_rename(former)),
            *refused.warnings,
            *share_warnings(_placed(request, wanted)),
            *_warnings_of_switches(wanted),
        ],
    }


def _placed(request: Request, wanted: Sequence[Wanted]) -> Placed:
    """Return the declarations of MicroVMs that the host is to have, with their places."""
    return [(request.place(index), vm.declaration) for index, vm in enumerate(wanted) if vm.package is not None]


def _check_ability(
    request: Request, wanted: Sequence[Wanted], observed: Mapping[str, Observed], places: Places
) -> None:
    """Refuse what the host cannot run. Raises HostError or DeclarationError."""
    packages = {request.place(index): vm.package for index, vm in enumerate(wanted) if vm.package is not None}
    placed = _placed(request, wanted)
    programs = {path: package.programs for path, package in packages.items()}
    check_ability(placed, programs, observed, places, request.images, request.expected)
    started = {request.place(index) for index, vm in enumerate(wanted) if vm.runs}
    by_kernel = [(path, vm) for path, vm in placed if path in started and _has_kernel_vsock(vm, packages[path])]
    check_context_identifiers(by_kernel, observed, places)
    if not request.expected.setup:
        check_notifications([(path, vm) for path, vm in placed if NOTIFY_PORT_FILE in packages[path].files])


def _has_kernel_vsock(declaration: Declaration, package: Package) -> bool:
    """Return whether the kernel has the guest's vsock, as far as is known of the hypervisor; otherwise nobody asks."""
    if DECLARATION_FILE in package.files:
        return profile(declaration).has_kernel_vsock
    recorded = package.files.get(HYPERVISOR_FILE)
    return recorded is not None and has_kernel_vsock(recorded.content.decode(errors="replace").strip())


def _held(plans: Sequence[Plan]) -> Dict[str, str]:
    """Return why some of the MicroVMs must not start, by their names."""
    reasons = {plan.name: holds.reason(plan.name) for plan in plans if plan.has(Action.START, Action.RESTART)}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _plan(request: Request, index: int, observed: Observed, wanted: Wanted, clock: Clock, formers: Formers) -> Plan:
    path = request.place(index)
    if wanted.package is None:
        on_absent = wanted.declaration["on_absent"]
        return plan_removal(observed, Removal(on_absent["volumes"], tuple(on_absent["confirm"])), path)
    former = formers.vms.get(wanted.name)
    return plan(observed, wanted, path, clock) if former is None else plan_rename(former, observed, wanted, path, clock)


def _in_order(
    request: Request, plans: Sequence[Plan], wanted: Sequence[Wanted], observed: Mapping[str, Observed]
) -> List[Plan]:
    """Return the plans, in which MicroVMs end before others need what they have."""
    declarations = {vm.name: vm.declaration for vm in wanted if vm.package is not None}
    paths = {vm.name: request.place(index) for index, vm in enumerate(wanted)}
    members = [
        Member(plan, observed[plan.name], declarations.get(plan.name), paths.get(plan.name, ""))
        for plan in plans
        if plan.name in observed
    ]
    changed = hand_over(members, Disks(request.state_dir, os.path.realpath))
    return [changed.get(plan.name, plan) for plan in plans]


def _job(planned: Plan, wanted: Wanted, places: Places) -> Job:
    begins = planned.has(Action.START, Action.RESTART)
    falls_back = wanted.declaration["rollback_on_failure"]
    ready = declared_readiness(wanted.declaration, planned, places) if wanted.runs and wanted.package else None
    return Job(
        planned,
        places,
        readiness=ready,
        # Nothing is asked of such a guest, and nothing would follow from it.
        settles_later=begins and not falls_back and ready is not None and ready.check == "none",
        falls_back=begins and falls_back,
    )


def _carry_out(jobs: Sequence[Job], units: Mapping[str, Unit], parallel: int) -> Dict[str, str]:
    """Carry out all plans and wait until the guests are up; ``units`` are those that were there before.

    Returns errors by the names of MicroVMs.
    """
    outcomes = execute(jobs, HANDLERS, parallel)
    errors = {name: outcome.error for name, outcome in outcomes.items() if outcome.error is not None}
    waiting = [job for job in jobs if job.readiness is not None and job.ready_after is None and job.name not in errors]
    return {**errors, **settle_jobs([job for job in waiting if job.settles_later]), **_await(waiting, units, parallel)}


def settle_jobs(jobs: Sequence[Job]) -> Dict[str, str]:
    """Wait until the units of MicroVMs have shown that they stay. Returns errors by the names of MicroVMs."""
    units = {unit_name(job.name): job for job in jobs}
    begin = time.monotonic()
    try:
        errors = readiness.settle({unit: job.readiness.timeout for unit, job in units.items() if job.readiness})
    except readiness.Abandoned:
        raise
    except HostError as error:
        # Everything has been started; that systemd does not answer is no reason to report nothing of it.
        return {job.name: str(error) for job in jobs}
    for unit, job in units.items():
        job.ready_after = None if unit in errors else time.monotonic() - begin
    return {units[unit].name: _with_damage(units[unit], error) for unit, error in errors.items()}


def _with_damage(job: Job, error: HostError) -> str:
    """Return an error of a start, with what is wrong with the files of the package."""
    damage = damage_of(job)
    return str(error if damage is None else with_remark(error, damage))


def _await(jobs: Sequence[Job], units: Mapping[str, Unit], parallel: int) -> Dict[str, str]:
    """Wait for guests that run already: a run that was killed while it waited is completed by this one."""
    begin, running = time.monotonic(), [job for job in jobs if not job.settles_later]
    guests = [job.readiness for job in running if job.readiness is not None]
    up = readiness.running_guests_up(guests, units, parallel)
    for job in running:
        job.ready_after = time.monotonic() - begin if unit_name(job.name) in up else None
    waiting = [job for job in running if job.ready_after is None]
    if not waiting:
        return {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(parallel, len(waiting))) as pool:
        errors = pool.map(_await_one, waiting)
        return {job.name: error for job, error in zip(waiting, errors) if error is not None}


def _await_one(job: Job) -> Optional[str]:
    try:
        job.ready_after = readiness.wait(job.readiness) if job.readiness else None
    except (HostError, OSError) as error:
        return str(error)
    return None


def _purge(name: str, how: str) -> Wanted:
    declaration = parse_vms([{"name": name, "state": "absent"}])[0]
    return Wanted(declaration, "stopped" if how == "stop" else "absent", None)


def _clock() -> Clock:
    local = time.localtime()
    return Clock(local.tm_hour * 60 + local.tm_min)
