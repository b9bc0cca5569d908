# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Action ``microvm.fleet.microvm_vms``: its module, before which the controller builds what the host does not."""

from __future__ import annotations

from typing import Any, Mapping

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.modules.options import VMS_MODULE_OPTIONS
from ansible_collections.microvm.fleet.plugins.plugin_utils.flake_action import FlakeAction


class ActionModule(FlakeAction):
    """See FlakeAction."""

    OPTIONS = VMS_MODULE_OPTIONS

    def declared(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the MicroVMs that are listed; none where that is no list, which the module refuses."""
        vms = arguments.get("vms")
        return {f"vms[{index}]": vm for index, vm in enumerate(vms if isinstance(vms, list) else ())}
