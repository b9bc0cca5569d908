# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# Written by `make generate` from the files of this directory.

"""Scripts that units run, by name; the files beside this one are the source."""

from __future__ import annotations

from typing import Dict

FILES: Dict[str, str] = {
    "microvm-boot-queue": """
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
""",
    "microvm-notify": """
# Waits until a guest says over its vsock that it is up. Usage: microvm-notify NAME

set -eu

# A part of the command, which is an archive of Python. Python also looks in the directory that it starts in.
export PYTHONPATH=@COMMAND@ PYTHONDONTWRITEBYTECODE=1
cd /
exec python3 -m _microvm.host.notification_relay @STATE_DIRECTORY@/"$1"
""",
    "microvm-prepare": """
# Prepares a MicroVM's working directory, as the MicroVM's user: a package names the sockets of its shares relative to
# that directory, but they are in one of root's. Usage: microvm-prepare NAME

set -euo pipefail

state=@STATE_DIRECTORY@/$1

for file in "$state/@CURRENT_LINK@"/share/microvm/virtiofs/*/socket; do
    if [ ! -e "$file" ]; then continue; fi
    socket=$(cat "$file")
    case $socket in /*) continue ;; esac
    # A hypervisor may have left anything there.
    chmod -R u+rwX -- "$socket" 2> /dev/null || true
    rm -rf -- "$socket"
    mkdir -p -- "$(dirname -- "$socket")"
    ln -sT -- "$state/@SOCKET_DIRECTORY@/$socket" "$socket"
done
""",
    "microvm-start": r"""
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
""",
    "microvm-stop": r"""
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
""",
    "microvm-wait": """
# Waits until everything is there that a MicroVM needs and others create, for at most WAIT_TIMEOUT seconds. Usage:
# microvm-wait NAME NEED..., each of which is path:PATH, bridge:NAME, interface:NAME or network:NAME. The last two are
# interfaces that macvtaps are put on, and networks that know such an interface: on one that is down, they reach nobody.

set -euo pipefail

name=$1
shift
limit=${WAIT_TIMEOUT:-120}
network=${NETWORK_DIRECTORY:-/sys/class/net}
networks=${NETWORK_LIST:-@NETWORK_LIST@}

# systemd sends SIGTERM when a MicroVM that waits is stopped, which is no failure.
trap 'exit 0' TERM

# Whoever looks into a network mount whose server is gone is blocked, and then ends by SIGKILL only.
exists() { # path
    { timeout --signal=KILL 2 test -e "$1"; } 2> /dev/null
}

is_there() { # need
    case $1 in
        path:*) exists "${1#*:}" ;;
        bridge:*) [ -d "$network/${1#*:}/bridge" ] ;;
        interface:*) is_up "${1#*:}" ;;
        network:*) is_up "$(link_of "${1#*:}")" ;;
    esac
}

# Whether it is switched on: a cable may come later. The flag is IFF_UP (netdevice(7)).
is_up() { # interface
    local flags=0
    if [ -e "$network/$1/flags" ]; then flags=$(cat "$network/$1/flags"); fi
    [ $((flags & 1)) = 1 ]
}

link_of() { # network with mode macvtap
    local kind name link _mode
    if [ ! -e "$networks" ]; then return; fi
    while read -r kind name link _mode; do
        if [ "$kind $name" = "macvtap $1" ]; then echo "$link"; fi
    done < "$networks"
}

missing() { # needs
    local need text=''
    for need in "$@"; do
        if is_there "$need"; then continue; fi
        text+="${text:+, }$(described "$need")"
    done
    printf '%s' "$text"
}

# With where to look, since whoever waits has not created it.
described() { # need
    local name=${1#*:}
    case $1 in
        path:*) printf '%s' "$name" ;;
        interface:*) printf 'interface %s%s' "$name" "$(described_link "$name")" ;;
        network:*) described_network "$name" "$(link_of "$name")" ;;
        bridge:*) printf 'bridge %s (%s)' "$name" "$(described_bridge "$name")" ;;
    esac
}

described_link() { # interface
    if [ -e "$network/$1" ]; then
        printf ' in state up (see ip link show %s)' "$1"
    else
        printf ', which the host does not have (see ip link)'
    fi
}

described_network() { # network, its link or nothing
    if [ -z "$2" ]; then
        printf 'network %s with mode macvtap (declare it in microvm_networks)' "$1"
    else
        printf 'link %s of the network %s%s' "$2" "$1" "$(described_link "$2")"
    fi
}

described_bridge() { # bridge
    if [ -e "$networks" ] && grep -q -E "^(network|routed) $1 " "$networks"; then
        printf 'see networkctl status %s' "$1"
    else
        printf 'it is no network of microvm_networks on this host'
    fi
}

text=$(missing "$@")
if [ -z "$text" ]; then exit 0; fi
if [ "$limit" -gt 0 ]; then echo "waiting for $text for at most $limit s"; fi
SECONDS=0
while [ -n "$text" ]; do
    if [ "$SECONDS" -ge "$limit" ]; then
        echo "MicroVM $name is not started, since these are missing after $limit s (wait_timeout): $text" >&2
        exit 1
    fi
    # bash runs its traps only when a program in the foreground has ended.
    sleep 0.5 &
    wait "$!"
    text=$(missing "$@")
done
echo "everything is there after $SECONDS s"
""",
}
