# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Outcomes of a run that a plan alone does not tell: refused packages, and what is there after an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..declaration.names import BOOTED_LINK, CURRENT_LINK, unit_name
from ..host import files, systemd
from ..host.commands import HostError
from ..host.places import Places
from ..host.records import Record, is_pending
from ..resources.vms.actions import Plan
from ..resources.vms.handlers_job import Job
from ..resources.vms.state import Wanted


@dataclass(frozen=True)
class Standing:
    """A MicroVM as it stands, by the names of packages."""

    package: Optional[str]
    generation: Optional[int]
    restart_pending: bool
    refused: Optional[str]
    """The declared package, where that was rolled back from and is not installed again."""


class Refusals(NamedTuple):
    """Declared packages that are not installed again: errors by the names of MicroVMs, and warnings."""

    errors: Dict[str, str]
    warnings: List[str]


def planned(plan: Plan) -> Standing:
    """Return what a plan leads to."""
    return Standing(plan.package, plan.generation, plan.restart_pending, plan.refused)


def present(job: Job, places: Places) -> Standing:
    """Return what is there after a run that did not do all of a plan; the plan's word where that cannot be read."""
    try:
        record = places.records.read(job.name)
        targets = [files.link_target(places.state(job.name, link)) for link in (CURRENT_LINK, BOOTED_LINK)]
    except (HostError, OSError):
        return planned(job.plan)
    current, booted = ((places.store.owns(target) or target) if target else None for target in targets)
    generation = record.generation(current) if record is not None and current is not None else None
    unit = unit_name(job.name)
    return Standing(
        package=current,
        generation=generation.number if generation is not None else None,
        restart_pending=is_pending(record, systemd.show([unit])[unit].invocation, booted, current),
        refused=record.refused if record is not None else None,
    )


def refusals(jobs: Sequence[Tuple[Job, Wanted]]) -> Refusals:
    """Return the refused packages of some MicroVMs, each as an error or a warning (``on_refused``)."""
    outcome = Refusals({}, [])
    for job, wanted in jobs:
        record = job.plan.record
        if job.plan.refused is None or record is None:
            continue
        reason = refusal(record)
        if wanted.declaration["on_refused"] == "warn":
            outcome.warnings.append(f"{job.name}: {reason}")
        else:
            outcome.errors[job.name] = reason
    return outcome


def refusal(record: Record) -> str:
    """Return why the declared package of a record is not installed, with the way out."""
    generation = record.refused_generation
    number = generation.number if generation is not None else 0
    return (
        f"the declared package is generation {number}, which a rollback has marked bad, so it is not installed; change "
        f"the declaration, or allow the package again: microvm generations {record.name} --good {number}"
    )
