# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash

# Seconds for the answer, unless the stop itself has fewer: a busy guest has to start a service and a few programs.
ANSWER_TIME=30

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
# and is nobody otherwise. Prints what the answer means, or why there is none.
send_word() { # context, port, word, answer of a guest that obeys, seconds
    local any=4294967295 capability=-all,+net_bind_service guest own
    guest=$(vsock_address "$1" "$2") own=$(vsock_address "$any" $((512 + RANDOM % 512)))
    printf '%s\n' "$3" | timeout --kill-after=1 "$(($5 + 5))" setpriv --reuid=65534 --regid=65534 --clear-groups \
        --no-new-privs --inh-caps="$capability" --ambient-caps="$capability" --bounding-set="$capability" \
        socat -t "$5" - "SOCKET-CONNECT:40:0:$guest,bind=$own,connect-timeout=3,shut-none" |
        meaning_of_answer "$3" "$4"
}

# Nothing that a guest says is repeated.
meaning_of_answer() { # word, answer of a guest that obeys
    local line=''
    if ! IFS= read -r -n 128 line && [ -z "$line" ]; then return; fi
    case $line in
        "$2") echo "$2" ;;
        failed) echo "it failed to $1" ;;
        "only the host's root is answered") echo "it does not take this for a word of its host's root" ;;
        *) echo "it does not know the word $1" ;;
    esac
}

ask_guest() { # MicroVM, context, port, word, answer of a guest that obeys
    local limit=${STOP_TIMEOUT:-$ANSWER_TIME} occupied=0 begin end left answer status
    end=$((SECONDS + (limit < ANSWER_TIME ? limit : ANSWER_TIME)))
    while true; do
        status=0 begin=$SECONDS left=$((SECONDS < end ? end - SECONDS : 1))
        answer=$(send_word "$2" "$3" "$4" "$5" "$left" 2>&1) || status=$?
        case $answer in
            # socat may have warned as well.
            "$5" | "$5"$'\n'* | *$'\n'"$5")
                echo "MicroVM $1: the guest was asked over its vsock, and is $5"
                return 0
                ;;
            # Another MicroVM's guest is being asked from this port.
            *"Address already in use"*)
                occupied=$((occupied + 1))
                if [ "$occupied" -lt 5 ]; then continue; fi
                ;;
            # Closed at once: others have taken all connections that the guest answers at a time.
            '' | *"] E read("* | *"] E write("*)
                if [ "$status" -le 1 ] && [ $((SECONDS - begin)) -le 1 ]; then
                    if [ "$SECONDS" -lt "$end" ] && sleep 0.2; then continue; fi
                    answer="it closes the connection"
                # It has the word.
                elif [[ $status =~ ^(0|1|124|137)$ ]]; then
                    echo "MicroVM $1: the guest was asked over its vsock, and has not answered yet"
                    return 0
                fi
                ;;
        esac
        answer=$(tail -n 1 <<< "$answer" | tr -cd '[:print:]')
        answer=${answer##*: }
        echo "MicroVM $1: the guest cannot be asked over its vsock (${answer:-status $status})"
        return 1
    done
}
