# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``main()`` of microvm_package_lock."""

from __future__ import annotations

from typing import Any, List, Mapping, TypedDict

from ..host.package_lock import Holder, finish_interrupted, holders, unfinished_packages
from .fleet_module import FleetModule
from .options import PACKAGE_LOCK_MODULE_OPTIONS


class HolderResult(TypedDict):
    """A process that holds locks, in a result."""

    process: int
    command: str
    locks: List[str]


class PackageLockResult(TypedDict):
    """Result of microvm_package_lock."""

    changed: bool
    holders: List[HolderResult]
    configured: List[str]


def run_package_lock() -> None:
    """Wait for the locks, finish what is left, and report both."""
    module = FleetModule(PACKAGE_LOCK_MODULE_OPTIONS, lambda parameters: None)
    module.exit_json(**module.attempt(_finish))


def _finish(parameters: Mapping[str, Any], check_mode: bool) -> PackageLockResult:
    if check_mode:
        busy, packages = holders(), unfinished_packages()
    else:
        busy, packages = finish_interrupted(parameters["timeout"])
    return {"changed": bool(packages), "holders": [_result(holder) for holder in busy], "configured": packages}


def _result(holder: Holder) -> HolderResult:
    return {"process": holder.process, "command": holder.command, "locks": list(holder.locks)}
