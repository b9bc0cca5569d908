# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Set before: the list of our networks with their leases, the unit that loads their rules, the directory of the taps'
# rules, and the file with the parameters of the kernel for our networks.
: "${network_list:?}" "${network_unit:?}" "${tap_rules:?}" "${network_settings:?}"

# From a tap on one of our networks only frames of its guest pass: by elements of the table bridge microvm_fleet, and,
# where the MAC address is known, by flags of the port that hold without any rules. Each tap has a file of its elements,
# which is loaded with the rules of the networks. Who changes files or elements holds a lock of their directory, and so
# does who loads the rules: otherwise a load would replace elements that are added after it has read the files.
# These functions are called where errors do not end the script.
bind_tap() { # name, MAC address or nothing, then IP addresses of the guest, and "dhcp" if it gets or chooses others
    if [ ! -e "$network_list" ]; then return; fi
    await_bridge "$1"
    bind_port replace "$@"
}

# Taps of packages that do not list them, and others that are bound to nothing. Those that are about to be bound to
# their guests are so after this; those that are stay so.
bind_unlisted_taps() {
    local kind bridge rest port
    if [ ! -e "$network_list" ]; then return; fi
    while read -r kind bridge rest; do
        if [ "$kind" != network ]; then continue; fi
        for port in "/sys/class/net/$bridge/brif"/*; do
            if [ -e "$port/../tun_flags" ]; then bind_port keep "$(basename -- "$port")" || return; fi
        done
    done < "$network_list"
}

# systemd-networkd may put a tap on its bridge a moment after it was created. Some taps are never on one: all of a
# MicroVM together are waited for at most two seconds.
bridge_waits=20
await_bridge() { # tap
    while [ "$bridge_waits" -gt 0 ] && [ -e "/sys/class/net/$1" ] && [ ! -e "/sys/class/net/$1/master" ]; do
        sleep 0.1
        bridge_waits=$((bridge_waits - 1))
    done
}

bind_port() { # "replace", or "keep" a binding that it has; then what bind_tap takes
    local how=$1 tap=$2 mac=${3:-} bridge kind network value rest
    local subnet='' isolation='' leased='' prefix='' lan='' routed=()
    bridge=$(basename -- "$(readlink -- "/sys/class/net/$tap/master")")
    while read -r kind network value rest; do
        case $kind:$network in
            "network:$bridge") subnet=$value isolation=$rest ;;
            "prefix:$bridge") prefix=$value ;;
            "lan:$bridge") lan=yes ;;
            "routed:$bridge") routed=("$value" "$rest") ;;
            "lease:$bridge") if [ "${value,,}" = "${mac,,}" ]; then leased=$rest; fi ;;
        esac
    done < "$network_list"
    # A bridge of others is theirs.
    if [ -z "$subnet" ] && [ "${#routed[@]}" = 0 ]; then return; fi
    if [[ ! "$tap$mac" =~ ^[A-Za-z0-9_.:-]+$ ]]; then
        echo "$tap cannot be bound to its guest: its name or the MAC address has unexpected characters" >&2
        return 1
    fi
    mkdir -p -- "$tap_rules" || return
    if [ "${#routed[@]}" -gt 0 ]; then
        route_tap "$tap" "$bridge" "${routed[@]}" "$mac" "${@:4}"
        return
    fi
    # Rules do not see frames of LLDP, by which a guest would take the MAC address of a neighbour.
    ip link set dev "$bridge" type bridge no_linklocal_learn 1 || return
    {
        flock 9 || return
        if [ "$how" = keep ] && [ -e "$tap_rules/$tap.nft" ]; then return; fi
        delete_elements "$tap" || return
        add_elements "$tap" "$bridge" "$mac" "$subnet" "$leased" "${@:4}" || return
        if [ -n "$prefix" ] && [ -n "$mac" ]; then
            add_ipv6_elements "$tap" "$bridge" "$mac" "$prefix" "${@:4}" || return
        fi
        if [ -n "$lan" ]; then add_lan_elements "$tap" "$bridge" "$mac" "${@:4}" || return; fi
    } 9< "$tap_rules"
    # Module microvm_tap may keep its taps from their neighbours where the network does not.
    if [ "$how" = replace ] || [ "$isolation" = on ]; then
        bridge link set dev "$tap" isolated "$isolation" || return
    fi
    if [ -n "$mac" ]; then pin_mac "$tap" "$mac" || return; fi
    # The host has no address on it.
    if [ -w "/proc/sys/net/ipv6/conf/$tap/disable_ipv6" ]; then
        echo 1 > "/proc/sys/net/ipv6/conf/$tap/disable_ipv6" || return
    fi
}

# Kernels before 5.18 cannot lock a port. Frames for a neighbour that the bridge does not know go to no guest.
pin_mac() { # tap, MAC address
    bridge link set dev "$1" learning off flood off || return
    bridge fdb replace "$2" dev "$1" master static || return
    bridge link set dev "$1" locked on 2> /dev/null || true
}

add_elements() { # tap, bridge, then what tap_elements takes after the tap
    tap_elements "$1" "${@:3}" | load_elements "$1" "$2"
}

load_elements() { # tap, network; elements from the standard input
    local tap=$1 bridge=$2 file=$tap_rules/$1.nft
    cat > "$file.partial" || return
    mv -fT -- "$file.partial" "$file" || return
    if nft -f "$file"; then return; fi
    rm -f -- "$file"
    if nft list set bridge microvm_fleet taps > /dev/null 2>&1; then
        echo "$tap is not put on $bridge, since nft refuses its rules: what it says is above." \
            "systemctl reload $network_unit loads the rules without those of taps that are gone" >&2
    else
        echo "$tap is not put on $bridge, since the rules of the networks are not loaded:" \
            "see systemctl status $network_unit" >&2
    fi
    return 1
}

# Nothing declared means that the guest may have any address that is nobody else's.
tap_elements() { # tap, MAC address or nothing, subnet, address of its lease or nothing, then addresses and "dhcp"
    local tap=$1 mac=$2 subnet=$3 leased=$4 address elements='add element bridge microvm_fleet'
    shift 4
    echo "$elements taps { \"$tap\" }"
    if [ -n "$mac" ]; then
        echo "$elements macs { \"$tap\" . $mac }"
        echo "$elements bound_macs { $mac }"
    else
        echo "$elements anonymous { \"$tap\" }"
    fi
    for address in "${@:-dhcp}"; do
        if [ "$address" = dhcp ]; then address=$leased; fi
        case $address in
            '') echo "$elements subnets { \"$tap\" . $subnet }" ;;
            *:*) ;;
            *[!0-9.]*) ;;
            *)
                echo "$elements addresses { \"$tap\" . $address }"
                echo "$elements bound { $address }"
                ;;
        esac
    done
}

add_ipv6_elements() { # tap, bridge, then what ipv6_elements takes after the tap
    ipv6_elements "$1" "${@:3}" | load_further_elements "$1" "$2"
}

# In a file by network and tap: no name of an interface has a colon.
load_further_elements() { # tap, bridge; elements from the standard input
    local tap=$1 file=$tap_rules/$2:$1.nft6
    cat > "$file.partial" || return
    mv -fT -- "$file.partial" "$file" || return
    if nft -f "$file"; then return; fi
    delete_elements "$tap"
    echo "$tap is not put on $2, since nft refuses its further rules: what it says is above." \
        "systemctl reload $network_unit loads those of the network" >&2
    return 1
}

# On a bridge onto an interface of the host, guests are told from the LAN by what these say.
add_lan_elements() { # tap, bridge, MAC address or nothing, then addresses and other words
    lan_elements "$@" | load_further_elements "$1" "$2"
}

# The prefixes of the LAN are not known: an address that a guest makes of its MAC address is bound by its second half.
lan_elements() { # tap, bridge, MAC address or nothing, then addresses and other words
    local tap=$1 own address number elements='add element bridge microvm_fleet'
    echo "$elements lan_taps { \"$tap\" }"
    if [ -z "$3" ]; then return; fi
    own=$(eui64 "$3")
    echo "add element inet microvm_fleet lan_guests { \"$2\" . $3 }"
    echo "$elements lan_taps6 { \"$tap\" }"
    echo "$elements lan_identifiers { \"$tap\" . 0x${own//:/} }"
    for address in "${@:4}"; do
        number=$(ipv6_number "$address") || continue
        echo "$elements lan_addresses { \"$tap\" . $address }"
        echo "$elements lan_targets { \"$tap\" . $number }"
    done
}

# Declared addresses, and those that a guest makes of its MAC address, which are nobody else's: a guest gets its prefix
# by router advertisements, however its addresses of IPv4 are given. Messages of neighbours have them as numbers.
ipv6_elements() { # tap, MAC address, prefix as four groups, then addresses and other words
    local tap=$1 own address number elements='add element bridge microvm_fleet'
    own=$(eui64 "$2")
    echo "$elements taps6 { \"$tap\" }"
    for address in "fe80:0:0:0:$own" "$3:$own" "${@:4}"; do
        number=$(ipv6_number "$address") || continue
        echo "$elements addresses6 { \"$tap\" . $address }"
        echo "$elements targets6 { \"$tap\" . $number }"
    done
}

# The second half of an address that is made of a MAC address (RFC 4291, appendix A).
eui64() { # MAC address
    local octets
    IFS=: read -r -a octets <<< "${1,,}"
    printf '%02x%s:%sff:fe%s:%s%s\n' "$((0x${octets[0]} ^ 2))" "${octets[@]:1}"
}

# Prints an address of IPv6 as a number; fails for everything else.
ipv6_number() { # address
    local left=${1%%::*} right='' group number=0x
    local -a first last=()
    if [[ ! "$1" =~ ^[0-9a-fA-F:]*:[0-9a-fA-F:]*$ ]]; then return 1; fi
    if [[ "$1" == *::* ]]; then right=${1#*::}; fi
    IFS=: read -r -a first <<< "$left"
    IFS=: read -r -a last <<< "$right"
    while [ $((${#first[@]} + ${#last[@]})) -lt 8 ]; do first+=(0); done
    for group in "${first[@]}" "${last[@]}"; do number+=$(printf %04x "0x$group"); done
    echo "$number"
}

# Of all MicroVMs: some end without taking their taps away in order. A tap that exists is not without its binding.
unbind_missing_taps() {
    local file tap
    if [ ! -d "$tap_rules" ]; then return; fi
    {
        flock 9 || return
        for file in "$tap_rules"/*.nft; do
            tap=${file##*/} tap=${tap%.nft}
            if [ ! -e "/sys/class/net/$tap" ]; then delete_elements "$tap"; fi
        done
    } 9< "$tap_rules"
}

# Somebody may have deleted some elements, or all rules. An address that two taps have stays bound.
delete_elements() { # tap
    local file=$tap_rules/$1.nft line other others=(/dev/null)
    rm -f -- "$tap_rules"/names/*/"$1"
    if [ ! -e "$file" ]; then return; fi
    for other in "$tap_rules"/*.nft; do
        if [ "$other" != "$file" ]; then others+=("$other"); fi
    done
    for file in "$tap_rules/$1.nft" "$tap_rules"/*":$1.nft6"; do
        if [ ! -e "$file" ]; then continue; fi
        while read -r line; do
            if ! grep -qxF -e "$line" -- "${others[@]}"; then nft "delete ${line#add }" 2> /dev/null || true; fi
        done < "$file"
        rm -f -- "$file"
    done
}

# Where no udev has applied them to a new bridge.
apply_network_settings() {
    local path equals value
    if [ ! -e "$network_settings" ]; then return; fi
    while read -r path equals value; do
        if [ "$equals" = = ] && [ -w "/proc/sys/$path" ]; then echo "$value" > "/proc/sys/$path" || return; fi
    done < "$network_settings"
}
