# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``main()`` of microvm_host."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from ..declaration.host_setup.parse import parse_host_setup
from ..operations.host_setup import HostResult, in_short, set_up_host
from .fleet_module import FleetModule
from .options import DIFF_DETAIL, HOST_MODULE_OPTIONS


def run_host() -> None:
    """Set the host up and report the result."""
    module = FleetModule(HOST_MODULE_OPTIONS, lambda parameters: parse_host_setup(_setup(parameters)))
    result = module.attempt(_set_up)
    for feature in result["missing"]:
        module.warn(feature)
    for subject in result["kept"]:
        module.warn(f"kept {subject}")
    module.exit_json(**result)


def _set_up(parameters: Mapping[str, Any], check_mode: bool) -> HostResult:
    outcome = set_up_host(_setup(parameters), parameters["state"] == "present", check_mode)
    return outcome if parameters["diff_detail"] == "full" else {**outcome, "diff": in_short(outcome["diff"])}


def _setup(parameters: Mapping[str, Any]) -> Dict[str, Any]:
    return {name: value for name, value in parameters.items() if name not in ("state", DIFF_DETAIL.name)}
