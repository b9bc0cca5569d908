# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# The number of a process that has ended may be another's; its start time is not.
# The file is the hypervisor's, so it may be anything by now.
is_running() { # file that record_process has written
    local process started stat fields
    [ -f "$1" ] || return 1
    read -r process started < <(head -c 64 "$1" 2>/dev/null | tr -d '\0') || true
    [[ $process =~ ^[1-9][0-9]{0,9}$ ]] || return 1
    # Another user's process answers no signal, but is there.
    kill -0 "$process" 2>/dev/null || [ -d "/proc/$process" ] || return 1
    [ -n "$started" ] || return 0
    stat=$(cat "/proc/$process/stat" 2>/dev/null) || return 1
    read -ra fields <<< "${stat##*) }"
    [ "${fields[19]}" = "$started" ] && [ "${fields[0]}" != Z ]
}
