# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Set before: the directory of the taps' rules.
: "${tap_rules:?}"

# A tap of a network with `mode: routed` is on no bridge: a route of the host leads to each address of its guest, and
# elements of the table inet microvm_fleet say which addresses the guest sends from. The rules come first, then the
# route. Routes and parameters of the kernel go with the tap. Called where errors do not end the script.
route_tap() { # tap, network, its address with prefix length, whether it forwards, MAC address, addresses of the guest
    local tap=$1 network=$2 gateway=${3%/*} forwards=$4 mac=$5 address usable=()
    for address in "${@:6}"; do
        case $address in
            dhcp | *:*) ;;
            *)
                is_in_subnet "$address" "$3" && [ "$address" != "$gateway" ] && usable+=("$address") && continue
                echo "$tap is not routed: $address is no address for a guest of the network $network ($3);" \
                    "correct it in guest.networks" >&2
                return 1
                ;;
        esac
    done
    if [ "${#usable[@]}" = 0 ]; then
        echo "$tap is not routed: its package says no IPv4 address, and the network $network ($3) has no DHCP server;" \
            "declare one in guest.networks" >&2
        return 1
    fi
    {
        flock 9 || return
        route_to_guest "$tap" "$network" "$gateway" "$mac" "${usable[@]}" || return
    } 9< "$tap_rules"
    set_tap_parameter ipv4 "$tap" forwarding "$forwards"
}

route_to_guest() { # tap, network, its address, MAC address, addresses of the guest
    local tap=$1 network=$2 gateway=$3 mac=$4 address
    shift 4
    for address in "$@"; do refuse_routed_elsewhere "$tap" "$address" || return; done
    set_tap_parameter ipv6 "$tap" disable_ipv6 1 || return
    set_tap_parameter ipv4 "$tap" forwarding 0 || return
    set_tap_parameter ipv4 "$tap" rp_filter 1 || return
    delete_elements "$tap" || return
    routed_elements "$tap" "$@" | load_elements "$tap" "$network" || return
    ip link set dev "$tap" nomaster || return
    ip address replace "$gateway/32" dev "$tap" || return
    for address in "$@"; do
        ip route replace "$address/32" dev "$tap" proto static src "$gateway" || return
        if [ -n "$mac" ]; then ip neighbour replace "$address" lladdr "$mac" dev "$tap" nud permanent || return; fi
    done
}

refuse_routed_elsewhere() { # tap, address
    local route
    route=$(ip -4 -o route show "$2/32") || return
    if [ -z "$route" ] || [[ " $route " = *" dev $1 "* ]]; then return; fi
    echo "$1 is not routed: the host has a route to $2 already ($route);" \
        "stop what uses it, or declare another address" >&2
    return 1
}

routed_elements() { # tap, addresses
    local elements='add element inet microvm_fleet' address
    echo "$elements routed { \"$1\" }"
    for address in "${@:2}"; do echo "$elements routed_addresses { \"$1\" . $address }"; done
}

# There are none of IPv6 where the kernel has no IPv6.
set_tap_parameter() { # protocol, tap, parameter, value
    local path=/proc/sys/net/$1/conf/$2/$3
    if [ -d "/proc/sys/net/$1" ]; then echo "$4" > "$path"; fi
}

is_in_subnet() { # address, address with the prefix length of the subnet
    local mask=$(((0xffffffff << (32 - ${2#*/})) & 0xffffffff)) number other
    number=$(address_number "$1") && other=$(address_number "${2%/*}") || return
    [ "$((number & mask))" = "$((other & mask))" ]
}

# Written in one way only: others read 010 as 8.
address_number() { # IPv4 address
    local IFS=. part parts number=0
    [[ "$1" =~ ^[0-9]{1,3}(\.[0-9]{1,3}){3}$ ]] || return
    read -r -a parts <<< "$1"
    for part in "${parts[@]}"; do
        if [[ "$part" = 0?* ]] || [ "$part" -gt 255 ]; then return 1; fi
        number=$((number * 256 + part))
    done
    echo "$number"
}
