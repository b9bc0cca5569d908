# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts as an Ansible inventory."""

from __future__ import annotations

import json
from collections.abc import Sequence

from . import keys
from .paths import Bed, Host

GROUP = "microvm_hosts"


def variables(bed: Bed) -> dict[str, str | bool]:
    """Return the variables by which Ansible reaches the hosts of a bed."""
    return {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(keys.private(bed)),
        "ansible_ssh_common_args": f"-F {bed.ssh_config}",
        # Addresses are the same in every bed, so connections that are kept open must not be shared between beds.
        "ansible_control_path_dir": f"{bed.state}/ssh",
        "ansible_ssh_pipelining": True,
        "ansible_python_interpreter": "/usr/bin/python3",
    }


def render(bed: Bed, hosts: Sequence[Host]) -> str:
    """YAML text."""
    # A JSON scalar is a YAML scalar.
    settings = "".join(f"    {name}: {json.dumps(value)}\n" for name, value in variables(bed).items())
    members = "".join(f"    {host.name}:\n      ansible_host: {host.address}\n" for host in hosts)
    return f"---\n{GROUP}:\n  vars:\n{settings}  hosts:\n{members}"
