# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# A package names the network, and the host knows its link and its mode.
join_macvtap() { # list of the host's networks, name, user, group, network, MAC address
    local list=$1 id=$2 user=$3 group=$4 network=$5 mac=$6 kind name link mode
    if [ -e "$list" ]; then
        while read -r kind name link mode; do
            if [ "$kind $name" = "macvtap $network" ]; then
                make_macvtap "$id" "$user" "$group" "$link" "$mac" "$mode"
                return
            fi
        done < "$list"
    fi
    echo "this host has no network $network with mode macvtap; declare it in microvm_networks" >&2
    exit 1
}
