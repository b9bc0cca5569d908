# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

make_tap() { # name, user, bridge or nothing, flags
    local name=$1 user=$2 bridge=$3 waited=0
    shift 3
    # At a start of the host, the one who makes bridges may just be at it.
    while [ -n "$bridge" ] && [ ! -e "/sys/class/net/$bridge" ] && [ "$waited" -lt 50 ]; do
        sleep 0.2
        waited=$((waited + 1))
    done
    if [ -e "/sys/class/net/$name" ]; then
        # One that was left over may have other flags, which cannot be changed.
        if [ "$(cat "/sys/class/net/$name/owner" 2>/dev/null)" != "$(id -u "$user")" ]; then
            echo "$name exists and is not a tap of the user $user; declare another id" >&2
            exit 1
        fi
        if [ "$(cat "/sys/class/net/$name/carrier" 2>/dev/null)" = 1 ]; then
            echo "$name is in use by another MicroVM; declare another id" >&2
            exit 1
        fi
        ip link delete dev "$name"
    fi
    ip tuntap add name "$name" mode tap user "$user" "$@"
    if [ -n "$bridge" ]; then ip link set dev "$name" master "$bridge"; fi
    ip link set dev "$name" up
}
