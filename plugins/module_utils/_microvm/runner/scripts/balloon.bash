# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

check_usage() { # pattern of the one argument, usage, the script's arguments
    local pattern="^$1\$" usage=$2
    shift 2
    if [ "$#" -ne 1 ] || [[ ! "$1" =~ $pattern ]]; then
        echo "usage: microvm-balloon $usage" >&2
        exit 2
    fi
}

read_size() { # the guest's MiB, those that the balloon takes
    balloon_mebibytes=$((10#$2))
    if [ "$balloon_mebibytes" -ge "$1" ]; then
        echo "the guest has $1 MiB; the balloon must leave some of them" >&2
        exit 2
    fi
}

set_balloon() { # the guest's MiB, those that the balloon takes; calls request
    read_size "$@"
    # shellcheck disable=SC2034 # for the request; not every hypervisor takes this unit
    balloon_bytes=$((balloon_mebibytes * 1024 * 1024))
    # shellcheck disable=SC2034
    guest_bytes=$((($1 - balloon_mebibytes) * 1024 * 1024))
    request
}

# For a hypervisor that takes only differences, and cannot be asked for what they have come to. It ignores one that
# would take more from the balloon than is in it. So differences that are halved from the guest's size leave nothing in
# it, whatever was there before: as in a binary number, each is taken once at most.
set_balloon_by_differences() { # the guest's MiB, those that the balloon takes; calls request and shrink
    local lock
    read_size "$@"
    # Two at once would add up.
    exec {lock}< .
    flock "$lock"
    difference=1
    while [ "$((difference * 2))" -le "$1" ]; do difference=$((difference * 2)); done
    while [ "$difference" -gt 0 ]; do
        shrink
        difference=$((difference / 2))
    done
    difference=$balloon_mebibytes
    if [ "$difference" -gt 0 ]; then request; fi
}
