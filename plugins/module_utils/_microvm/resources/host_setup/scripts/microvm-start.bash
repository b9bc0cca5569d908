#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Runs a MicroVM's hypervisor in its working directory, has its console, and tells systemd by an exit status what shall
# follow its end. Usage: microvm-start NAME
#   0    it stays down
#   133  it shall start again, as of systemd-nspawn (RestartForceExitStatus=)
#   134  it has crashed and stays down (RestartPreventExitStatus=)
#   any other: it has crashed and shall start again, as often as the unit's start limit allows (Restart=on-failure)

set -uo pipefail

readonly RESTART=133 CRASHED_FOR_GOOD=134
# Size of a file of the console's log, which has at most two of them.
readonly LOG_SIZE=512K
# Of a line in the journal; sed's buffer has 4 KiB.
readonly LINE_SIZE=2048
# Priorities of syslog(3) for the guest's console and for the hypervisor's errors.
readonly DEBUG=7 WARNING=4
# What the hypervisor's user can have made of a few files, and how long reading one may take.
readonly REMOVAL_TIMEOUT=20 READ_TIMEOUT=1
# A guest does not get to the end of its shutdown without its shares, but its other file systems are unmounted by then.
readonly SHARES_TIMEOUT=20

name=$1
runtime=@CONSOLE_DIRECTORY@/$name
settings=@SETTINGS_DIRECTORY@/$name.env
package=@STATE_DIRECTORY@/$name/@CURRENT_LINK@
# Why the hypervisor ends, unless the guest has ended: stop or shares.
cause=
stopper=
signalled=

# The sandbox has no socket of the journal, only the unit's own stream, where a prefix gives each line its priority. So
# the guest does not choose it (`<0>` is shown to all who are logged in), and neither does the hypervisor. journald
# limits each priority by itself, and a flood does not take the host's own words along, which have another one. journald
# begins a line of its own after a NUL byte and after 48 KiB, so neither comes to it; and what fits into a buffer of sed's
# is written at once, so that nobody else's words get into it.
to_journal() { # priority
    exec env LC_ALL=C sed -u "s/\x00/?/g; s/^/<$1>/" < <(exec stdbuf -oL fold -b -w "$LINE_SIZE")
}

# The hypervisor's output, which is the guest's console, goes to the journal, line by line, and unchanged into a file. It
# never waits for a reader.
relay() {
    to_journal "$DEBUG" < <(exec tee -p >(keep_log))
}

keep_log() {
    local log=$runtime/console.log
    # Unbuffered: a prompt has no line break.
    while stdbuf -o0 head -c "$LOG_SIZE" > "$log" 2>/dev/null && [ -s "$log" ]; do mv -fT "$log" "$log.old"; done
    exec cat > /dev/null
}

# The hypervisor's standard input is a FIFO that is open for writing here too, so that it never ends. Whatever the
# former hypervisor has put in the place of the files here is gone, and they are open before the next one can do so.
start() {
    local record output errors
    chmod -R u+rwX -- @CONTROL_FILES@ 2> /dev/null
    timeout --signal=KILL "$REMOVAL_TIMEOUT" rm -rf -- @CONTROL_FILES@ "$runtime"/{stopping,asked,console.in,hypervisor.pid}
    mkfifo -m 0600 "$runtime/console.in" || exit 1
    exec {record}> "$runtime/hypervisor.pid" {output}> >(relay)
    relays=$!
    exec {errors}> >(to_journal "$WARNING")
    relays+=" $!"
    "$package/bin/microvm-run" <> "$runtime/console.in" >&"$output" 2>&"$errors" {output}>&- {errors}>&- {record}>&- &
    hypervisor=$!
    echo "$hypervisor $(start_time "$hypervisor")" >&"$record"
    exec {output}>&- {errors}>&- {record}>&-
}

start_time() { # process
    local stat fields
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    read -ra fields <<< "${stat##*) }"
    echo "${fields[19]}"
}

forward() { # cause
    cause=$1
    signalled=yes
    kill -TERM "$hypervisor" 2>/dev/null
}

# The guest's files are gone: it is asked to end as long as it can answer at all. Not over its vsock, since only root of
# the host is answered there.
# shellcheck disable=SC2317 # a trap calls it
end_without_shares() {
    cause=shares
    signalled=yes
    local limit=${STOP_TIMEOUT:-90}
    STOP_TIMEOUT=$((limit < SHARES_TIMEOUT ? limit : SHARES_TIMEOUT)) @SCRIPT_DIRECTORY@/microvm-stop "$name" &
    stopper=$!
}

await_end() {
    status=0
    while true; do
        signalled=
        # bash would say again that it was killed.
        wait "$hypervisor" 2>/dev/null
        status=$?
        # A signal ends the waiting, not the hypervisor.
        if [ -z "$signalled" ]; then break; fi
    done
}

# How the guest has ended: stop (the host wanted it), reboot, poweroff or crash.
judge() {
    local reason
    if [ "$cause" = shares ]; then
        echo crash
    elif [ "$cause" = stop ] || [ -e "$runtime/stopping" ]; then
        echo stop
    elif [ "$status" -ne 0 ]; then
        case $(meaning_of "$status") in
            reboot) echo reboot ;;
            poweroff) echo poweroff ;;
            *) echo crash ;;
        esac
    else
        reason=$(last_event)
        case $reason in
            guest-reset | subsystem-reset) echo reboot ;;
            guest-panic | host-error) echo crash ;;
            '') echo "${CLEAN_END:-poweroff}" ;;
            *) echo poweroff ;;
        esac
    fi
}

# Prints what a status of this hypervisor means; nothing where its package names none. END_STATUSES=32:reboot,34:panic
meaning_of() { # status
    local -a meanings
    local meaning
    IFS=, read -ra meanings <<< "${END_STATUSES:-}"
    for meaning in "${meanings[@]}"; do
        if [ "${meaning%%:*}" = "$1" ]; then echo "${meaning#*:}"; fi
    done
}

# QEMU's word for the reason of its end, which a process beside it writes down. The file is the hypervisor's, so it may
# be anything: it is read for a limited time, and TERM is ignored by now.
last_event() {
    local tenths=0
    if [ ! -f microvm.ended ]; then return; fi
    while [ ! -s microvm.ended ] && [ "$tenths" -lt 10 ]; do
        sleep 0.1
        tenths=$((tenths + 1))
    done
    timeout --signal=KILL "$READ_TIMEOUT" head -c 4096 microvm.ended 2>/dev/null | tr -d '\0' | tail -n 1
}

describe_crash() { # meaning of the status, if there is one
    if [ "$cause" = shares ]; then echo "has lost its shares"; else echo "has crashed (status $status${1:+: $1})"; fi
}

describe() { # how
    case $1 in
        stop) echo "has been stopped" ;;
        reboot) echo "has rebooted" ;;
        poweroff) echo "has powered off" ;;
        crash) describe_crash "$(meaning_of "$status")" ;;
    esac
}

# All output has arrived when the relays have ended; what else microvm-run has begun may hold them open.
end_helpers() {
    local tenths=0
    # shellcheck disable=SC2086 # two processes
    while kill -0 $relays 2>/dev/null && [ "$tenths" -lt 10 ]; do
        sleep 0.1
        tenths=$((tenths + 1))
    done
    if [ -n "$stopper" ]; then wait "$stopper"; fi
}

# Prints what follows an end: restart or stop. A changed setting is in force at once, so it is read from the file: the
# environment is that of the start.
policy_for() { # how
    local -A policies=([ON_REBOOT]=restart [ON_POWEROFF]=stop [ON_CRASH]=restart)
    local setting value
    if [ -r "$settings" ]; then
        while IFS='=' read -r setting value; do policies[${setting:--}]=$value; done < "$settings"
    fi
    echo "${policies[ON_${1^^}]}"
}

end_as() { # how
    if [ "$1" = stop ]; then
        # Where microvm-stop did it, its word is the last.
        if [ ! -e "$runtime/stopping" ]; then echo "MicroVM $name $(describe "$1")"; fi
        exit 0
    elif [ "$(policy_for "$1")" = restart ]; then
        echo "MicroVM $name $(describe "$1") and is started again"
        if [ "$1" != crash ]; then exit "$RESTART"; fi
        # Statuses with a meaning of their own are not passed on: 133 and 134 are also SIGTRAP and SIGABRT.
        case $status in 0 | "$RESTART" | "$CRASHED_FOR_GOOD") exit 1 ;; *) exit "$status" ;; esac
    else
        echo "MicroVM $name $(describe "$1") and stays down"
        if [ "$1" = crash ]; then exit "$CRASHED_FOR_GOOD"; else exit 0; fi
    fi
}

trap 'cause=stop' TERM INT
start
trap 'forward stop' TERM INT
trap end_without_shares USR1
# One that came meanwhile.
if [ -n "$cause" ]; then forward "$cause"; fi
await_end
trap '' TERM INT
# A hypervisor may have seen it first.
trap 'cause=shares' USR1
end_helpers
trap '' USR1
end_as "$(judge)"
