# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out the steps of shares that belong to no MicroVM."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import List, Sequence, Tuple

from ...declaration.names import UNIT_DIRECTORY
from ...host import files, safe_paths, systemd
from ..executor import Handlers
from ..steps import Step
from .plan import Action, Plan


@dataclass(frozen=True)
class ShareJob:
    """The plan of a share, for the executor."""

    plan: Plan
    directory: str = UNIT_DIRECTORY
    """Directory of the files of units."""

    @property
    def name(self) -> str:
        """Name of the share."""
        return self.plan.name

    @property
    def steps(self) -> Tuple[Step[Action], ...]:
        """Steps of the plan."""
        return self.plan.steps


def _create_source(job: ShareJob, path: str) -> None:
    owner = job.plan.owner
    numbers = (0, 0) if owner is None else (owner.uid, owner.gid)
    safe_paths.create_directory(path, numbers, int(job.plan.share["source_mode"], 8))


def _write(job: ShareJob, unit: str) -> None:
    files.replace_file(os.path.join(job.directory, unit), job.plan.after[unit].encode())


def _units(pairs: Sequence[Tuple[ShareJob, str]]) -> List[str]:
    return [unit for _job, unit in pairs]


HANDLERS: Handlers[ShareJob, Action] = Handlers(
    Action,
    {
        Action.STOP: lambda _job, unit: systemd.stop([unit]),
        Action.REMOVE_UNIT: lambda job, unit: files.remove(os.path.join(job.directory, unit)),
        Action.CREATE_SOURCE: _create_source,
        Action.WRITE_UNIT: _write,
        Action.START: lambda _job, unit: systemd.start(unit),
    },
    {
        Action.DISABLE: lambda pairs: systemd.enable(_units(pairs), False),
        Action.RELOAD_SYSTEMD: lambda _pairs: systemd.daemon_reload(),
        Action.ENABLE: lambda pairs: systemd.enable(_units(pairs), True),
    },
)
