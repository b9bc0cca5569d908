# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Multicast reaches a macvtap only with allmulticast. The host itself has no address on it.
make_macvtap() { # name, user, group, link, MAC, mode
    local name=$1 user=$2 group=$3 link=$4 mac=$5 mode=$6 index waited=0
    if [ -e "/sys/class/net/$name" ]; then
        if [ ! -d "/sys/class/net/$name/macvtap" ]; then
            echo "$name exists and is not a macvtap; declare another id" >&2
            exit 1
        fi
        ip link delete dev "$name"
    fi
    ip link add link "$link" name "$name" address "$mac" type macvtap mode "$mode"
    ip link set dev "$name" allmulticast on
    if [ -w "/proc/sys/net/ipv6/conf/$name/disable_ipv6" ]; then
        echo 1 > "/proc/sys/net/ipv6/conf/$name/disable_ipv6"
    fi
    ip link set dev "$name" up
    index=$(cat "/sys/class/net/$name/ifindex")
    # udev makes the device.
    while [ ! -e "/dev/tap$index" ] && [ "$waited" -lt 50 ]; do
        sleep 0.1
        waited=$((waited + 1))
    done
    # On a host of microvm.nix, the user's group has another name.
    chown "$user:$group" "/dev/tap$index" 2> /dev/null || chown "$user:" "/dev/tap$index"
    chmod 0600 "/dev/tap$index"
}
