# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# A device of the host is formatted only if nothing at all is on it: no signature that util-linux knows, and no other
# data in its first 16 MiB and in its last MiB, where file systems, partition tables, encryption, volume managers and
# databases have what is theirs. Runs as the MicroVM's user.
format_if_blank() { # device, mkfs and its arguments
    local device=$1 signatures size status=0 mebibyte=$((1 << 20))
    shift
    signatures=$(wipefs --no-act --noheadings -- "$device") || return
    blkid --probe -- "$device" > /dev/null || status=$?
    # 2: nothing was found.
    if [ -n "$signatures" ] || [ "$status" -ne 2 ]; then return; fi
    size=$(blockdev --getsize64 "$device") || return
    if ! is_zero "$device" 0 $((size < 16 * mebibyte ? size : 16 * mebibyte)) ||
        ! is_zero "$device" $((size < mebibyte ? 0 : size - mebibyte)) $((size < mebibyte ? size : mebibyte)); then
        echo "$device has data without a known signature, and is not formatted" >&2
        return
    fi
    echo "formatting $device: $1"
    "$@" "$device"
    sync -- "$device"
}

is_zero() { # device, begin and length in bytes
    cmp -s --ignore-initial="$2:0" --bytes="$3" -- "$1" /dev/zero
}
