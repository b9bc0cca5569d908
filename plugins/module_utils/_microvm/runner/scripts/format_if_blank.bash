# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# A device of the host is formatted only if nothing at all is on it: no signature that util-linux knows, and no other
# data where file systems, partition tables and volume managers begin. Runs as the MicroVM's user.
format_if_blank() { # device, mkfs and its arguments
    local device=$1 signatures status=0
    shift
    signatures=$(wipefs --no-act --noheadings -- "$device") || return
    blkid --probe -- "$device" > /dev/null || status=$?
    # 2: nothing was found.
    if [ -n "$signatures" ] || [ "$status" -ne 2 ]; then return; fi
    if ! cmp -s --bytes=4096 -- "$device" /dev/zero; then
        echo "$device has data without a known signature, and is not formatted" >&2
        return
    fi
    echo "formatting $device: $1"
    "$@" "$device"
    sync -- "$device"
}
