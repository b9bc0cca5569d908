# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Set before: seconds to wait for what the host finds while it starts.
: "${patience:?}" "${sysfs:?}"
# Set by tests alone.
sysctls=${sysctls:-/proc/sys}

await_entry() { # path
    local fifths=$((patience * 5))
    while [ ! -e "$1" ] && [ "$fifths" -gt 0 ]; do
        sleep 0.2
        fifths=$((fifths - 1))
    done
    [ -e "$1" ]
}

make_functions() { # address of a card, number of functions; numbers of vendor and kind, as far as they are known
    local device=$sysfs/bus/pci/devices/$1 present automatic status=0
    if ! await_entry "$device/sriov_numvfs" || ! await_entry "$device/driver"; then
        echo "$1 is not there, has no virtual functions, or has no driver that makes them" >&2
        return 1
    fi
    is_recorded "$1" "${3:-}" || return
    present=$(cat "$device/sriov_numvfs")
    if [ "$present" = "$2" ]; then return; fi
    # Whatever their number is, it changes only from and to none.
    if [ "$present" != 0 ]; then echo 0 > "$device/sriov_numvfs"; fi
    if [ "$2" = 0 ]; then return; fi
    # The host's driver for functions would make interfaces of them.
    automatic=$(cat "$device/sriov_drivers_autoprobe")
    echo 0 > "$device/sriov_drivers_autoprobe"
    echo "$2" > "$device/sriov_numvfs" || status=1
    echo "$automatic" > "$device/sriov_drivers_autoprobe"
    return "$status"
}

# systemd-udevd names interfaces while the host starts: one that is gone in between has another name.
with_interface() { # address of a card; function that gets a path of sysfs, and the words for it
    local address=$1 call=$2 path _try
    shift 2
    for _try in 1 2 3 4 5; do
        for path in "$sysfs/bus/pci/devices/$address"/net/*; do
            if [ ! -e "$path" ]; then break; fi
            if "$call" "$path" "$@"; then return; fi
            if [ -e "$path" ]; then return 1; fi
        done
        sleep 0.2
    done
    echo "$address has no network interface, by which its functions are set" >&2
    return 1
}

set_function_of() { # path of an interface, number of the function, words of ip-link(8)
    local path=$1 number=$2
    shift 2
    ip link set dev "${path##*/}" vf "$number" "$@"
}

set_function() { # address of a card, number of the function, words of ip-link(8)
    with_interface "$1" set_function_of "${@:2}"
}

# Most cards reset their functions, or let nothing pass, while their own interface is down. One that is up is the host's
# business; another one gets no IPv6 addresses of a network that the host is not in.
raise_interface() { # its path
    local interface=${1##*/}
    if (($(cat "$1/flags") & 1)); then return; fi
    if [ -e "$sysctls/net/ipv6/conf/$interface/accept_ra" ]; then
        echo 0 > "$sysctls/net/ipv6/conf/$interface/accept_ra" || return
    fi
    ip link set dev "$interface" addrgenmode none up
}

raise_card() { # address
    with_interface "$1" raise_interface
}

# Everything that is listed, as far as it can be done.
restore_devices() { # list
    local kind address first second rest status=0
    local -A without=()
    modprobe vfio-pci
    while read -r kind address first second rest; do
        # The list has no word that needs quotes.
        # shellcheck disable=SC2086
        case $kind in
            functions)
                if make_functions "$address" "$first" "$second"; then
                    raise_card "$address" || status=1
                else
                    without[$address]=yes
                    status=1
                fi
                ;;
            function)
                if [ -n "${without[$address]:-}" ]; then continue; fi
                set_function "$address" "$first" "$second" $rest || status=1
                ;;
            device)
                if [ "$second" = absent ]; then
                    await_entry "$sysfs/bus/pci/devices/$address" || true
                    { is_recorded "$address" "$rest" && bind_pci_device "$address"; } || status=1
                fi
                ;;
        esac
    done < "$1"
    return "$status"
}
