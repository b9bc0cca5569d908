#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# The boot queue: while the host starts, MicroVMs start by BOOT_ORDER and name, and no more than BOOT_PARALLEL of them are
# within their first BOOT_SETTLE seconds. Nothing supervises the queue: an entry counts as long as its process has it
# locked. RUNTIME_DIRECTORY is the queue's, as systemd sets it. Usage: microvm-boot-queue NAME

set -euo pipefail

name=$1
directory=$RUNTIME_DIRECTORY
parallel=${BOOT_PARALLEL:-4}
settle=${BOOT_SETTLE:-10}
printf -v entry '%s/queue/%06d-%s' "$directory" "$((10#${BOOT_ORDER:-50}))" "$name"

# systemd sends SIGTERM when a MicroVM that waits is stopped, and then neither the entry nor a failed unit may stay. Both
# traps remove the entry: SIGTERM may come when the other one has just begun.
leave() {
    rm -f -- "$entry"
}
trap leave EXIT
trap 'leave; exit 0' TERM

host_starts() {
    case $(systemctl is-system-running || true) in
        initializing | starting) return 0 ;;
        *) return 1 ;;
    esac
}

# Seconds of a clock that nobody sets.
uptime_seconds() {
    local seconds _idle
    read -r seconds _idle < /proc/uptime
    echo "${seconds%.*}"
}

# Under the lock, so that nobody sees an entry that is not locked yet.
register() {
    exec {own}> "$entry"
    flock --exclusive "$own"
}

# The first entry whose process is there; others are removed.
first_is_own() {
    local each descriptor
    for each in "$directory"/queue/*; do
        if [ "$each" = "$entry" ]; then return 0; fi
        exec {descriptor}< "$each" || continue
        if ! flock --nonblock "$descriptor"; then
            exec {descriptor}<&-
            return 1
        fi
        rm -f -- "$each"
        exec {descriptor}<&-
    done
    return 1
}

# All units come at once, but not at the same moment: the order holds among those that came within a second.
is_complete() {
    local now each joined
    now=$(uptime_seconds)
    for each in "$directory"/queue/*; do
        joined=
        read -r joined 2>/dev/null < "$each" || true
        if [ $((now - ${joined:-0})) -lt 2 ]; then return 1; fi
    done
}

take_slot() {
    local number now taken
    now=$(uptime_seconds)
    for ((number = 1; number <= parallel; number++)); do
        taken=
        if [ -e "$directory/slots/$number" ]; then read -r taken < "$directory/slots/$number" || true; fi
        if [ -z "$taken" ] || [ $((now - taken)) -ge "$settle" ]; then
            echo "$now" > "$directory/slots/$number"
            return 0
        fi
    done
    return 1
}

# Whether the MicroVM is still to start. Whoever cancels its job, or a helper that failed, sends no signal.
is_wanted() {
    case $(systemctl show --property=Job --value "microvm@$name.service") in
        '' | 0) return 1 ;;
    esac
}

if [ "$parallel" -eq 0 ] || ! host_starts; then exit 0; fi
mkdir -p "$directory/queue" "$directory/slots"
exec {lock}> "$directory/lock"
flock --exclusive "$lock"
register
uptime_seconds >&"$own"
flock --unlock "$lock"
while true; do
    flock --exclusive "$lock"
    if first_is_own && is_complete; then
        if ! is_wanted; then exit 0; fi
        if take_slot; then break; fi
    fi
    flock --unlock "$lock"
    # bash runs its traps only when a program in the foreground has ended. The locks are not for the sleep to hold.
    sleep 0.5 {own}>&- {lock}>&- &
    wait "$!"
done
echo "leaving the boot queue: MicroVM $name"
