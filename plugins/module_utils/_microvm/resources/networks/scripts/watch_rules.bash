# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Loads rules whenever one of their tables has been deleted, as the kernel reports it; between two reports nothing runs.
watch_rules() { # file, name of its tables, directory of the files that it includes, whose lock protects them
    local rules=$1 table=$2 taps=$3 report
    set -euo pipefail
    exec {reports}< <(exec nft monitor tables 2>&1)
    await_reports "$reports" "${table}_watch"
    while :; do
        if ! are_loaded "$table"; then
            flock "$taps" nft -f "$rules"
            echo "somebody had deleted the rules of the networks of MicroVMs; they are loaded again"
        fi
        load_macvtaps "$taps"
        # Reports may be lost where there are too many. What nft says then is about no table.
        while :; do
            read -r report <&"$reports"
            case $report in
                "delete table "*" $table" | "destroy table "*" $table") break ;;
                "delete table netdev microvm_"* | "destroy table netdev microvm_"*) break ;;
                "add table "* | "delete table "* | "destroy table "*) ;;
                *) break ;;
            esac
        done
    done
}

# Each macvtap has a table of its own. Who deletes one with its file, or replaces it, holds the lock.
load_macvtaps() { # directory of the files
    local file tap
    {
        flock 9
        for file in "$1"/*.netdev; do
            tap=${file##*/} tap=${tap%.netdev}
            if [ ! -e "$file" ] || [ ! -e "/sys/class/net/$tap" ]; then continue; fi
            if nft --terse list table netdev "microvm_$tap" > /dev/null 2>&1; then continue; fi
            nft -f "$file"
            echo "somebody had deleted the rules of $tap; they are loaded again"
        done
    } 9< "$1"
}

are_loaded() { # name
    nft --terse list table inet "$1" > /dev/null 2>&1 && nft --terse list table bridge "$1" > /dev/null 2>&1
}
