# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Where distributions have the program.
PATH=$PATH:/usr/libexec

# Numbers of the descriptors of listening sockets that daemons inherit, by the paths of these.
declare -A listening=()

# Words before the command of a daemon that is not root's.
identity=()

# Every socket listens before any daemon is there, and stays when a daemon ends and another one follows: a hypervisor
# that connects at any moment waits in the queue of the socket instead of being refused.
LISTEN='import fcntl, grp, os, socket, sys
group, paths = sys.argv[1], sys.argv[2 : sys.argv.index("--")]
command, descriptors = sys.argv[sys.argv.index("--") + 1 :], []
os.umask(0o177)
for path in paths:
    if os.path.lexists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    if group:
        os.chown(path, -1, int(group) if group.isdigit() else grp.getgrnam(group).gr_gid)
        os.chmod(path, 0o660)
    listener.listen(16)
    descriptors.append(fcntl.fcntl(listener.detach(), fcntl.F_DUPFD_CLOEXEC, 3 + len(paths)))
for number, descriptor in enumerate(descriptors, 3):
    os.dup2(descriptor, number)
os.umask(0o077)
os.environ.update(LISTEN_FDS=str(len(paths)), LISTEN_PID=str(os.getpid()))
os.execvp(command[0], command)'

# Replaces the script by itself, with the sockets open, as systemd passes them on (sd_listen_fds(3)). A host without
# Python lets daemons make their own.
listen() { # group or nothing, sockets, --, the command that this is
    local socket number=3
    if [ "${LISTEN_PID:-}" != $$ ]; then
        if command -v python3 > /dev/null; then exec python3 -I -c "$LISTEN" "$@"; fi
        return
    fi
    unset LISTEN_PID LISTEN_FDS
    shift
    for socket; do
        if [ "$socket" = -- ]; then break; fi
        listening[$socket]=$number
        number=$((number + 1))
    done
}

# The group of sockets: that of the hypervisor's account, which has another name on a host of microvm.nix. Nothing on a
# machine without the account, where people run packages by hand.
usable_group() { # group, user of the hypervisor
    if [ -z "$1" ]; then return; fi
    if [[ "$1" =~ ^[0-9]+$ ]] || getent group -- "$1" > /dev/null; then
        echo "$1"
    else
        id -gn -- "$2" 2> /dev/null || true
    fi
}

# Units of this collection have a source mounted before. Those of microvm.nix, and people, run the script without: from
# the directory that the source is relative to, and with the namespaces in which virtiofsd then confines itself.
serve_source() { # where it is mounted, source, socket, command
    local mounted=$1 source=$2 word
    shift 2
    if [ ! -e "$mounted" ]; then
        if ! source=$(umask 022 && mkdir -p -- "$source" && realpath -- "$source"); then
            kill -USR1 $$
            exit 1
        fi
        for word; do
            shift
            case $word in
                "--shared-dir=$mounted") set -- "$@" "--shared-dir=$source" ;;
                --sandbox=chroot | --socket-group=*) ;;
                *) set -- "$@" "$word" ;;
            esac
        done
    fi
    serve "$@"
}

# A daemon without privileges: the guest can do what its user can do. Unless identities are translated otherwise, what
# the guest creates is that user's, and to the guest all files are root's (virtiofsd's README).
serve_as() { # user, arguments of serve_source
    local uid gid kind number unprivileged=(--inh-caps=-all --bounding-set=-all --no-new-privs)
    if ! uid=$(id -u -- "$1") || ! gid=$(id -g -- "$1"); then
        kill -USR1 $$
        exit 1
    fi
    shift
    for kind in uid gid; do
        if [[ " $* " == *" --translate-$kind="* ]]; then continue; fi
        number=${!kind}
        set -- "$@" "--translate-$kind=squash-guest:0:$number:4294967295" "--translate-$kind=squash-host:0:0:4294967295"
    done
    if [ "$(id -u)" != "$uid" ]; then
        # Root ends such a daemon by its own end: a signal would take CAP_KILL.
        identity=(setpriv "--reuid=$uid" "--regid=$gid" --init-groups --pdeathsig=TERM "${unprivileged[@]}")
    fi
    serve_source "$@"
}

# What a daemon is executed with: the socket that listens in place of one that it would make, and no other one.
inherit_socket() { # socket, command
    local word descriptor own=${listening[$1]:-}
    shift
    if [ -z "$own" ]; then exec "${identity[@]}" "$@"; fi
    for descriptor in "${listening[@]}"; do
        if [ "$descriptor" != "$own" ]; then exec {descriptor}>&-; fi
    done
    for word; do
        shift
        case $word in --socket-path=* | --socket-group=*) ;; *) set -- "$@" "$word" ;; esac
    done
    exec "${identity[@]}" "$@" "--fd=$own"
}

# A socket that listens says nothing of its daemon, which may refuse its options: it has begun when it is executed and
# still runs a moment later.
await_begin() { # process of this shell
    local _try
    for _try in {1..20}; do
        if [ "$(cat "/proc/$1/comm" 2> /dev/null)" != bash ]; then break; fi
        sleep 0.05
    done
    sleep 0.1
    [ -n "$(jobs -pr)" ]
}

# A daemon ends, with success, when its hypervisor closes the socket, as one that reboots in place does; then there must
# be another. With any other status, all end, and systemd decides.
serve() { # socket, command
    # Not local: the trap still needs them when the function has ended.
    socket=$1
    daemon=
    trap 'if kill "$daemon" 2>/dev/null; then wait; fi; rm -f -- "$socket" "$socket.pid"' EXIT
    trap 'exit 0' TERM
    while true; do
        if [ -z "${listening[$socket]:-}" ]; then rm -f -- "$socket" "$socket.pid"; fi
        inherit_socket "$@" &
        daemon=$!
        if [ -n "${listening[$socket]:-}" ] && await_begin "$daemon"; then echo "$daemon" > "$socket.pid"; fi
        if ! wait "$daemon"; then
            echo "the virtiofsd of $socket has failed" >&2
            kill -USR1 $$
            exit 1
        fi
    done
}

end_together() {
    # shellcheck disable=SC2046 # numbers
    trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
    trap 'exit 0' TERM INT
    trap 'exit 1' USR1
}

await_end() { # sockets
    local socket
    for socket; do
        while [ ! -S "$socket" ] || [ ! -e "$socket${listening[$socket]:+.pid}" ]; do sleep 0.1; done
    done
    if [ -n "${NOTIFY_SOCKET:-}" ]; then systemd-notify --ready; fi
    wait
}
