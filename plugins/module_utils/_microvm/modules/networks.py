# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``main()`` of microvm_network."""

from __future__ import annotations

from ..declaration.networks.parse import parse_networks
from ..operations.network_warnings import network_warnings
from ..operations.networks import reconcile_networks
from .fleet_module import FleetModule
from .options import NETWORK_MODULE_OPTIONS


def run_network() -> None:
    """Reconcile and report the result."""
    module = FleetModule(NETWORK_MODULE_OPTIONS, lambda parameters: parse_networks(parameters["networks"]))
    outcome = module.attempt(
        lambda parameters, check_mode: reconcile_networks(
            parameters["networks"], check_mode, parameters["confirm"], parameters["return_seconds"]
        )
    )
    for warning in network_warnings(outcome):
        module.warn(warning)
    module.exit_json(**outcome)
