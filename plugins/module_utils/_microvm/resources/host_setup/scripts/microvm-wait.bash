#!/usr/bin/env bash
# Copyright (c) 2026 microvm.fleet contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

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
