#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Test the rules of networks by packets: a host in a namespace of its own, guests at the far ends of its taps.

set -eux

here=$(dirname "$(readlink -f "$0")")
if ! command -v nft; then
    echo "SKIPPED network_rules: nftables is not installed"
    exit 0
fi
export PYTHONPATH="$ANSIBLE_COLLECTIONS_PATH"
in_namespaces() { # program, arguments
    timeout 600 unshare --net --mount --pid --fork --kill-child bash -eux -c '
        mount -t tmpfs none /run
        mount -t sysfs none /sys
        mount -t proc none /proc
        exec python "$@"' - "$@"
}
for filter in 0 1; do
    for probe in probe attacks probe_ipv6 passages matrix firewalls lan guest_names; do
        if [ "$probe" = guest_names ] && ! command -v dnsmasq; then
            echo "SKIPPED network_rules: names of guests, since dnsmasq is not installed"
            continue
        fi
        in_namespaces "$here/$probe.py" "$filter"
    done
done
in_namespaces "$here/macvtaps.py"
