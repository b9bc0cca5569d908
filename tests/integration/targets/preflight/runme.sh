#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Test that root without CAP_NET_ADMIN gets an error that names the missing capability.

set -eux

export PYTHONPATH="$ANSIBLE_COLLECTIONS_PATH"
here=$(dirname "$(readlink -f "$0")")
[ "$(python "$here/check_host.py")" = can ]
setpriv --bounding-set=-net_admin python "$here/check_host.py" | grep '^vms\[0\].interfaces: .*CAP_NET_ADMIN'
