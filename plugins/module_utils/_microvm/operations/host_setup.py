# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prepare a host for MicroVMs, or revert the preparation."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Dict, List, Mapping, TypedDict

from ..declaration import names
from ..declaration.accounts import ROOT
from ..declaration.host_setup.parse import parse_host_setup
from ..host import holds, settings, state_directories
from ..host.commands import HostError
from ..host.locks import locked
from ..host.records import Records
from ..resources.diffs import Diff, difference
from ..resources.executor import execute
from ..resources.host_setup.handlers import HANDLERS, HostJob
from ..resources.host_setup.observe import observe
from ..resources.host_setup.plan import Action, Plan, plan
from ..resources.host_setup.state import HostEntry, Observed, prepared, unprepared

_SAME_EVERYWHERE = (
    f"{names.SCRIPT_DIRECTORY}/",
    f"{names.UNIT_DIRECTORY}/",
    names.MANUAL_PAGE,
    names.COMPLETION,
    names.MODULES_LOAD,
    names.LIMITS,
)
"""Beginnings of paths of files that no declaration has a part in."""

LOCK = "@host"
"""Name of the lock; no MicroVM has such a name."""


class HostResult(TypedDict):
    """Result of the setup of a host."""

    changed: bool
    actions: List[str]
    missing: List[str]
    kept: List[str]
    diff: List[Diff]


def set_up_host(raw: Mapping[str, object], present: bool, check_mode: bool) -> HostResult:
    """Bring the setup of the host into its state.

    Raises DeclarationError, before anything has changed, and HostError.
    """
    recorded = settings.read_settings()
    # Unless another one is wanted, the state directory stays.
    own = {} if recorded is None else {"state_dir": recorded["state_dir"]}
    setup = parse_host_setup({**own, **{name: value for name, value in raw.items() if value is not None}})
    if not present and recorded is not None:
        # What was created is removed where it is.
        setup = {**setup, **recorded}
    wanted = replace(prepared(setup), is_nix_expected=check_mode) if present else unprepared(setup)
    with (
        contextlib.nullcontext()
        if check_mode
        else locked([LOCK, *state_directories.former(wanted.state_directory, Records().names())])
    ):
        if present:
            refuse_other_state_directory(wanted.state_directory, Records())
        observed = observe(wanted)
        planned = plan(observed, wanted)
        job = HostJob(planned)
        if not check_mode:
            if not present:
                _refuse_installed(Records())
            _carry_out(job)
            planned = replace(planned, steps=tuple(step for step in planned.steps if step not in job.without_effect))
    return {
        "changed": planned.changed,
        "actions": [str(step) for step in planned.steps],
        "missing": [*planned.missing, *job.unloaded],
        "kept": list(planned.kept),
        "diff": _diff(observed, planned),
    }


def refuse_other_state_directory(directory: str, records: Records) -> None:
    """Refuse to let all units look for their MicroVMs where the installed ones are not. Raises HostError.

    In check mode too: of what an earlier task removes, nothing is gone by then, but nothing else would tell.
    """
    elsewhere: Dict[str, List[str]] = {}
    for record in records.read_all().usable.values():
        if record.generations and record.state_directory not in ("", directory):
            elsewhere.setdefault(record.state_directory, []).append(record.name)
    for installed, microvms in sorted(elsewhere.items()):
        raise HostError(
            f"the state directory cannot become {directory}, since MicroVMs are installed in {installed}: "
            f"{', '.join(microvms)}; set microvm_state_dir (`state_dir` of the modules) to {installed}, or remove them "
            "first, with that setting"
        )


def _refuse_installed(records: Records) -> None:
    """Refuse to take away what installed MicroVMs need, and with it the knowledge of what they were given.

    Not in check mode: there, an earlier task that removes them has changed nothing.
    """
    usable, damaged = records.read_all()
    if damaged:
        raise HostError("\n".join(damaged.values()))
    installed = [record.name for record in usable.values() if record.generations]
    if installed:
        raise HostError(
            f"MicroVMs are still installed on this host: {', '.join(installed)}; remove them first, for instance by "
            "microvm_vms with `purge: remove`"
            + "".join(f"\n{reason}" for reason in map(holds.reason, installed) if reason is not None)
        )


def _carry_out(job: HostJob) -> None:
    error = execute([job], HANDLERS)[job.name].error
    if error is not None:
        raise HostError(error)


def _diff(observed: Observed, planned: Plan) -> List[Diff]:
    """Return every file that is written, with its owner and mode, and the other steps."""
    of_files = [_of_file(path, observed.files, planned) for path in planned.targets(Action.WRITE)]
    remaining = [step for step in planned.steps if step.action is not Action.WRITE]
    return [*of_files, *([difference("steps", "", "".join(f"{step}\n" for step in remaining))] if remaining else [])]


def in_short(diffs: List[Diff]) -> List[Diff]:
    """Return diffs without the contents of files that are the same on all hosts, whose names are listed instead."""
    own = [diff for diff in diffs if diff["after_header"].partition(" ")[0].startswith(_SAME_EVERYWHERE)]
    lines = "".join(f"{'change' if diff['before'] else 'create'} {diff['after_header']}\n" for diff in own)
    listed = [difference("files of the collection", "", lines)] if own else []
    return [*listed, *(diff for diff in diffs if diff not in own)]


def _of_file(path: str, before: Mapping[str, HostEntry], planned: Plan) -> Diff:
    old, new = before.get(path), planned.wanted.files[path]
    return {
        "before_header": path if old is None else f"{path} ({_attributes(old)})",
        "after_header": f"{path} ({_attributes(HostEntry(ROOT, new.mode))})",
        "before": "" if old is None else old.content,
        "after": new.content,
    }


def _attributes(entry: HostEntry) -> str:
    return f"{entry.owner.user}:{entry.owner.group} {entry.mode:04o}"
