# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Where distributions have the program.
PATH=$PATH:/usr/libexec

# A daemon ends, with success, when its hypervisor closes the socket, as one that reboots in place does; then there must
# be another. With any other status, all end, and systemd decides.
serve() { # socket, command
    # Not local: the trap still needs them when the function has ended.
    socket=$1
    daemon=
    shift
    trap 'kill "$daemon" 2>/dev/null || true; wait; rm -f -- "$socket" "$socket.pid"' EXIT
    trap 'exit 0' TERM
    while true; do
        rm -f -- "$socket" "$socket.pid"
        "$@" &
        daemon=$!
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
        while [ ! -S "$socket" ]; do sleep 0.1; done
    done
    if [ -n "${NOTIFY_SOCKET:-}" ]; then systemd-notify --ready; fi
    wait
}
