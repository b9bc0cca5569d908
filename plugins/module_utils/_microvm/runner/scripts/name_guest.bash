# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Set before: the list of our networks with their leases, and the directory of the taps' rules.
: "${network_list:?}" "${tap_rules:?}"

# A tap of a network with `dns_names` has a file with the name of its guest, which the network's server reads as soon as
# it is there. It has the addresses of the network that the guest may have, and goes with the elements of the tap. A
# MicroVM that is called as the host is in each domain, or whose name is no part of a domain name, has none.
name_guest() { # MicroVM, tap, MAC address or nothing, then addresses of the guest, and "dhcp" if it gets others
    local vm=$1 tap=$2 mac=${3:-} network file lines
    if [ ! -e "$network_list" ] || [ ! -d "$tap_rules" ]; then return; fi
    network=$(named_network "$tap" "${@:4}")
    if [ -z "$network" ] || [[ ! "${vm,,}" =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]]; then return; fi
    if [ "${vm,,}" = host ] || [ "${vm,,}" = localhost ]; then return; fi
    lines=$(guest_addresses "$network" "$mac" "${@:4}" | sed "s/\$/ $vm/") || return
    if [ -z "$lines" ]; then return; fi
    file=$tap_rules/names/$network
    {
        flock 9 || return
        mkdir -p -- "$file" || return
        # The server does not read a file that is called so.
        echo "$lines" > "$file/.$tap.partial" || return
        mv -fT -- "$file/.$tap.partial" "$file/$tap"
    } 9< "$tap_rules"
}

# Prints the network with names that a tap is on: as a port of its bridge, or by the addresses of its guest.
named_network() { # tap, then addresses of the guest
    local bridge kind network value rest address names=' '
    bridge=$(basename -- "$(readlink -- "/sys/class/net/$1/master")")
    while read -r kind network value rest; do
        if [ "$kind" = names ]; then names+="$network "; fi
    done < "$network_list"
    while read -r kind network value rest; do
        if [[ "$names" != *" $network "* ]]; then continue; fi
        if [ "$kind:$network" = "network:$bridge" ]; then echo "$network"; fi
        if [ "$kind" != routed ] || [ -n "$bridge" ]; then continue; fi
        for address in "${@:2}"; do
            if is_in_subnet "$address" "$value"; then
                echo "$network"
                break
            fi
        done
    done < "$network_list"
}

# Prints the addresses of a guest that are of its network, one on each line: declared ones, and that of its lease.
guest_addresses() { # network, MAC address or nothing, then addresses of the guest, and "dhcp"
    local kind network value rest subnet='' prefix='' leased='' address number
    while read -r kind network value rest; do
        case $kind:$network in
            "network:$1" | "routed:$1") subnet=$value ;;
            "prefix:$1") prefix=$value ;;
            "lease:$1") if [ "${value,,}" = "${2,,}" ]; then leased=$rest; fi ;;
        esac
    done < "$network_list"
    for address in "${@:3}"; do
        if [ "$address" = dhcp ]; then address=$leased; fi
        if [[ "$address" != *:* ]]; then
            if is_in_subnet "$address" "$subnet"; then echo "$address"; fi
        elif number=$(ipv6_number "$address") && [ -n "$prefix" ] && [[ "$number" = "0x${prefix//:/}"* ]]; then
            echo "$address"
        fi
    done
}
