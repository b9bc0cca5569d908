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

set_balloon() { # the guest's MiB, those that the balloon takes; calls request
    balloon_mebibytes=$((10#$2))
    if [ "$balloon_mebibytes" -ge "$1" ]; then
        echo "the guest has $1 MiB; the balloon must leave some of them" >&2
        exit 2
    fi
    # shellcheck disable=SC2034 # for the request; not every hypervisor takes this unit
    balloon_bytes=$((balloon_mebibytes * 1024 * 1024))
    # shellcheck disable=SC2034
    guest_bytes=$((($1 - balloon_mebibytes) * 1024 * 1024))
    request
}

change_balloon() { # MiB, with a sign; calls request or shrink
    # shellcheck disable=SC2034 # for the request
    difference=${1#[-+]}
    case $1 in
        -*) shrink ;;
        *) request ;;
    esac
}
