#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Test microvm_tap on real taps and macvtaps, in private network namespaces, with the pyroute2 of the development environment,
# without which it fails, and with the one of the distribution, if that has one. TAPS_PYTHONS are others than these two.

set -eux

here=$(dirname "$(readlink -f "$0")")
if [ "${1:-}" = inside ]; then
    # Without this mount, /sys/class/net shows the interfaces of the machine.
    mount -t sysfs sysfs /sys
    ip link set lo up
    "$2" "$here/check_taps.py"
    ansible-playbook -i localhost, -c local -e "ansible_python_interpreter=$2" "$here/module.yml"
    exit
fi
# ansible-test sets the path of the collection; check_taps.py imports it without Ansible.
export PYTHONPATH="$ANSIBLE_COLLECTIONS_PATH"
required=${TAPS_PYTHONS:-$(command -v python)}
for python in $required; do
    "$python" -c 'import pyroute2'
done
pythons=$required
if [ -z "${TAPS_PYTHONS:-}" ]; then
    if /usr/bin/python3 -c 'import pyroute2'; then
        pythons="$pythons /usr/bin/python3"
    else
        echo "SKIPPED taps with the pyroute2 of the distribution: it has none"
    fi
fi
for python in $pythons; do
    unshare --net --mount "$here/runme.sh" inside "$python"
done
