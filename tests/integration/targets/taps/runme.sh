#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Test microvm_tap on real taps and macvtaps, in private network namespaces, with each pyroute2 that is there: the one of
# the development environment, and the one of the distribution.

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
ran=0
for python in ${TAPS_PYTHONS:-$(command -v python) /usr/bin/python3}; do
    if "$python" -c 'import pyroute2'; then
        unshare --net --mount "$here/runme.sh" inside "$python"
        ran=1
    fi
done
if [ "$ran" = 0 ]; then echo "SKIPPED taps: no Python has pyroute2"; fi
