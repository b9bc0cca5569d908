# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm-register`` and ``microvm-unregister``: the MicroVM in machinectl(1)."""

from __future__ import annotations

import json
import shlex
from typing import Dict, Union

from ...declaration.identity import as_uuid
from ...declaration.vms.parse import Declaration
from . import sources
from .shell import call, header


def microvm_register(declaration: Declaration) -> str:
    """Return the script that registers the process whose number it is given, with the machine id."""
    name = declaration["name"]
    parameters: Dict[str, Union[int, str]] = {
        "name": name,
        "id": as_uuid(declaration["machine_id"]),
        "class": "vm",
        "service": "microvm.fleet",
    }
    if declaration["vsock"]["cid"] is not None:
        parameters["vSockCid"] = declaration["vsock"]["cid"]
    octets = bytes.fromhex(declaration["machine_id"])
    arguments = shlex.join([json.dumps(parameters), str(len(octets)), *map(str, octets)])
    script = header(f"Registers MicroVM {name} with systemd-machined.") + sources.REGISTER_MACHINE
    return script + f'\nregister_machine {shlex.quote(name)} "${{1:?usage: microvm-register PID}}" {arguments}\n'


def microvm_unregister(declaration: Declaration) -> str:
    """Return the script that takes it off the list again; a MicroVM that is not there is no error."""
    script = header(f"Takes MicroVM {declaration['name']} off systemd-machined's list.") + sources.UNREGISTER_MACHINE
    return script + "\n" + call("unregister_machine", declaration["name"])
