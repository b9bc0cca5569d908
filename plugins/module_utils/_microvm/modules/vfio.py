# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``main()`` of microvm_vfio."""

from __future__ import annotations

from ..declaration.vfio.parse import parse_devices
from ..host.settings import state_directory
from ..operations.devices import DevicesResult, reconcile_devices
from .fleet_module import FleetModule, Parameters
from .options import VFIO_MODULE_OPTIONS


def run_vfio() -> None:
    """Reconcile and report the result."""
    module = FleetModule(VFIO_MODULE_OPTIONS, lambda parameters: parse_devices(parameters["devices"]))
    outcome = module.attempt(_reconcile)
    module.exit_json(**outcome)


def _reconcile(parameters: Parameters, check_mode: bool) -> DevicesResult:
    # The rules of udev name the directories of MicroVMs.
    directory = state_directory("state_dir", parameters["state_dir"], is_predicted=check_mode)
    return reconcile_devices(parameters["devices"], directory, check_mode)
