# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Predicates of guests that are up: each guest is asked as the declaration of the package that it runs says."""

from __future__ import annotations

from typing import Optional

from ...declaration.names import BOOTED_LINK, unit_name
from ...declaration.types import PackagedVm, Ready
from ...declaration.vms.parse import Declaration
from ...host.places import Places
from ...host.readiness import Readiness
from ...host.store import DamagedPackage
from ...runner.package import VSOCK_SOCKET_FILE
from .actions import Plan

HOST_KEY_DIRECTORIES = ("/", "/etc", "/etc/ssh")
"""Mount points of guests that have the SSH host key on them."""

UNIT_ALONE: Ready = {"check": "none", "address": None, "port": 22, "timeout": 300}
"""Predicate where nothing is recorded: the unit stays."""


def declared_readiness(declaration: Declaration, plan: Plan, places: Places) -> Readiness:
    """Return the predicate of a declared MicroVM when its plan is carried out.

    What runs may be another package than the declared one: where its restart is pending, or the declared one refused.
    A guest that was switched is asked as its system is declared, at what the hypervisor was started with.
    """
    declared = plan.content.directory_name if plan.content is not None else None
    if declared is not None and package_that_runs(plan) == declared:
        return _readiness(declaration["name"], declaration["ready"], declaration, places)
    try:
        started = places.declaration(package_that_runs(plan))
    except DamagedPackage:
        # The run goes on and replaces it.
        started = None
    if declared is not None and _package_of_guest(plan) == declared:
        return _readiness(declaration["name"], declaration["ready"], started or declaration, places)
    return _recorded_readiness(plan, started, places)


def recorded_readiness(plan: Plan, places: Places) -> Readiness:
    """Return the predicate of a MicroVM when a plan is carried out, as far as it is recorded on the host.

    Raises DamagedPackage.
    """
    return _recorded_readiness(plan, places.declaration(package_that_runs(plan)), places)


def _recorded_readiness(plan: Plan, declaration: Optional[PackagedVm], places: Places) -> Readiness:
    ready = plan.record.ready_of(_package_of_guest(plan)) if plan.record else None
    return _readiness(plan.name, ready or UNIT_ALONE, declaration, places)


def package_that_runs(plan: Plan) -> Optional[str]:
    """Return the package that a MicroVM runs when a plan is carried out."""
    return plan.booted or plan.package if plan.restart_pending else plan.package


def _package_of_guest(plan: Plan) -> Optional[str]:
    """Return the package whose system the guest runs when a plan is carried out: that which it was booted from, or
    switched to since."""
    return plan.guest or package_that_runs(plan)


def _readiness(name: str, ready: Ready, declaration: Optional[PackagedVm], places: Places) -> Readiness:
    return Readiness(
        unit=unit_name(name),
        check=ready["check"],
        address=ready["address"],
        port=ready["port"],
        timeout=ready["timeout"],
        control_socket=places.real_work(name, declaration["socket"] or "" if declaration else ""),
        context_identifier=declaration["vsock"]["cid"] if declaration else None,
        vsock_socket=places.state(name, BOOTED_LINK, VSOCK_SOCKET_FILE),
        host_key_name=name if declaration and _keeps_host_key(declaration) else "",
    )


def _keeps_host_key(declaration: PackagedVm) -> bool:
    """Return whether a guest has its SSH host key after a restart: from its host, on a volume, or in a share."""
    mounts = [*declaration["volumes"], *declaration["shares"]]
    is_kept = any(mount["mount_point"] in HOST_KEY_DIRECTORIES for mount in mounts)
    return is_kept or bool(declaration["guest"]["host_key"])
