# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Let MicroVMs run external packages: by Nix, by `microvm render`, or made by hand."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import Optional

from ..declaration.names import CURRENT_LINK
from ..declaration.vms.host_options import HOST_OPTIONS
from ..host import accounts, restrictions
from ..host.commands import HostError
from ..host.locks import locked
from ..host.places import Places
from ..resources.vms.actions import Plan
from ..resources.vms.handlers_job import Job
from ..resources.vms.observe import observe_name, with_collectable
from ..resources.vms.plan_adoption import External, plan_adoption
from ..schema.options import defaults
from .external_packages import external_package
from .lifecycle import carry_out


def adopt(
    name: str,
    directory: str,
    places: Places,
    flake: Optional[str] = None,
    check: bool = False,
    attribute: Optional[str] = None,
) -> Plan:
    """Let ``current`` of a MicroVM lead to the package in a directory, which is not started; ``check`` only plans.

    ``flake`` is where the package is from, and ``attribute`` the one in it that is not the usual.
    Raises HostError, also for a directory that is no package.
    """
    restrictions.check_external(restrictions.read())
    external = replace(_external(name, directory, places), flake=flake or "", attribute=attribute)
    owner = external.installed.account
    if not owner.is_own and not accounts.exists(owner.user):
        raise HostError(f"the user {owner.user} does not exist; run the role microvm.fleet.host first")
    with contextlib.nullcontext() if check else locked([name]):
        place = external.package if external.content is None else ""
        observed = with_collectable(observe_name(places, name, owner), place)
        plan = plan_adoption(observed, external, defaults(HOST_OPTIONS)["keep_generations"])
        if not check:
            os.makedirs(places.state_directory, exist_ok=True)
            carry_out(Job(plan, places))
    return plan


def _external(name: str, directory: str, places: Places) -> External:
    """Look at a package of any origin. Raises HostError for a directory that is none."""
    package = external_package(name, directory, places)
    return External(name, package.installed, None if package.content.place else package.content)


def is_installed(name: str, places: Places) -> bool:
    """Return whether the host has such a MicroVM."""
    return os.path.lexists(places.state(name, CURRENT_LINK))
