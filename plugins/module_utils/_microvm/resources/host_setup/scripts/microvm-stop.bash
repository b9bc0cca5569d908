#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Ends a MicroVM, in its working directory: asks the guest, then ends the hypervisor, then kills it. Each step is said, the
# last line says which one it was. Usage: microvm-stop NAME

set -uo pipefail

# How long a hypervisor may take to end when it is told to.
readonly TERM_TIMEOUT=10
# How long reading a file may take.
readonly READ_TIMEOUT=1

name=$1
runtime=@CONSOLE_DIRECTORY@/$name
package=@STATE_DIRECTORY@/$name/@BOOTED_LINK@
limit=${STOP_TIMEOUT:-90}
begin=$SECONDS
export STOP_TIMEOUT=$limit

say() {
    echo "MicroVM $name: $1"
}

# The number of a process that has ended may be another's; its start time is not.
is_running() { # process, start time
    local stat fields
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    read -ra fields <<< "${stat##*) }"
    [ "${fields[19]}" = "${2:-${fields[19]}}" ] && [ "${fields[0]}" != Z ]
}

# The process by the package's own record if that is of this start, else what microvm-start has made. Both files are
# the hypervisor's, so they may be anything, and contain anything.
find_hypervisor() {
    local file
    for file in microvm.pid "$runtime/hypervisor.pid"; do
        read -r process started < <(first_bytes "$file")
        if [[ $process =~ ^[1-9][0-9]{0,9}$ && $started =~ ^[0-9]*$ ]] && is_running "$process" "$started"; then
            return 0
        fi
    done
    return 1
}

first_bytes() { # file
    if [ -f "$1" ]; then timeout --signal=KILL "$READ_TIMEOUT" head -c 64 -- "$1" 2>/dev/null | tr -d '\0'; fi
}

await_end() { # seconds
    local end=$((SECONDS + $1))
    while is_running "$process" "$started"; do
        if [ "$SECONDS" -ge "$end" ]; then return 1; fi
        sleep 0.2
    done
}

remaining() {
    local left=$((limit - (SECONDS - begin)))
    echo $((left > 0 ? left : 0))
}

# The package's script may wait for the end, or not.
ask_guest() {
    local status=0
    if [ ! -x "$package/bin/microvm-shutdown" ]; then
        say "its package has no way to ask the guest to power off"
        return 1
    fi
    if [ -e "$runtime/asked" ]; then
        export GUEST_ASKED=yes
        say "waiting for the end of the guest, for up to $limit s"
    elif [ -x "$package/bin/microvm-ask-guest" ]; then
        # Only root can.
        export GUEST_ASKED=no
    else
        say "asking the guest to power off, for up to $limit s"
    fi
    timeout --kill-after=2 "$limit" "$package/bin/microvm-shutdown" < /dev/null || status=$?
    if [ "$status" -ne 0 ] && [ "$status" -ne 124 ] && is_running "$process" "$started"; then
        say "the guest could not be asked, or has not ended (status $status)"
        return 1
    fi
    if await_end "$(remaining)"; then return 0; fi
    say "the guest has not ended within $limit s"
    return 1
}

end_hypervisor() {
    say "sending SIGTERM to the hypervisor"
    kill -TERM "$process" 2>/dev/null
    await_end "$TERM_TIMEOUT"
}

kill_hypervisor() {
    say "the hypervisor has not ended within $TERM_TIMEOUT s; sending SIGKILL"
    kill -KILL "$process" 2>/dev/null
    await_end "$TERM_TIMEOUT"
}

process='' started=''
if ! find_hypervisor; then
    # It was quick.
    if [ -e "$runtime/asked" ]; then say "stopped by the guest after 0 s"; fi
    exit 0
fi
# microvm-start takes the end for what it is. A directory is made at once, whatever was in its place.
if [ ! -e "$runtime/stopping" ]; then
    timeout --signal=KILL "$READ_TIMEOUT" rm -rf -- "$runtime/stopping"
    mkdir -- "$runtime/stopping" 2>/dev/null
fi
if ask_guest; then
    say "stopped by the guest after $((SECONDS - begin)) s"
elif end_hypervisor; then
    say "stopped by SIGTERM after $((SECONDS - begin)) s"
elif kill_hypervisor; then
    say "stopped by SIGKILL after $((SECONDS - begin)) s"
else
    say "the hypervisor's process $process does not end"
    exit 1
fi
