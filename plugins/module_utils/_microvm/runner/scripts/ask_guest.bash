# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# An address of vsock(7) as socat takes one of any family: bytes, little-endian. Its VSOCK-CONNECT would do, but crashes
# with an own port in version 1.8.0, which Debian 13 has.
vsock_address() { # context, port
    local number bytes=x0000
    for number in "$2" "$1"; do
        bytes+=$(printf %02x $((number & 255)) $((number >> 8 & 255)) $((number >> 16 & 255)) $((number >> 24 & 255)))
    done
    echo "${bytes}00000000"
}

# The guest answers only root, whom it knows by the privileged port. What reads the guest's answer may take such a port,
# and is nobody otherwise.
send_word() { # context, port, word, own port
    local any=4294967295 capability=-all,+net_bind_service
    printf '%s\n' "$3" | timeout --kill-after=1 8 setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \
        --inh-caps="$capability" --ambient-caps="$capability" --bounding-set="$capability" socat -t 5 - \
        "SOCKET-CONNECT:40:0:$(vsock_address "$1" "$2"),bind=$(vsock_address "$any" "$4"),connect-timeout=3,shut-none" |
        head -c 128
}

ask_guest() { # MicroVM, context, port, word, answer of a guest that obeys
    local answer status
    for _ in {1..5}; do
        status=0
        answer=$(send_word "$2" "$3" "$4" $((512 + RANDOM % 512)) 2>&1) || status=$?
        # Another MicroVM's guest is being asked from this port.
        if [ "$status" -eq 0 ] || [[ "$answer" != *"Address already in use"* ]]; then break; fi
    done
    if [ "$status" -eq 0 ] && [ "$answer" = "$5" ]; then
        echo "MicroVM $1: the guest was asked over its vsock, and is $5"
        return 0
    elif [ "$status" -eq 0 ]; then
        answer="it does not know the word $4"
    elif [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
        answer="no answer"
    fi
    answer=$(tr -cd '[:print:]' <<< "${answer##*: }")
    echo "MicroVM $1: the guest cannot be asked over its vsock ($answer)"
    return 1
}
