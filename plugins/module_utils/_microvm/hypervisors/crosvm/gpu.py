# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""GPU device of crosvm, a sidecar of Cloud Hypervisor and of crosvm."""

from __future__ import annotations

import json
from typing import Tuple

from ...declaration.vms.parse import Declaration
from ..programs import program_path
from ..words import Variable, Word, join, words
from .profile import PROFILE

PARAMETERS = {
    "context-types": "virgl:virgl2:cross-domain",
    "displays": [{"hidden": True}],
    "egl": True,
    "vulkan": True,
}


def gpu_device(declaration: Declaration) -> Tuple[Word, ...]:
    """Return the command line of the sidecar; empty without graphics."""
    graphics = declaration["graphics"]
    if not graphics["enable"]:
        return ()
    package = graphics["crosvm_package"] or declaration["crosvm"]["package"]
    display = join(Variable.WAYLAND_DISPLAY)
    parameters = json.dumps(PARAMETERS, sort_keys=True)
    command = ("device", "gpu", "--socket-path", graphics["socket"], "--wayland-sock", display, "--params", parameters)
    return words(program_path(package, PROFILE.name), *command)
