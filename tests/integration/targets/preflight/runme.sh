#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Root without rights on the network is told so, by the kernel's own account of its capabilities.

set -eux

export PYTHONPATH="$ANSIBLE_COLLECTIONS_PATH"
asked=$(
    cat <<'PYTHON'
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.errors import DeclarationError
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.declaration.parse import parse_vms
from ansible_collections.microvm.fleet.plugins.module_utils._microvm.host import preflight, systemd

systemd.is_init = lambda: True  # the machine that runs this test need not have it
vms = parse_vms([{"name": "probe", "kernel": "/k", "mem": 64, "interfaces": [{"bridge": "br0"}]}])
try:
    preflight.check_host([("vms[0]", vms[0])])
    print("can")
except DeclarationError as error:
    print(error)
PYTHON
)
[ "$(python -c "$asked")" = can ]
setpriv --bounding-set=-net_admin python -c "$asked" | grep '^vms\[0\].interfaces: .*CAP_NET_ADMIN'
