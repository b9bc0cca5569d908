# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm switch``."""

from __future__ import annotations

from argparse import Namespace

from ...host.commands import HostError
from ...operations.switching import CannotSwitch, switch_guest
from ...resources.vms.handlers_job import Job
from ..host import places, require_root
from ..output import say
from .results import print_plan


def switch_vm(arguments: Namespace) -> int:
    """``microvm switch``."""
    require_root(arguments)
    try:
        job = switch_guest(arguments.name, arguments.action, arguments.check, places(arguments))
    except CannotSwitch as error:
        raise HostError(f"{error}; to apply its package: microvm restart {arguments.name}") from None
    print_switch(job, arguments.check)
    return 0


def print_switch(job: Job, check: bool) -> None:
    """Say what was done in a guest, or with ``check`` would be, and what a restart is still needed for."""
    action = job.plan.switch.action if job.plan.switch is not None else ""
    print_plan(job.plan, f"switched ({action})", check)
    if job.switch_output:
        say(job.switch_output)
    if job.plan.restart_pending:
        say(f"{job.name}: a restart is pending: microvm restart {job.name}")
