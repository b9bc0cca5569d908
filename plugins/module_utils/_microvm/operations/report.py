# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports of a run: results, always of the same shape, and diffs."""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import Dict, List, Mapping, Optional, TypedDict

from ..declaration.names import unit_name
from ..host import nix
from ..host.commands import HostError
from ..host.places import Places
from ..host.records import Record
from ..resources.diffs import Diff
from ..resources.vms.actions import Plan, Steps, visible_steps
from ..resources.vms.changes import normal
from ..resources.vms.handlers_job import Job
from ..resources.vms.shown import set_options
from ..resources.vms.state import Observed, Wanted
from ..runner.package import COMMAND_LINE_FILE, DECLARATION_FILE, File, Package
from ..schema.excerpts import without_colours
from ..schema.quoting import printable
from .external_packages import package_files
from .flakes import BuiltPackage
from .outcomes import Standing


class ChangeResult(TypedDict):
    """Option of a MicroVM that differs."""

    option: str
    cost: str


class VmResult(TypedDict):
    """Outcome for one MicroVM: an entry of the modules' ``vms``."""

    name: str
    state: str
    changed: bool
    actions: List[str]
    package: Optional[str]
    previous_package: Optional[str]
    generation: Optional[int]
    restart_pending: bool
    consequence: str
    switch_output: str
    changes: List[ChangeResult]
    refused_package: Optional[str]
    rolled_back: bool
    rollback_actions: List[str]
    address: Optional[str]
    unit: str
    ready_after: Optional[float]
    kept: List[str]
    failed: bool
    msg: str


class VmsResult(TypedDict):
    """Outcome of a run over the MicroVMs of a host."""

    changed: bool
    vms: List[VmResult]
    undeclared: List[str]
    evaluations: Dict[str, BuiltPackage]
    diff: List[Diff]
    warnings: List[str]


def result(job: Job, wanted: Wanted, standing: Standing, error: Optional[str]) -> VmResult:
    """Return one entry of the modules' ``vms``; ``standing`` is what is there after the run."""
    plan = job.plan
    return {
        "name": plan.name,
        "state": wanted.state,
        "changed": plan.changed,
        "actions": [str(step) for step in plan.steps],
        "package": standing.package,
        "previous_package": plan.previous,
        "generation": standing.generation,
        "restart_pending": standing.restart_pending,
        "consequence": plan.consequence,
        "switch_output": job.switch_output,
        "changes": [{"option": change.path, "cost": change.cost} for change in plan.changes],
        "refused_package": standing.refused,
        "rolled_back": job.is_rolled_back,
        "rollback_actions": [str(step) for step in job.fallback],
        "address": job.readiness.address if job.readiness else wanted.declaration["ready"]["address"],
        "unit": unit_name(plan.name),
        "ready_after": None if job.ready_after is None else round(job.ready_after, 1),
        "kept": [printable(entry) for entry in plan.kept],
        "failed": error is not None,
        "msg": error or "",
    }


def diff(plan: Plan, observed: Observed, wanted: Wanted, places: Places, is_full: bool = False) -> Diff:
    """Return before and after of one MicroVM, for people: what somebody has set, or with ``is_full`` all of it."""
    before = _before(observed, places) if is_full else _before_in_short(observed)
    after = _after(plan, wanted) if is_full else _after_in_short(plan, wanted)
    if wanted.external is not None and wanted.package is not None:
        is_known = wanted.origin.is_known
        before = _before_of_package(observed, places, is_known)
        after = _after_of_package(plan, wanted, wanted.package) + _closures(plan, wanted)
    elif not is_full and plan.previous != plan.package and _without_package(before) == _without_package(after):
        # A newer version renders the same declaration in another way.
        before, after = _before(observed, places), _after(plan, wanted)
    steps = plan.steps if is_full else visible_steps(plan.steps)
    return {
        "before_header": f"MicroVM {plan.name}",
        "after_header": f"MicroVM {plan.name} (for the guest: {plan.consequence})",
        "before": before + (_tags(observed.record) if observed.exists else ""),
        "after": after + (_tags(plan.record) if wanted.package else "") + _consequences(plan, steps),
    }


def _tags(record: Optional[Record]) -> str:
    """Return the line with the tags of a MicroVM, which are no part of its package."""
    return f"tags: {', '.join(record.tags)}\n" if record is not None and record.tags else ""


def _without_package(text: str) -> str:
    return "".join(line for line in text.splitlines() if not line.startswith("package: "))


def package_diff(plan: Plan, places: Places) -> Diff:
    """Return before and after of a MicroVM that is led to a package which is there, or brings its content along."""
    before = _shown(plan.previous, places)
    content = plan.content.files if plan.content else {}
    installed = _shown(plan.package, places)
    after = [content[file].content.decode() for file in _SHOWN if file in content] if plan.content else installed
    return {
        "before_header": f"MicroVM {plan.name}",
        "after_header": f"MicroVM {plan.name} (for the guest: {plan.consequence})",
        "before": f"package: {plan.previous}\n{''.join(before)}" if plan.previous else "",
        "after": f"package: {plan.package}\n{''.join(after)}{_consequences(plan, plan.steps)}",
    }


def _consequences(plan: Plan, steps: Steps) -> str:
    """Return the lines on what the change costs, and on what will be done, as far as it is to be shown."""
    lines = [f"changes: {change}" for change in plan.changes]
    if plan.recreate:
        lines.append(f"note: {', '.join(plan.recreate)}: only what is made anew gets it; what exists stays as it is")
    if plan.refused:
        lines.append(f"note: {plan.refused} is marked bad after a rollback; it is not installed again")
    return "".join(f"{line}\n" for line in (*lines, *(f"step: {step}" for step in steps)))


def _before(observed: Observed, places: Places) -> str:
    if not observed.exists:
        return ""
    texts = _shown(observed.current, places)
    return _describe(observed.unit.running, observed.unit.enabled, observed.current, texts)


_NOT_BUILT = "another derivation, which is not built yet"


def _closures(plan: Plan, wanted: Wanted) -> str:
    """Return the lines on what differs between the closures of two packages in the store of Nix."""
    if plan.package and wanted.origin.builds == plan.package:
        lines = [f"note: {plan.package} is evaluated when Nix has been installed"]
    elif not wanted.origin.is_known:
        is_not = "another package, which is not copied yet" if wanted.origin.is_copied else _NOT_BUILT
        lines = [f"note: {wanted.origin.builds or plan.package} is {is_not}"]
    else:
        lines = []
    text, (old, new) = wanted.origin.closure_diff, (plan.previous or "", plan.package or "")
    if not text and old != new and old.startswith(nix.STORE) and new.startswith(nix.STORE) and wanted.origin.is_known:
        # One of the two may be gone, and then nobody can compare them.
        with contextlib.suppress(HostError):
            text = nix.diff_closures(old, new)
    lines += [f"closure: {line}" for line in without_colours(text).splitlines() if line.strip()]
    return "".join(f"{line}\n" for line in lines)


def _before_of_package(observed: Observed, places: Places, is_shown: bool) -> str:
    if not observed.exists:
        return ""
    files: Dict[str, File] = {}
    if not is_shown:
        return _describe(observed.unit.running, observed.unit.enabled, observed.current, [])
    # Of a damaged package as much as there is of it.
    with contextlib.suppress(HostError, OSError):
        files = package_files(places.store.path(observed.current)) if observed.current else {}
    return _describe(observed.unit.running, observed.unit.enabled, observed.current, _shown_files(files))


def _after_of_package(plan: Plan, wanted: Wanted, package: Package) -> str:
    return _describe(wanted.runs, wanted.declaration["autostart"], plan.package, _shown_files(package.files))


def _shown_files(files: Mapping[str, File]) -> List[str]:
    """Return the texts of a package of any origin that say what it runs, and the digests of its other files."""
    texts = [files[file].content.decode(errors="replace") for file in _SHOWN if file in files]
    others = {path: file for path, file in sorted(files.items()) if path not in _SHOWN}
    return [*texts, *(f"file: {path} {_shown_file(file)}\n" for path, file in others.items())]


def _shown_file(file: File) -> str:
    if file.is_link:
        return f"-> {printable(os.fsdecode(file.content))}"
    return hashlib.sha256(file.content).hexdigest()[:12] + (" executable" if file.executable else "")


def _before_in_short(observed: Observed) -> str:
    if not observed.exists:
        return ""
    texts = [f"{line}\n" for line in set_options(observed.declared)] if observed.declared is not None else []
    return _describe(observed.unit.running, observed.unit.enabled, observed.current, texts)


def _after_in_short(plan: Plan, wanted: Wanted) -> str:
    if wanted.package is None:
        return _after(plan, wanted)
    texts = [f"{line}\n" for line in set_options(normal(wanted.declaration))]
    return _describe(wanted.runs, wanted.declaration["autostart"], plan.package, texts)


def _shown(package: Optional[str], places: Places) -> List[str]:
    """Return what diffs show of a package that is there; of a damaged one, what is wrong."""
    try:
        return [places.store.read(package, file) for file in _SHOWN] if package else []
    except HostError as error:
        return [f"{error}\n"]


def _after(plan: Plan, wanted: Wanted) -> str:
    if wanted.package is None:
        return "".join(f"kept: {printable(entry)}\n" for entry in plan.kept)
    texts = [wanted.package.files[file].content.decode() for file in _SHOWN]
    running = wanted.state in ("started", "restarted")
    return _describe(running, wanted.declaration["autostart"], plan.package, texts)


_SHOWN = (DECLARATION_FILE, COMMAND_LINE_FILE)


def _describe(running: bool, autostart: bool, package: Optional[str], texts: List[str]) -> str:
    lines = [f"running: {running}", f"autostart: {autostart}", f"package: {package}"]
    return "\n".join(lines) + "\n" + "".join(texts)
