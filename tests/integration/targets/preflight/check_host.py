# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look whether this host could run a MicroVM with a tap, and print the refusal or ``can``."""

from __future__ import annotations

from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.vms.parse import parse_vms
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import systemd
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.resources.vms.preflight.host import check_host
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.schema.errors import DeclarationError

# The machine that runs this test need not run systemd.
systemd.is_init = lambda: True
vms = parse_vms([{"name": "probe", "kernel": "/k", "mem": 64, "interfaces": [{"bridge": "br0"}]}])
try:
    check_host([("vms[0]", vms[0])])
    print("can")
except DeclarationError as error:
    print(error)
