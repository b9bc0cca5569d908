#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Test that QEMU's parser and device models accept the command line of every parity case that this machine can start:
# QEMU is started without running the guest (-S) and must answer over its control socket. The test runs in a separate
# network namespace with the taps that the packages create.

set -eux

here=$(dirname "$(readlink -f "$0")")
if [ "${1:-}" != inside ]; then
    exec unshare --net --mount "$here/runme.sh" inside
fi
# Without this mount, /sys/class/net shows the interfaces of the machine.
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /srv
# ansible-test sets the path of the collection, which is imported without Ansible.
export PYTHONPATH="$ANSIBLE_COLLECTIONS_PATH"
ip link set lo up
ip link add virbr0 type bridge
exec python "$here/accept.py" "$ANSIBLE_COLLECTIONS_PATH/ansible_collections/microvm/fleet"
