# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``main()`` of microvm_tap."""

from __future__ import annotations

from ..declaration.taps.parse import parse_taps
from ..host.settings import state_directory
from ..operations.taps import TapsRequest, TapsResult, reconcile_taps
from .fleet_module import FleetModule, Parameters
from .options import TAP_MODULE_OPTIONS


def run_tap() -> None:
    """Reconcile and report the result."""
    module = FleetModule(TAP_MODULE_OPTIONS, lambda parameters: parse_taps(parameters["taps"]))
    outcome = module.attempt(_reconcile)
    for tap in outcome["taps"]:
        if tap["link_down"]:
            module.warn(f"{tap['name']} is on a link that is down, and reaches nobody until somebody brings that up")
    failures = [f"{tap['name']}: {tap['msg']}" for tap in outcome["taps"] if tap["failed"]]
    if failures:
        module.fail_json(msg="\n".join(failures), **outcome)
    module.exit_json(**outcome)


def _reconcile(parameters: Parameters, check_mode: bool) -> TapsResult:
    return reconcile_taps(
        TapsRequest(
            taps=parameters["taps"],
            state_directory=state_directory("state_dir", None),
            replace_in_use=parameters["replace_in_use"],
            expected_bridges=parameters["bridges"] or (),
            check_mode=check_mode,
        )
    )
