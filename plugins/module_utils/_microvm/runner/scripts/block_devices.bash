# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Prints the device that a path of a declaration leads to, once it is there: below /dev, where only root makes links.
block_device() { # path
    local path=$1 device tenths=0
    while [ ! -e "$path" ] && [ "$tenths" -lt 300 ]; do
        # Volume managers and udev may be late, at the host's boot above all.
        sleep 0.1
        tenths=$((tenths + 1))
    done
    device=$(readlink -e -- "$path") || device=
    case $device in
        /dev/shm/* | /dev/mqueue/* | /dev/hugepages/*) device= ;;
        /dev/*) ;;
        *) device= ;;
    esac
    if ! [ -b "$device" ]; then
        echo "$path is no block device of this host" >&2
        return 1
    fi
    echo "$device"
}

# Prints nothing for what is no block device.
device_numbers() { # device, by any of its paths
    local numbers
    if ! [ -b "$1" ]; then return; fi
    numbers=$(stat --dereference --format '%t %T' -- "$1")
    echo "$((16#${numbers% *})):$((16#${numbers#* }))"
}

sysfs=/sys
procfs=/proc

# Prints the numbers of a device and of all that is made of it: partitions, and what volume managers, arrays and
# encryption make of these, to the last.
devices_upon() { # directory of a device in sysfs
    local file
    cat "$1/dev" 2> /dev/null || true
    for file in "$1"/*/partition "$1"/holders/*/dev; do
        if [ -e "$file" ]; then devices_upon "${file%/*}"; fi
    done
}

# Prints the numbers of each device that the host uses, and how, as its first process sees it.
used_devices() {
    local numbers use rest path
    while read -r _ _ numbers _ use rest; do
        use="mounted on the host, at $use"
        echo "$numbers $use"
        # btrfs and others have a number that is no device's; after the dash are their type and one of their devices.
        rest=${rest#* - * }
        if [[ "$numbers" = 0:* && "$rest" = /dev/* ]]; then echo "$(device_numbers "${rest%% *}") $use"; fi
    done < "$procfs/1/mountinfo"
    for path in "$sysfs"/fs/btrfs/*/devices/*/dev; do
        if [ -e "$path" ]; then echo "$(cat "$path") mounted on the host, as part of a btrfs"; fi
    done
    # Kernels without swap have no such file.
    if ! [ -e "$procfs/swaps" ]; then return; fi
    while read -r path rest; do echo "$(device_numbers "$path") used as swap space on the host"; done < "$procfs/swaps"
}

# Two systems that write to one file system destroy it: neither the device, nor a part of it, nor what is made of it.
refuse_if_used() { # device, path as it was declared
    local numbers uses use upon
    numbers=$(device_numbers "$1")
    upon=" $numbers $(devices_upon "$sysfs/dev/block/$numbers" | tr '\n' ' ')"
    uses=$(used_devices)
    while IFS=' ' read -r numbers use; do
        if [[ -n "$use" && "$upon" = *" $numbers "* ]]; then
            echo "$2, or a part of it, is $use; end that, or declare another device" >&2
            return 1
        fi
    done <<< "$uses"
}

# An entry of the access list, not the owner: udev gives a device its owner and mode again at any event.
give_block_device() { # access, path, user
    local device
    device=$(block_device "$2")
    if [ "$1" != r ]; then refuse_if_used "$device" "$2"; fi
    setfacl --modify "user:$3:$1" -- "$device"
}

take_block_device() { # path, user
    local device
    device=$(readlink -e -- "$1") || return 0
    if [ -b "$device" ]; then setfacl --remove "user:$2" -- "$device" || true; fi
}
