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

device_numbers() { # device
    local numbers
    numbers=$(stat -c '%t %T' -- "$1")
    echo "$((16#${numbers% *})):$((16#${numbers#* }))"
}

# Prints where a device is mounted on the host, as its first process sees it.
mount_point_of() { # major and minor number
    local numbers mount_point
    while read -r _ _ numbers _ mount_point _; do
        if [ "$numbers" = "$1" ]; then
            echo "$mount_point"
            return
        fi
    done < /proc/1/mountinfo
}

# Two systems that have one file system destroy it: neither the device, nor a partition of it, nor what is made of it.
refuse_if_mounted() { # device, path as it was declared
    local numbers name directory place mounted
    numbers=$(device_numbers "$1")
    name=/sys/dev/block/$numbers
    for directory in "$name" "$name"/*/partition "$name"/holders/*; do
        place=$directory
        if [ "${directory##*/}" = partition ]; then place=${directory%/*}; fi
        if [ "$directory" != "$name" ]; then numbers=$(cat "$place/dev" 2>/dev/null) || continue; fi
        mounted=$(mount_point_of "$numbers")
        if [ -n "$mounted" ]; then
            echo "$2 is mounted on the host, at $mounted; unmount it, or declare another device" >&2
            return 1
        fi
    done
}

# An entry of the access list, not the owner: udev gives a device its owner and mode again at any event.
give_block_device() { # access, path, user
    local device
    device=$(block_device "$2")
    refuse_if_mounted "$device" "$2"
    setfacl --modify "user:$3:$1" -- "$device"
}

take_block_device() { # path, user
    local device
    device=$(readlink -e -- "$1") || return 0
    if [ -b "$device" ]; then setfacl --remove "user:$2" -- "$device" || true; fi
}
