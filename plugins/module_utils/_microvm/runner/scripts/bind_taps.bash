# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Set before: the list of our networks with their leases, the unit that loads their rules, the directory of the taps'
# rules, and the file with the parameters of the kernel for our networks.
: "${network_list:?}" "${network_unit:?}" "${tap_rules:?}" "${network_settings:?}"

# From a tap on one of our networks only frames of its guest pass: by elements of the table bridge microvm_fleet, and,
# where the MAC address is known, by flags of the port that hold without any rules. Each tap has a file of its elements,
# which is loaded with the rules of the networks.
bind_tap() { # name, MAC address or nothing, then IP addresses of the guest, and "dhcp" if it gets or chooses others
    local tap=$1 mac=${2:-} bridge kind network value rest subnet='' isolation='' leased='' file=$tap_rules/$1.nft
    bridge=$(basename -- "$(readlink -- "/sys/class/net/$tap/master")")
    if [ ! -e "$network_list" ]; then return; fi
    while read -r kind network value rest; do
        case $kind:$network in
            "network:$bridge") subnet=$value isolation=$rest ;;
            "lease:$bridge") if [ "${value,,}" = "${mac,,}" ]; then leased=$rest; fi ;;
        esac
    done < "$network_list"
    # A bridge of others is theirs.
    if [ -z "$subnet" ]; then return; fi
    if [[ ! "$tap$mac" =~ ^[A-Za-z0-9_.:-]+$ ]]; then
        echo "$tap cannot be bound to its guest: its name or the MAC address has unexpected characters" >&2
        return 1
    fi
    unbind_tap "$tap"
    mkdir -p -- "$tap_rules"
    tap_elements "$tap" "$mac" "$subnet" "$leased" "${@:3}" > "$file.partial"
    mv -fT -- "$file.partial" "$file"
    if ! nft -f "$file"; then
        rm -f -- "$file"
        echo "$tap is not put on $bridge, since the rules of the networks are not loaded:" \
            "see systemctl status $network_unit" >&2
        return 1
    fi
    bridge link set dev "$tap" isolated "$isolation"
    if [ -n "$mac" ]; then pin_mac "$tap" "$mac"; fi
}

# Kernels before 5.18 cannot lock a port.
pin_mac() { # tap, MAC address
    bridge link set dev "$1" learning off
    bridge fdb replace "$2" dev "$1" master static
    bridge link set dev "$1" locked on 2> /dev/null || true
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

# Somebody may have deleted some elements, or all rules.
unbind_tap() { # name
    local file=$tap_rules/$1.nft line
    if [ ! -e "$file" ]; then return; fi
    while read -r line; do nft "delete ${line#add }" 2> /dev/null || true; done < "$file"
    rm -f -- "$file"
}

# Where no udev has applied them to a new bridge.
apply_network_settings() {
    local path equals value
    if [ ! -e "$network_settings" ]; then return; fi
    while read -r path equals value; do
        if [ "$equals" = = ] && [ -w "/proc/sys/$path" ]; then echo "$value" > "/proc/sys/$path"; fi
    done < "$network_settings"
}
