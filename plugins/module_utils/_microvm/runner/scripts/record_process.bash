# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# microvm-shutdown waits for the end of this very process, which is the hypervisor's. Its number may be another's when
# it has ended; its start time is not.
record_process() { # file
    local stat fields
    if [ -r /proc/self/stat ]; then
        stat=$(cat "/proc/$$/stat")
        read -ra fields <<< "${stat##*) }"
        echo "$$ ${fields[19]}" > "$1"
    else
        echo "$$" > "$1"
    fi
}
