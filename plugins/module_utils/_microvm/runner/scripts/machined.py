# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``microvm-register`` and ``microvm-unregister``: the MicroVM in machinectl(1)."""

from __future__ import annotations

import json
import shlex

from ...declaration.identity import as_uuid
from ...declaration.vms.parse import Declaration
from .shell import header

# Varlink takes the number of the process as it is, and the vsock by which `ssh machine/NAME` reaches the guest
# (systemd 257 and newer); D-Bus is there with every version.
_REGISTER = """
leader=${{1:?usage: microvm-register PID}}
varlink=/run/systemd/machine/io.systemd.Machine
if [ -S "$varlink" ] && command -v varlinkctl >/dev/null &&
    varlinkctl call "$varlink" io.systemd.Machine.Register {parameters} >/dev/null; then
    exit 0
fi
bus=(busctl call org.freedesktop.machine1 /org/freedesktop/machine1 org.freedesktop.machine1.Manager)
"${{bus[@]}}" RegisterMachine sayssus {name} {identity} microvm.fleet vm "$leader" ''
"""

# Not TerminateMachine, which would kill the unit that this runs in.
_UNREGISTER = """
busctl call org.freedesktop.machine1 /org/freedesktop/machine1 org.freedesktop.machine1.Manager \\
    UnregisterMachine s {name} 2>/dev/null || true
"""


def microvm_register(declaration: Declaration) -> str:
    """Registers the process whose number it is given, with the machine id."""
    name = shlex.quote(declaration["name"])
    parameters = {"name": declaration["name"], "id": as_uuid(declaration["machine_id"]), "class": "vm"}
    parameters["service"] = "microvm.fleet"
    if declaration["vsock"]["cid"] is not None:
        parameters["vSockCid"] = declaration["vsock"]["cid"]
    text = shlex.quote(json.dumps(parameters)[:-1] + ', "leader": ') + '"$leader"' + shlex.quote("}")
    octets = bytes.fromhex(declaration["machine_id"])
    identity = " ".join([str(len(octets)), *map(str, octets)])
    script = header(f"Registers MicroVM {declaration['name']} with systemd-machined.")
    return script + _REGISTER.format(parameters=text, name=name, identity=identity)


def microvm_unregister(declaration: Declaration) -> str:
    """Forgets it again; one that machined does not know is no error."""
    script = header(f"Takes MicroVM {declaration['name']} off systemd-machined's list.")
    return script + _UNREGISTER.format(name=shlex.quote(declaration["name"]))
