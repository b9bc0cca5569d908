# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Seconds that the guest's kernel gets to write its file systems, and to make them read-only: it does not say when it is
# done.
SYNC_TIME=2
REMOUNT_TIME=3
# Status that tells microvm-stop that the guest's programs were not asked.
ENDED_BY_KERNEL=4

# Of a hypervisor without a power button. The script defines the ways that there are: ask, over the guest's vsock, which
# root may have done before (GUEST_ASKED), and press_key, for the kernel's own keys (SysRq).
end_guest() { # file that record_process has written, seconds
    local begin=$SECONDS limit=$2
    if declare -F press_key > /dev/null && [ "$limit" -gt 20 ]; then limit=$((limit - 10)); fi
    if [ -n "${GUEST_ASKED:-}" ] || { declare -F ask > /dev/null && ask; }; then
        if await_end "$1" "$limit"; then return 0; fi
        echo "the guest has not ended within $limit seconds" >&2
    fi
    if declare -F press_key > /dev/null && [ $((SECONDS - begin)) -lt "$2" ] && press_keys "$1"; then
        exit "$ENDED_BY_KERNEL"
    fi
    exit 1
}

await_end() { # file that record_process has written, seconds
    local fifths=$((5 * $2))
    while is_running "$1"; do
        if [ "$fifths" -le 0 ]; then return 1; fi
        sleep 0.2
        fifths=$((fifths - 1))
    done
}

# A hypervisor may hand a key on only when it next reads its console, so an empty line is typed. Its input is a FIFO
# there, whose reader may have stopped.
touch_console() { # file that record_process has written
    local process _started input
    read -r process _started < "$1"
    input=/proc/$process/fd/0
    # shellcheck disable=SC2016 # the inner shell expands it
    if [ -p "$input" ]; then timeout --signal=KILL 1 sh -c 'echo > "$1"' sh "$input" 2> /dev/null || true; fi
}

# Of sysrq.rst of the kernel: s writes all file systems, u makes them read-only, b restarts without a word.
press_keys() { # file that record_process has written
    local step key
    echo "the guest's kernel is told to write its file systems and to restart (SysRq)"
    for step in "s $SYNC_TIME" "u $REMOUNT_TIME" "b 3"; do
        # shellcheck disable=SC2034 # press_key has it
        key=${step% *}
        if ! press_key > /dev/null 2>&1; then break; fi
        touch_console "$1"
        if await_end "$1" "${step#* }"; then return 0; fi
    done
    echo "the guest's kernel has not restarted" >&2
    return 1
}
