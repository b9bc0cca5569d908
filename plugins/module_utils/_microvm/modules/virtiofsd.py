# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``main()`` of microvm_virtiofsd."""

from __future__ import annotations

from ..declaration.virtiofsd.parse import parse_host_shares
from ..operations.virtiofsd import SharesRequest, SharesResult, reconcile_shares
from .fleet_module import FleetModule, Parameters
from .options import VIRTIOFSD_MODULE_OPTIONS


def run_virtiofsd() -> None:
    """Reconcile and report the result."""
    module = FleetModule(VIRTIOFSD_MODULE_OPTIONS, lambda parameters: parse_host_shares(parameters["shares"]))
    outcome = module.attempt(_reconcile)
    for share in outcome["shares"]:
        if share["lacking"]:
            module.warn(f"the file system of share {share['name']} has no {', no '.join(share['lacking'])}")
    failures = [f"{share['name']}: {share['msg']}" for share in outcome["shares"] if share["failed"]]
    if failures:
        module.fail_json(msg="\n".join(failures), **outcome)
    module.exit_json(**outcome)


def _reconcile(parameters: Parameters, check_mode: bool) -> SharesResult:
    return reconcile_shares(
        SharesRequest(shares=parameters["shares"], replace_in_use=parameters["replace_in_use"], check_mode=check_mode)
    )
