# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs of the executor: a MicroVM's plan, and how its start is judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional

from ...host.places import Places
from ...host.readiness import Readiness
from .actions import Plan, Steps


@dataclass
class Job:
    """A plan to carry out for one MicroVM, and what came of its start."""

    plan: Plan
    places: Places
    readiness: Optional[Readiness] = None
    """Predicate of a guest that is up; ``None`` where nobody waits for it."""
    settles_later: bool = False
    """True if only the unit has to stay, which is looked at for all MicroVMs of a run at once."""
    falls_back: bool = False
    """True if the package before is started again where the new one does not come up."""
    is_waited_for: bool = True
    """True if systemd's own part of a start or stop is waited for."""
    ready_after: Optional[float] = None
    """Seconds until the guest was up; ``None`` where nobody waited."""
    fallback: Steps = field(default=())
    """Steps that were carried out to start the package before again."""
    switch_output: str = ""
    """Output of the guest while it was switched."""
    is_rolled_back: bool = False
    """True if the package before has come up again."""

    @property
    def name(self) -> str:
        """Name of the MicroVM."""
        return self.plan.name

    @property
    def steps(self) -> Steps:
        """Steps of the plan."""
        return self.plan.steps
